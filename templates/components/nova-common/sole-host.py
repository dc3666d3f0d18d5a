#!/usr/bin/env python3
"""Says whether another machine runs instances under this host's name. Both would answer the same messages, and each take the
other's instances for its own.

Usage: sole-host.py COMPUTE-URL HOST ADDRESS [SECONDS]; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD,
OS_PROJECT_NAME.
Holds (exit 0) when no nova-compute of that name is up, or the one that is has this ADDRESS. With SECONDS it waits that long for
another one to go: what was this machine under an address that it has no more is called up for a minute.
"""
import json
import os
import sys
import time
import urllib.error
import urllib.request

url, host, address, *patience = sys.argv[1:]
env = os.environ
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
domain = {"name": "Default"}
user = {"name": env["OS_USERNAME"], "domain": domain, "password": env["OS_PASSWORD"]}
scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": domain}}
auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
deadline = time.monotonic() + float(patience[0] if patience else 0)


def others(token):
    """Addresses of what is up under this name and is not this machine."""
    request = urllib.request.Request(url + "/os-hypervisors/detail", headers={"X-Auth-Token": token})
    with opener.open(request, timeout=20) as answer:
        hypervisors = json.loads(answer.read())["hypervisors"]
    mine = [one for one in hypervisors if one["service"]["host"] == host and one["state"] == "up"]
    return [one["host_ip"] for one in mine if one["host_ip"] != address]


try:
    login = urllib.request.Request(
        env["OS_AUTH_URL"] + "/auth/tokens", json.dumps(auth).encode(), {"Content-Type": "application/json"}
    )
    with opener.open(login, timeout=20) as answer:
        token = answer.headers["X-Subject-Token"]
    while True:
        bad = others(token)
        if not bad or time.monotonic() >= deadline:
            break
        time.sleep(5)
except urllib.error.HTTPError as error:
    sys.exit("%s: %s" % (error.url, error))
except OSError as error:
    sys.exit("%s: %s" % (url, getattr(error, "reason", None) or error))
if bad:
    sys.exit("%s runs instances as %s too; this machine is %s" % (", ".join(bad), host, address))

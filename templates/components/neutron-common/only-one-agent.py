#!/usr/bin/env python3
"""Says whether another machine has an agent of neutron under this host's name: packets for this one's instances would go there.

Usage: only-one-agent.py NETWORK-URL HOST BINARY ADDRESS [SECONDS]; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD,
OS_PROJECT_NAME.
Holds (exit 0) when no such agent is alive, or the one that is has its tunnels end at this ADDRESS. With SECONDS it waits that
long for another one to go: what was this machine under an address that it has no more is called alive for 75 seconds.
"""
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

url, host, binary, address, *patience = sys.argv[1:]
env = os.environ
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
domain = {"name": "Default"}
user = {"name": env["OS_USERNAME"], "domain": domain, "password": env["OS_PASSWORD"]}
scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": domain}}
auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
deadline = time.monotonic() + float(patience[0] if patience else 0)


def others(token):
    """Where the tunnels of agents end that are alive under this name and are not this machine's."""
    place = "%s/v2.0/agents?%s" % (url, urllib.parse.urlencode({"host": host, "binary": binary}))
    with opener.open(urllib.request.Request(place, headers={"X-Auth-Token": token}), timeout=20) as answer:
        agents = json.loads(answer.read())["agents"]
    ends = [one["configurations"].get("tunneling_ip") for one in agents if one["alive"]]
    return [end for end in ends if end and end != address]


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
    sys.exit("%s has an agent as %s too; this machine is %s" % (", ".join(bad), host, address))

#!/usr/bin/env python3
"""Says whether agents of neutron on a host, or on several, report to its API that they are alive.

Usage: agents-alive.py NETWORK-URL HOST[,HOST...] BINARY...; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD,
OS_PROJECT_NAME.
Holds (exit 0) when each has reported in time and is switched on.
"""
import json
import os
import sys
import urllib.error
import urllib.request

url, hosts, *wanted = sys.argv[1:]
env = os.environ
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
domain = {"name": "Default"}
user = {"name": env["OS_USERNAME"], "domain": domain, "password": env["OS_PASSWORD"]}
scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": domain}}
auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
bad = []
try:
    login = urllib.request.Request(
        env["OS_AUTH_URL"] + "/auth/tokens", json.dumps(auth).encode(), {"Content-Type": "application/json"}
    )
    with opener.open(login, timeout=20) as answer:
        token = answer.headers["X-Subject-Token"]
    request = urllib.request.Request(url + "/v2.0/agents", headers={"X-Auth-Token": token})
    with opener.open(request, timeout=20) as answer:
        agents = {(one["host"], one["binary"]): one for one in json.loads(answer.read())["agents"]}
    for host, binary in ((host, binary) for host in filter(None, hosts.split(",")) for binary in wanted):
        one = agents.get((host, binary))
        if one is None:
            bad.append("%s on %s has never reported" % (binary, host))
        elif not one["alive"] or not one["admin_state_up"]:
            bad.append("%s on %s is %s" % (binary, host, "switched off" if one["alive"] else "not alive"))
except urllib.error.HTTPError as error:
    sys.exit("%s: %s" % (error.url, error))
except OSError as error:
    sys.exit("%s: %s" % (url, getattr(error, "reason", None) or error))
if bad:
    sys.exit("; ".join(bad))

#!/usr/bin/env python3
"""Says whether services of nova on one host report to its API that they are up.

Usage: services-up.py COMPUTE-URL HOST BINARY...; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD,
OS_PROJECT_NAME.
Holds (exit 0) when each is up and enabled. A `nova-compute` must be mapped to a cell besides, as the scheduler gives an
instance only to a host that is.
"""
import json
import os
import sys
import urllib.error
import urllib.request

url, host, *wanted = sys.argv[1:]
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

    def get(path):
        # 2.53: hypervisors are listed from the cells that hosts are mapped to
        headers = {"X-Auth-Token": token, "OpenStack-API-Version": "compute 2.53"}
        with opener.open(urllib.request.Request(url + path, headers=headers), timeout=20) as answer:
            return json.loads(answer.read())

    here = {one["binary"]: one for one in get("/os-services?host=%s" % host)["services"]}
    for binary in wanted:
        one = here.get(binary)
        if one is None:
            bad.append("%s on %s has never reported" % (binary, host))
        elif (one["state"], one["status"]) != ("up", "enabled"):
            bad.append("%s on %s is %s and %s" % (binary, host, one["state"], one["status"]))
    if "nova-compute" in wanted and not bad:
        hosts = get("/os-hypervisors/detail")["hypervisors"]
        mine = [one for one in hosts if one["service"]["host"] == host]
        if not mine:
            bad.append("the compute node %s is not mapped to a cell yet" % host)
        elif mine[0]["state"] != "up":
            bad.append("the hypervisor of %s is %s" % (host, mine[0]["state"]))
except urllib.error.HTTPError as error:
    sys.exit("%s: %s" % (error.url, error))
except OSError as error:
    sys.exit("%s: %s" % (url, getattr(error, "reason", None) or error))
if bad:
    sys.exit("; ".join(bad))

#!/usr/bin/env python3
"""Says whether agents of neutron on a host, or on several, report to its API that they are alive.

Usage: agents-alive.py NETWORK-URL HOST[,HOST...] BINARY...; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD,
OS_PROJECT_NAME.
Holds (exit 0) when each has reported in time and is switched on.
"""
import sys

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Session

url, hosts, *wanted = sys.argv[1:]
agents = {(one["host"], one["binary"]): one for one in Session().get(url + "/v2.0/agents")["agents"]}
bad = []
for host, binary in ((host, binary) for host in filter(None, hosts.split(",")) for binary in wanted):
    one = agents.get((host, binary))
    if one is None:
        bad.append("%s on %s has never reported" % (binary, host))
    elif not one["alive"] or not one["admin_state_up"]:
        bad.append("%s on %s is %s" % (binary, host, "switched off" if one["alive"] else "not alive"))
if bad:
    sys.exit("; ".join(bad))

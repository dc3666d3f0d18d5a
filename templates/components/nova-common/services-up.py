#!/usr/bin/env python3
"""Says whether services of nova on one host report to its API that they are up.

Usage: services-up.py COMPUTE-URL HOST BINARY...; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD,
OS_PROJECT_NAME.
Holds (exit 0) when each is up and enabled. A `nova-compute` must be mapped to a cell besides, as the scheduler gives an
instance only to a host that is.
"""
import sys

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Session, not_up

url, host, *wanted = sys.argv[1:]
# 2.53: hypervisors are listed from the cells that hosts are mapped to
session = Session({"OpenStack-API-Version": "compute 2.53"})
services = session.get(url + "/os-services", host=host)["services"]
bad = not_up(services, [(binary, host) for binary in wanted])
if "nova-compute" in wanted and not bad:
    hypervisors = session.get(url + "/os-hypervisors/detail")["hypervisors"]
    mine = [one for one in hypervisors if one["service"]["host"] == host]
    if not mine:
        bad.append("the compute node %s is not mapped to a cell yet" % host)
    elif mine[0]["state"] != "up":
        bad.append("the hypervisor of %s is %s" % (host, mine[0]["state"]))
if bad:
    sys.exit("; ".join(bad))

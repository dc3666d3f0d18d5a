#!/usr/bin/env python3
"""Says whether another machine runs instances under this host's name. Both would answer the same messages, and each take the
other's instances for its own.

Usage: sole-host.py COMPUTE-URL HOST ADDRESS [SECONDS]; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD,
OS_PROJECT_NAME.
Holds (exit 0) when no nova-compute of that name is up, or the one that is has this ADDRESS. With SECONDS it waits that long for
another one to go: what was this machine under an address that it has no more is called up for a minute.
"""
import sys

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Session, outlasting

url, host, address, *patience = sys.argv[1:]
session = Session()


def others():
    """Addresses of what is up under this name and is not this machine."""
    hypervisors = session.get(url + "/os-hypervisors/detail")["hypervisors"]
    mine = [one for one in hypervisors if one["service"]["host"] == host and one["state"] == "up"]
    return [one["host_ip"] for one in mine if one["host_ip"] != address]


bad = outlasting(float(patience[0] if patience else 0), others)
if bad:
    sys.exit("%s runs instances as %s too; this machine is %s" % (", ".join(bad), host, address))

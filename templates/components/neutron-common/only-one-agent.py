#!/usr/bin/env python3
"""Says whether another machine has an agent of neutron under this host's name: packets for this one's instances would go there.

Usage: only-one-agent.py NETWORK-URL HOST BINARY ADDRESS [SECONDS]; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD,
OS_PROJECT_NAME.
Holds (exit 0) when no such agent is alive, or the one that is has its tunnels end at this ADDRESS. With SECONDS it waits that
long for another one to go: what was this machine under an address that it has no more is called alive for 75 seconds.
"""
import sys

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Session, outlasting

url, host, binary, address, *patience = sys.argv[1:]
session = Session()


def others():
    """Where the tunnels of agents end that are alive under this name and are not this machine's."""
    agents = session.get(url + "/v2.0/agents", host=host, binary=binary)["agents"]
    ends = [one["configurations"].get("tunneling_ip") for one in agents if one["alive"]]
    return [end for end in ends if end and end != address]


bad = outlasting(float(patience[0] if patience else 0), others)
if bad:
    sys.exit("%s has an agent as %s too; this machine is %s" % (", ".join(bad), host, address))

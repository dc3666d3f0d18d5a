#!/usr/bin/env python3
"""Says whether this host serves the networks and routers that neutron has given to its agents.

Usage: networks-served.py NETWORK-URL HOST; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD,
OS_PROJECT_NAME. Needs root, as it looks into name spaces.
Holds (exit 0) when
- each subnet with DHCP has a port of this host that is ACTIVE, and behind it, in the network's name space, a server that
  listens for requests for addresses and answers: an agent that reports in time may have failed to start one;
- each router's name space has the addresses of its ports and of its floating addresses. (Those that are distributed or
  highly available are left out: which node has what is then between the nodes.)
"""
import json
import os
import socket
import struct
import subprocess
import sys

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Session


def ask_server(address):
    """In the name space: exit 0 when a server of DHCP is there and answers. A stranger's request for an address would
    get no answer, so the same process is asked as what it is besides, a name server."""
    with open("/proc/net/udp", encoding="ascii") as file, open("/proc/net/udp6", encoding="ascii") as file6:
        ports = {int(line.split()[1].rpartition(":")[2], 16) for line in [*file][1:] + [*file6][1:]}
    if not {67, 547} & ports:
        return "nobody listens for requests for addresses"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # version.bind, TXT, CHAOS: nothing that it would have to ask others for
    query = struct.pack("!6H", os.getpid() & 0xFFFF, 0x0100, 1, 0, 0, 0) + b"\7version\4bind\0" + struct.pack("!2H", 16, 3)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((address, 53))
        try:
            sock.send(query)
            return None if sock.recv(512)[:2] == query[:2] else "something else answers"
        except OSError as error:
            return "the server does not answer: %s" % error


if sys.argv[1] == "--ask":
    sys.exit(ask_server(sys.argv[2]))

url, here = sys.argv[1:]
session = Session()
bad = []


def get(path, key, **match):
    return session.get("%s/v2.0/%s" % (url, path), **match)[key]


def inside(space, *argv):
    return subprocess.run(
        ["ip", "netns", "exec", space, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
    )


def look_at_network(net):
    subnets = {one["id"]: one for one in get("subnets", "subnets", network_id=net["id"]) if one["enable_dhcp"]}
    ports = [
        one
        for one in get("ports", "ports", network_id=net["id"], device_owner="network:dhcp")
        if one["binding:host_id"] == here
    ]
    served = {ip["subnet_id"]: (ip["ip_address"], one["status"]) for one in ports for ip in one["fixed_ips"]}
    for id, subnet in subnets.items():
        name = "subnet %s of %s" % (subnet["name"] or id, net["name"] or net["id"])
        address, status = served.get(id, (None, None))
        if address is None:
            bad.append("%s has no DHCP port on %s" % (name, here))
        elif status != "ACTIVE":
            bad.append("%s: the DHCP port %s on %s is %s" % (name, address, here, status))
        else:
            done = inside("qdhcp-%s" % net["id"], sys.executable, os.path.abspath(__file__), "--ask", address)
            if done.returncode != 0:
                bad.append("%s is not served on %s: %s" % (name, here, done.stderr.strip()))


def look_at_router(router):
    if router.get("ha") or router.get("distributed"):
        return
    name = "router %s" % (router["name"] or router["id"])
    ports = get("ports", "ports", device_id=router["id"])
    bad.extend(
        "%s: its port %s is %s" % (name, one["fixed_ips"][0]["ip_address"] if one["fixed_ips"] else one["id"], one["status"])
        for one in ports
        if one["status"] != "ACTIVE"
    )
    wanted = {ip["ip_address"] for one in ports for ip in one["fixed_ips"]}
    wanted |= {
        one["floating_ip_address"]
        for one in get("floatingips", "floatingips", router_id=router["id"])
        if one["fixed_ip_address"]
    }
    done = inside("qrouter-%s" % router["id"], "ip", "-json", "address", "show")
    if done.returncode != 0:
        bad.append("%s is not on %s: %s" % (name, here, done.stderr.strip()))
        return
    has = {info.get("local") for link in json.loads(done.stdout) for info in link.get("addr_info", [])}
    bad.extend("%s: %s is not on %s" % (name, address, here) for address in sorted(wanted - has))


for agent in get("agents", "agents", host=here):
    if agent["binary"] == "neutron-dhcp-agent":
        for one in get("agents/%s/dhcp-networks" % agent["id"], "networks"):
            look_at_network(one)
    elif agent["binary"] == "neutron-l3-agent":
        for one in get("agents/%s/l3-routers" % agent["id"], "routers"):
            look_at_router(one)
if bad:
    sys.exit("; ".join(bad))

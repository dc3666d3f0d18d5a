#!/usr/bin/env python3
"""Makes the first flavor, security group rules, networks with their subnet, and a router, or checks that they are there.

Usage: first-objects.py [check|served], one JSON object a line on standard input:
  {"kind": "flavor", "name", "vcpus", "ram", "disk"}   {"kind": "rule", "allow": "icmp" or "tcp/22"}
  {"kind": "network", "name", "physical" or null, "cidr", "gateway", "pool": "FIRST-LAST", "dns": [..., null],
   "mtu": bytes or 0}
  {"kind": "router", "name", "inside": network, "outside": network}
  {"kind": "served", "network": name, "within": seconds} waits until DHCP is served there, when things are made
Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME.
What is there is left alone. What is there and differs is an error: instances may use it, so a person decides. With
`check` nothing is made: exit 1 and a line for each thing that lacks. `served` asks more: each subnet must have a DHCP port and
each router ports that neutron calls ACTIVE, which they become when an agent has made them work. The services are found in
keystone's catalog.
"""
import ipaddress
import json
import sys
import time

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Failed, Session

serving = sys.argv[1:] == ["served"]
checking = serving or sys.argv[1:] == ["check"]
cloud = Session(timeout=60)
missing, places, project = [], cloud.places(), cloud.project


def lacks(text):
    if checking:
        missing.append(text)
    return checking


def differs(text):
    if not checking:
        raise SystemExit("%s differs from what was asked for; it is left as it is" % text)
    missing.append("%s differs" % text)


def network_api(what):
    return "%s/v2.0/%s" % (places["network"], what)


def find(what, **match):
    return cloud.get(network_api(what), **match)[what.replace("-", "_")]


def make(what, single, body):
    return cloud.ask("POST", network_api(what), {single: body})[single]


def flavor(name, vcpus, ram, disk):
    url = places["compute"] + "/flavors"
    for one in cloud.get(url + "/detail", is_public=None)["flavors"]:
        if one["name"] == name:
            if (one["vcpus"], one["ram"], one["disk"]) != (vcpus, ram, disk):
                differs("flavor %s" % name)
            return
    if not lacks("flavor %s is missing" % name):
        cloud.ask("POST", url, {"flavor": {"name": name, "vcpus": vcpus, "ram": ram, "disk": disk}})


def rule(allow):
    protocol, _, port = allow.partition("/")
    port = int(port) if port else None
    # Listing makes the group where the project has none yet.
    group = find("security-groups", name="default", project_id=project)[0]
    for one in group["security_group_rules"]:
        same = (one["direction"], one["ethertype"], one["protocol"]) == ("ingress", "IPv4", protocol)
        if same and (one["port_range_min"], one["port_range_max"]) == (port, port) and not one["remote_group_id"]:
            return
    if not lacks("the default security group does not allow %s" % allow):
        body = {"security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4", "protocol": protocol}
        body.update({"port_range_min": port, "port_range_max": port} if port else {})
        make("security-group-rules", "security_group_rule", body)


def network(name, physical, cidr, gateway, pool, dns, mtu=0):
    dns = [one for one in dns if one]
    gateway = gateway or str(next(ipaddress.ip_network(cidr).hosts()))
    found = find("networks", name=name, project_id=project)
    if found:
        net = found[0]
        if bool(net.get("router:external")) != bool(physical) or net.get("provider:physical_network") != physical:
            differs("network %s" % name)
    elif lacks("network %s is missing" % name):
        return
    else:
        body = {"name": name, **({"mtu": mtu} if mtu else {})}
        if physical:
            body.update({"provider:network_type": "flat", "provider:physical_network": physical})
            body.update({"router:external": True, "shared": True})
        net = make("networks", "network", body)
    wanted = {"cidr": cidr, "gateway_ip": gateway, "dns_nameservers": dns}
    if pool:
        first, last = (part.strip() for part in pool.split("-"))
        wanted["allocation_pools"] = [{"start": first, "end": last}]
    there = find("subnets", network_id=net["id"], name=name)
    if there:
        if any(there[0][key] != value for key, value in wanted.items()):
            differs("subnet %s" % name)
    elif not lacks("subnet %s is missing" % name):
        make("subnets", "subnet", {"network_id": net["id"], "name": name, "ip_version": 4, **wanted})
    if serving and there and there[0]["enable_dhcp"]:
        ports = find("ports", network_id=net["id"], device_owner="network:dhcp")
        works(
            "subnet %s has no DHCP server yet" % name,
            [one for one in ports if any(ip["subnet_id"] == there[0]["id"] for ip in one["fixed_ips"])],
        )


def served(network, within):
    """One network after the other: an agent that is told of two at once makes both at once. Whether it is served in the end is
    the verdict's question."""
    found = find("networks", name=network, project_id=project)
    deadline = time.monotonic() + within
    while found and not checking and time.monotonic() < deadline:
        ports = find("ports", network_id=found[0]["id"], device_owner="network:dhcp")
        if any(one["status"] == "ACTIVE" for one in ports):
            return
        time.sleep(1)


def works(text, ports):
    """Of several ports, as of two agents, each must work."""
    bad = ["%s is %s" % (one["id"], one["status"]) for one in ports if one["status"] != "ACTIVE"]
    if bad or not ports:
        missing.append("%s: %s" % (text, "port " + ", ".join(bad) if bad else "no agent has taken it"))


def router(name, inside, outside):
    nets = {one: (find("networks", name=one, project_id=project) or [None])[0] for one in (inside, outside)}
    if None in nets.values():
        return missing.append("router %s: its networks are missing" % name)
    found = find("routers", name=name, project_id=project)
    gateway = {"network_id": nets[outside]["id"]}
    if not found and lacks("router %s is missing" % name):
        return
    one = found[0] if found else make("routers", "router", {"name": name, "external_gateway_info": gateway})
    if (one.get("external_gateway_info") or {}).get("network_id") != gateway["network_id"]:
        if one.get("external_gateway_info"):
            differs("router %s" % name)
        elif not lacks("router %s has no gateway" % name):
            cloud.ask("PUT", network_api("routers/%s" % one["id"]), {"router": {"external_gateway_info": gateway}})
    subnet = (find("subnets", network_id=nets[inside]["id"]) or [None])[0]
    plugged = find("ports", device_id=one["id"], network_id=nets[inside]["id"])
    if subnet and not plugged and not lacks("router %s is not in the network %s" % (name, inside)):
        cloud.ask("PUT", network_api("routers/%s/add_router_interface" % one["id"]), {"subnet_id": subnet["id"]})
    if serving:
        works("router %s does not work yet" % name, find("ports", device_id=one["id"]))


kinds = {"flavor": flavor, "rule": rule, "network": network, "router": router, "served": served}
for line in filter(str.strip, sys.stdin):
    item = json.loads(line)
    kind = item.pop("kind")
    try:
        kinds[kind](**item)
    except Failed as failed:
        sys.exit("%s %s: %s" % (kind, item.get("name") or item.get("allow") or item.get("network"), failed))
if missing:
    sys.exit("\n".join(missing))

#!/usr/bin/env python3
"""Says whether nova finds the other services where nova.conf tells it to look, which is in a region of keystone's catalog; and
of a compute node, whether placement knows what it has. A nova-compute that looks in a wrong region is called up, and gets no
instance.

Usage: finds-services.py NOVA.CONF [HOST]; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME.
"""
import configparser
import sys
import urllib.parse

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Session

path, *host = sys.argv[1:]
# 2.53: hypervisors are listed from the cells that hosts are mapped to
session = Session({"OpenStack-API-Version": "compute 2.53"})
places, bad = session.places(), []


def look_in_placement():
    hypervisors = session.get(places["compute"] + "/os-hypervisors/detail")["hypervisors"]
    for name in [one["hypervisor_hostname"] for one in hypervisors if one["service"]["host"] == host[0]]:
        providers = places["placement"] + "/resource_providers"
        for provider in session.get(providers, name=name)["resource_providers"]:
            if session.get("%s/%s/inventories" % (providers, provider["uuid"]))["inventories"]:
                return
    bad.append("placement does not know what %s has" % host[0])


conf = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section="")
try:
    with open(path, encoding="utf-8") as file:
        conf.read_file(file)
except (OSError, configparser.Error) as error:
    sys.exit(str(error))
for section, kind in (("placement", "placement"), ("neutron", "network"), ("glance", "image")):
    region = conf.get(section, "region_name", fallback=None)
    found = [one["region"] for what in session.token["catalog"] if what["type"] == kind for one in what["endpoints"]]
    if region and region not in found:
        where = "is in %s" % ", ".join(sorted(set(found))) if found else "is not in the catalog"
        bad.append("[%s] of %s says region %s, and the service %s %s" % (section, path, region, kind, where))
if host and not bad:
    look_in_placement()
if bad:
    sys.exit("; ".join(bad))

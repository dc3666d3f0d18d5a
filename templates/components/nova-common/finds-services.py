#!/usr/bin/env python3
"""Says whether nova finds the other services where nova.conf tells it to look, which is in a region of keystone's catalog; and
of a compute node, whether placement knows what it has. A nova-compute that looks in a wrong region is called up, and gets no
instance.

Usage: finds-services.py NOVA.CONF [HOST]; environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME.
"""
import configparser
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request

path, *host = sys.argv[1:]
env = os.environ
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
domain = {"name": "Default"}
user = {"name": env["OS_USERNAME"], "domain": domain, "password": env["OS_PASSWORD"]}
scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": domain}}
auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
bad, places, token = [], {}, None


def get(url, version=None):
    headers = {"X-Auth-Token": token, **({"OpenStack-API-Version": version} if version else {})}
    with opener.open(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        return json.loads(answer.read())


def look_in_placement():
    # 2.53: hypervisors are listed from the cells that hosts are mapped to
    hypervisors = get(places["compute"] + "/os-hypervisors/detail", "compute 2.53")["hypervisors"]
    for name in [one["hypervisor_hostname"] for one in hypervisors if one["service"]["host"] == host[0]]:
        found = get("%s/resource_providers?name=%s" % (places["placement"], urllib.parse.quote(name)))
        for provider in found["resource_providers"]:
            if get("%s/resource_providers/%s/inventories" % (places["placement"], provider["uuid"]))["inventories"]:
                return
    bad.append("placement does not know what %s has" % host[0])


try:
    login = urllib.request.Request(
        env["OS_AUTH_URL"] + "/auth/tokens", json.dumps(auth).encode(), {"Content-Type": "application/json"}
    )
    with opener.open(login, timeout=20) as answer:
        token = answer.headers["X-Subject-Token"]
        catalog = json.loads(answer.read())["token"]["catalog"]
    conf = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section="")
    with open(path, encoding="utf-8") as file:
        conf.read_file(file)
    for service in catalog:
        for endpoint in service["endpoints"]:
            if endpoint["interface"] == "internal":
                places[service["type"]] = endpoint["url"].rstrip("/")
    for section, kind in (("placement", "placement"), ("neutron", "network"), ("glance", "image")):
        region = conf.get(section, "region_name", fallback=None)
        regions = sorted({one["region"] for what in catalog if what["type"] == kind for one in what["endpoints"]})
        if region and region not in regions:
            where = "is in %s" % ", ".join(regions) if regions else "is not in the catalog"
            bad.append("[%s] of %s says region %s, and the service %s %s" % (section, path, region, kind, where))
    if host and not bad:
        look_in_placement()
except urllib.error.HTTPError as error:
    sys.exit("%s: %s" % (error.url, error))
except (OSError, configparser.Error) as error:
    sys.exit("%s" % (getattr(error, "reason", None) or error))
if bad:
    sys.exit("; ".join(bad))

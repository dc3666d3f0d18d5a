#!/usr/bin/env python3
"""Makes regions, projects, roles, services, endpoints and users in keystone, or checks that they are there.

Usage: register.py [check], one JSON object a line on standard input:
  {"kind": "region", "name"}  {"kind": "project", "name", "domain"}  {"kind": "role", "name"}
  {"kind": "service", "type", "name"}  {"kind": "endpoint", "type", "region", "url"}
  {"kind": "user", "name", "domain", "project" or "", "password", "roles": [..., null]}
Environment: OS_AUTH_URL (ending in /v3), OS_PASSWORD of `admin`.
What is there is left alone; what differs is made right (a service's name, an endpoint's URL, a user's password, a role
that lacks). Nothing is deleted. With `check` nothing is changed: exit 1 and a line for each thing that is missing.
Each collection is listed once, and what does not depend on one another is made side by side.
"""
import concurrent.futures
import json
import os
import sys

sys.path.append(sys.path[0] + "/../openstack")
import openstack_api
from openstack_api import Failed, log_in

INTERFACES = ("public", "internal", "admin")
checking = sys.argv[1:] == ["check"]
base, key, missing = os.environ["OS_AUTH_URL"], {}, []


def call(method, path, body=None, what=None):
    """The answer's JSON."""
    try:
        return openstack_api.call(method, base + path, body, key, timeout=60)[0]
    except Failed as failed:
        raise Failed("%s: %s" % (what, failed), failed.status) if what else failed from None


class Collection(list):
    """All objects of one kind (`services`), listed once."""

    def __init__(self, what, single):
        super().__init__(call("GET", "/" + what)[what])
        self.what, self.single = what, single

    def find(self, **match):
        return next((one for one in self if all(one.get(key) == value for key, value in match.items())), None)

    def make(self, **body):
        try:
            made = call("POST", "/" + self.what, {self.single: body}, "%s %s" % (self.single, body.get("name", "")))
        except Failed as failed:
            # Another node of the cluster, or an answer that got lost after the work was done.
            if failed.status != 409:
                raise
            made = {self.single: self.again(body)}
        self.append(made[self.single])
        return self[-1]

    def again(self, body):
        """The object that somebody else made meanwhile."""
        names = {key: body[key] for key in ("id", "name", "type", "domain_id") if key in body}
        return next(one for one in Collection(self.what, self.single) if all(one.get(k) == v for k, v in names.items()))

    def change(self, one, **body):
        call("PATCH", "/%s/%s" % (self.what, one["id"]), {self.single: body})
        one.update(body)

    def ensure(self, text, match, **more):
        """The object with `match`, made or made right; with `check`, None where it is missing."""
        one = self.find(**match)
        wrong = {key: value for key, value in more.items() if one and one.get(key) != value}
        if one and not wrong:
            return one
        if checking:
            missing.append("%s %s %s" % (self.single, text, "differs" if one else "is missing"))
        elif one:
            self.change(one, **wrong)
        else:
            one = self.make(**match, **more)
        return one


def endpoint(item):
    """One endpoint: its type, interface, region and URL."""
    kind, interface, region, url = item
    owner = services.find(type=kind)
    if owner is None:
        return missing.append("endpoint %s: its service is missing" % kind)
    match = {"service_id": owner["id"], "interface": interface, "region_id": region}
    return endpoints.ensure("%s %s of %s" % (kind, interface, region), match, url=url, enabled=True)


def user(item):
    name, domain, project, password = (item[key] for key in ("name", "domain", "project", "password"))
    home = domains.find(name=domain)
    place = projects.find(name=project, domain_id=home and home["id"]) if project else home
    if home is None or place is None:
        return missing.append("user %s: %s is missing" % (name, project or domain))
    one = users.find(name=name, domain_id=home["id"])
    fresh = one is None
    if fresh and checking:
        return missing.append("user %s is missing" % name)
    if fresh:
        one = users.make(name=name, domain_id=home["id"], password=password, enabled=True)
    where = "project" if project else "domain"
    for word in filter(None, item["roles"]):
        role = roles.find(name=word)
        if role is None:
            missing.append("user %s: role %s is missing" % (name, word))
        elif (one["id"], role["id"], where, place["id"]) in assigned:
            continue
        elif checking:
            missing.append("user %s has no role %s" % (name, word))
        else:
            call("PUT", "/%ss/%s/users/%s/roles/%s" % (where, place["id"], one["id"], role["id"]), what="user " + name)
    if fresh:
        return None
    try:
        log_in(base, name, password, domain, {where: {"id": place["id"]}}, timeout=60)
    except Failed as failed:
        if failed.status != 401:
            raise
        if checking:
            return missing.append("user %s: keystone refuses its password" % name)
        users.change(one, password=password, enabled=True)
    return None


scope = {"project": {"name": "admin", "domain": {"name": "Default"}}}
key = log_in(base, "admin", os.environ["OS_PASSWORD"], "Default", scope, timeout=60)[1]
wanted = {kind: [] for kind in ("region", "project", "role", "service", "endpoint", "user")}
for line in filter(str.strip, sys.stdin):
    item = json.loads(line)
    wanted[item.pop("kind")].append(item)
with concurrent.futures.ThreadPoolExecutor(6) as pool:
    names = ("regions", "domains", "projects", "roles", "services", "endpoints", "users")
    lists = dict(zip(names, pool.map(lambda what: Collection(what, what[:-1]), names)))
    domains, projects, roles, services, endpoints, users = (lists[name] for name in names[1:])
    assigned = set()
    for one in call("GET", "/role_assignments")["role_assignments"]:
        for where in ("project", "domain"):
            if "user" in one and where in one["scope"]:
                assigned.add((one["user"]["id"], one["role"]["id"], where, one["scope"][where]["id"]))
    for item in wanted["region"]:
        lists["regions"].ensure(item["name"], {"id": item["name"]})
    for name in sorted({item["domain"] for item in wanted["project"] + wanted["user"]}):
        domains.ensure(name, {"name": name})
    for item in wanted["project"]:
        home = domains.find(name=item["domain"])
        if home:
            projects.ensure(item["name"], {"name": item["name"], "domain_id": home["id"]})
    for name in sorted({role for item in wanted["user"] for role in item["roles"] if role} | {one["name"] for one in wanted["role"]}):
        roles.ensure(name, {"name": name})
    for item in wanted["service"]:
        services.ensure(item["type"], {"type": item["type"]}, name=item["name"], enabled=True)
    places = [(one["type"], face, one["region"], one["url"]) for one in wanted["endpoint"] for face in INTERFACES]
    list(pool.map(endpoint, places))
    # Last: whoever waits for a user's login finds the catalog whole.
    list(pool.map(user, wanted["user"]))
if missing:
    sys.exit("\n".join(sorted(missing)))

#!/usr/bin/env python3
"""Asks heat for what its users ask it for.

Usage: stacks.py engine HEAT-URL HOST   an engine of that host reports that it is up
       stacks.py stack HEAT-URL HOST    a stack of a random string is made, tells the string, and is deleted
       stacks.py domain NAME            the account administers that domain
HEAT-URL without the project, such as http://con01:8004/v1.
Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, and OS_PROJECT_NAME (not for `domain`).
"""
import os
import sys
import time

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Failed, Session

verb, *words = sys.argv[1:]
heat = Session(domain=words[0] if verb == "domain" else None, timeout=60)
TEMPLATE = {
    "heat_template_version": "2018-08-31",
    "resources": {
        "word": {"type": "OS::Heat::RandomString", "properties": {"length": 12}},
        "nothing": {"type": "OS::Heat::None", "depends_on": "word"},
    },
    "outputs": {"word": {"value": {"get_resource": "word"}}},
}


def engine(url, host):
    services = heat.get(url + "/services")["services"]
    mine = [one for one in services if one["hostname"] == host or one["host"] == host]
    if not mine:
        sys.exit("no engine of %s has ever reported" % host)
    if not any(one["status"] == "up" for one in mine):
        sys.exit("the engine of %s is %s" % (host, mine[0]["status"]))


def stack(url, host):
    name = "seedsmith-check-%s" % host

    def look():
        try:
            return heat.get("%s/stacks/%s" % (url, name))["stack"]
        except Failed as failed:
            if failed.status == 404:
                return None
            raise

    def settled(wanted, absent):
        deadline = time.monotonic() + 70
        while time.monotonic() < deadline:
            one = look()
            status = one["stack_status"] if one else absent
            if status == wanted:
                return one
            if status.endswith("_FAILED"):
                sys.exit("the stack is %s: %s" % (status, one.get("stack_status_reason")))
            time.sleep(1)
        sys.exit("the stack is not %s in time" % wanted)

    def delete():
        one = look()
        if one:
            heat.ask("DELETE", "%s/stacks/%s/%s" % (url, name, one["id"]))
            settled("DELETE_COMPLETE", "DELETE_COMPLETE")

    delete()
    try:
        heat.ask("POST", url + "/stacks", {"stack_name": name, "template": TEMPLATE, "timeout_mins": 5})
        one = settled("CREATE_COMPLETE", "")
        word = one["outputs"][0].get("output_value") or ""
        if len(word) != 12:
            sys.exit("the stack tells %r, not a string of 12 characters" % word)
    finally:
        delete()


if verb == "domain":
    heat.get(os.environ["OS_AUTH_URL"] + "/users", domain_id=heat.token["domain"]["id"])
else:
    {"engine": engine, "stack": stack}[verb]("%s/%s" % (words[0], heat.project), words[1])

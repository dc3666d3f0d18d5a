#!/usr/bin/env python3
"""Asks heat for what its users ask it for.

Usage: stacks.py engine HEAT-URL HOST   an engine of that host reports that it is up
       stacks.py stack HEAT-URL HOST    a stack of a random string is made, tells the string, and is deleted
       stacks.py domain NAME            the account administers that domain
HEAT-URL without the project, such as http://con01:8004/v1.
Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, and OS_PROJECT_NAME (not for `domain`).
"""
import json
import os
import sys
import time
import urllib.error
import urllib.request

verb, *words = sys.argv[1:]
env = os.environ
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TEMPLATE = {
    "heat_template_version": "2018-08-31",
    "resources": {
        "word": {"type": "OS::Heat::RandomString", "properties": {"length": 12}},
        "nothing": {"type": "OS::Heat::None", "depends_on": "word"},
    },
    "outputs": {"word": {"value": {"get_resource": "word"}}},
}


def call(method, url, body=None, **headers):
    """The answer's JSON, and its headers."""
    headers["Content-Type"] = "application/json"
    data = None if body is None else json.dumps(body).encode()
    try:
        with opener.open(urllib.request.Request(url, data, headers, method=method), timeout=60) as answer:
            text = answer.read()
            return (json.loads(text) if text else {}), answer.headers
    except urllib.error.HTTPError as error:
        error.msg = "%s: %s" % (error.msg, error.read(500).decode(errors="replace"))
        raise


def log_in(domain):
    """The token's body and the header that carries it."""
    user = {"name": env["OS_USERNAME"], "domain": {"name": domain}, "password": env["OS_PASSWORD"]}
    project = env.get("OS_PROJECT_NAME")
    scope = {"project": {"name": project, "domain": {"name": domain}}} if project else {"domain": {"name": domain}}
    auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    answer, headers = call("POST", env["OS_AUTH_URL"] + "/auth/tokens", auth)
    return answer["token"], {"X-Auth-Token": headers["X-Subject-Token"]}


def engine(url, host):
    services = call("GET", url + "/services", **key)[0]["services"]
    mine = [one for one in services if one["hostname"] == host or one["host"] == host]
    if not mine:
        sys.exit("no engine of %s has ever reported" % host)
    if not any(one["status"] == "up" for one in mine):
        sys.exit("the engine of %s is %s" % (host, mine[0]["status"]))


def stack(url, host):
    name = "seedsmith-check-%s" % host

    def look():
        try:
            return call("GET", "%s/stacks/%s" % (url, name), **key)[0]["stack"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
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
            call("DELETE", "%s/stacks/%s/%s" % (url, name, one["id"]), **key)
            settled("DELETE_COMPLETE", "DELETE_COMPLETE")

    delete()
    try:
        call("POST", url + "/stacks", {"stack_name": name, "template": TEMPLATE, "timeout_mins": 5}, **key)
        one = settled("CREATE_COMPLETE", "")
        word = one["outputs"][0].get("output_value") or ""
        if len(word) != 12:
            sys.exit("the stack tells %r, not a string of 12 characters" % word)
    finally:
        delete()


try:
    token, key = log_in(words[0] if verb == "domain" else "Default")
    if verb == "domain":
        home = token["domain"]["id"]
        call("GET", "%s/users?domain_id=%s" % (env["OS_AUTH_URL"], home), **key)
    else:
        {"engine": engine, "stack": stack}[verb]("%s/%s" % (words[0], token["project"]["id"]), words[1])
except urllib.error.HTTPError as error:
    sys.exit("%s: %s %s" % (error.url, error.code, error.msg))
except OSError as error:
    sys.exit("%s: %s" % (env["OS_AUTH_URL"], getattr(error, "reason", None) or error))

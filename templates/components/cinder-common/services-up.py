#!/usr/bin/env python3
"""Says whether services of cinder report to its API that they are up.

Usage: services-up.py VOLUME-URL BINARY@HOST...; URL without the project, such as http://con01:8776/v3; HOST of
`cinder-volume` with its back end (`blk01@lvm`).
Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME.
Holds (exit 0) when each is up and enabled.
"""
import json
import os
import sys
import urllib.error
import urllib.request

url, *wanted = sys.argv[1:]
env = os.environ
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
domain = {"name": "Default"}
user = {"name": env["OS_USERNAME"], "domain": domain, "password": env["OS_PASSWORD"]}
scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": domain}}
auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
bad = []
try:
    login = urllib.request.Request(
        env["OS_AUTH_URL"] + "/auth/tokens", json.dumps(auth).encode(), {"Content-Type": "application/json"}
    )
    with opener.open(login, timeout=20) as answer:
        token, project = answer.headers["X-Subject-Token"], json.loads(answer.read())["token"]["project"]["id"]
    request = urllib.request.Request("%s/%s/os-services" % (url, project), headers={"X-Auth-Token": token})
    with opener.open(request, timeout=20) as answer:
        services = {(one["binary"], one["host"]): one for one in json.loads(answer.read())["services"]}
    for text in wanted:
        binary, _, host = text.partition("@")
        one = services.get((binary, host))
        if one is None:
            bad.append("%s on %s has never reported" % (binary, host))
        elif (one["state"], one["status"]) != ("up", "enabled"):
            bad.append("%s on %s is %s and %s" % (binary, host, one["state"], one["status"]))
except urllib.error.HTTPError as error:
    sys.exit("%s: %s" % (error.url, error))
except OSError as error:
    sys.exit("%s: %s" % (url, getattr(error, "reason", None) or error))
if bad:
    sys.exit("; ".join(bad))

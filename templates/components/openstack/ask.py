#!/usr/bin/env python3
"""Asks a service of OpenStack something with a token, and makes sure that it refuses to answer without one.

Usage: ask.py URL [KEY]; the answer must be JSON with that key.
Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME; OS_HEADER (`Name: value`) is sent as
well, such as a microversion.
Holds (exit 0) when the answer with the token is 200 and the one without is 401.
"""
import json
import os
import sys
import urllib.error
import urllib.request

url, key = (sys.argv[1:] + [None])[:2]
env = os.environ
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
extra = dict([env["OS_HEADER"].split(": ", 1)]) if env.get("OS_HEADER") else {}
domain = {"name": "Default"}
user = {"name": env["OS_USERNAME"], "domain": domain, "password": env["OS_PASSWORD"]}
scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": domain}}
auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
what = env["OS_AUTH_URL"]
try:
    login = urllib.request.Request(what + "/auth/tokens", json.dumps(auth).encode(), {"Content-Type": "application/json"})
    with opener.open(login, timeout=20) as answer:
        token = answer.headers["X-Subject-Token"]
    what = url
    with opener.open(urllib.request.Request(url, headers={"X-Auth-Token": token, **extra}), timeout=20) as answer:
        body = json.loads(answer.read())
    if key is not None and key not in body:
        sys.exit("%s answers without %s" % (url, key))
    try:
        opener.open(urllib.request.Request(url, headers=extra), timeout=20).close()
        sys.exit("%s answers without a token: it must not" % url)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            sys.exit("%s without a token: %s, not 401" % (url, error))
except urllib.error.HTTPError as error:
    sys.exit("%s: %s %s" % (what, error, error.read(300).decode(errors="replace")))
except OSError as error:
    sys.exit("%s: %s" % (what, getattr(error, "reason", None) or error))
except ValueError as error:
    sys.exit("%s: no JSON: %s" % (what, error))

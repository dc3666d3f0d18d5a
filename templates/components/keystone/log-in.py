#!/usr/bin/env python3
"""Gets a token from keystone, as a service or a person would, with the standard library alone.

Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME (empty: the domain itself),
OS_USER_DOMAIN_NAME (`Default` without it).
Holds (exit 0) when keystone issues a token for that scope.
"""
import json
import os
import sys
import urllib.error
import urllib.request

env = os.environ
domain = {"name": env.get("OS_USER_DOMAIN_NAME") or "Default"}
user = {"name": env["OS_USERNAME"], "domain": domain, "password": env["OS_PASSWORD"]}
project = env.get("OS_PROJECT_NAME")
scope = {"project": {"name": project, "domain": domain}} if project else {"domain": domain}
auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
request = urllib.request.Request(
    env["OS_AUTH_URL"] + "/auth/tokens", json.dumps(auth).encode(), {"Content-Type": "application/json"}
)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    with opener.open(request, timeout=20) as answer:
        if not answer.headers.get("X-Subject-Token"):
            sys.exit("%s answers without a token" % env["OS_AUTH_URL"])
except urllib.error.HTTPError as error:
    sys.exit("%s refuses %s: %s" % (env["OS_AUTH_URL"], user["name"], error))
except OSError as error:
    sys.exit("%s: %s" % (env["OS_AUTH_URL"], getattr(error, "reason", None) or error))

#!/usr/bin/env python3
"""Asks a service of OpenStack something with a token, and makes sure that it refuses to answer without one.

Usage: ask.py URL [KEY]; the answer must be JSON with that key.
Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME; OS_HEADER (`Name: value`) is sent as
well, such as a microversion.
Holds (exit 0) when the answer with the token is 200 and the one without is 401.
"""
import os
import sys

from openstack_api import Failed, Session, call

url, key = (sys.argv[1:] + [None])[:2]
header = os.environ.get("OS_HEADER")
extra = dict([header.split(": ", 1)]) if header else {}
body = Session(extra).get(url)
if key is not None and key not in body:
    sys.exit("%s answers without %s" % (url, key))
try:
    call("GET", url, headers=extra)
except Failed as failed:
    if failed.status != 401:
        sys.exit("without a token, and not 401: %s" % failed)
else:
    sys.exit("%s answers without a token: it must not" % url)

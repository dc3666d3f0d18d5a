#!/usr/bin/env python3
"""Says whether services of cinder report to its API that they are up.

Usage: services-up.py VOLUME-URL BINARY@HOST...; URL without the project, such as http://con01:8776/v3; HOST of
`cinder-volume` with its back end (`blk01@lvm`).
Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME.
Holds (exit 0) when each is up and enabled.
"""
import sys

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Session, not_up

url, *wanted = sys.argv[1:]
session = Session()
services = session.get("%s/%s/os-services" % (url, session.project))["services"]
bad = not_up(services, [text.split("@", 1) for text in wanted])
if bad:
    sys.exit("; ".join(bad))

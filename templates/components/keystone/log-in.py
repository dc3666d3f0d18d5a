#!/usr/bin/env python3
"""Gets a token from keystone, as a service or a person would, with the standard library alone.

Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME (empty: the domain itself),
OS_USER_DOMAIN_NAME (`Default` without it).
Holds (exit 0) when keystone issues a token for that scope.
"""
import sys

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Session

Session()

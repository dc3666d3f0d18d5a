#!/usr/bin/env python3
"""Says whether `keystone-manage bootstrap` has done its work: asks the database, as nothing answers HTTP yet.

Usage: bootstrapped.py REGION ENDPOINT-URL; environment: URL of the database.
Holds when `admin` has its role on its project and the three endpoints of the region have that URL.
"""
import os
import sys
from urllib.parse import unquote, urlsplit

import pymysql

region, wanted = sys.argv[1:]
url = urlsplit(os.environ["URL"])
try:
    database = pymysql.connect(
        host=url.hostname,
        port=url.port or 3306,
        user=unquote(url.username),
        password=unquote(url.password),
        database=url.path[1:],
        connect_timeout=10,
    )
    with database.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM assignment a JOIN role r ON r.id = a.role_id JOIN local_user u ON u.user_id = a.actor_id"
            " JOIN project p ON p.id = a.target_id WHERE u.name = 'admin' AND r.name = 'admin' AND p.name = 'admin'"
        )
        if cursor.fetchone()[0] == 0:
            sys.exit("the user admin has no role on the project admin")
        cursor.execute(
            "SELECT COUNT(*) FROM endpoint e JOIN service s ON s.id = e.service_id"
            " WHERE s.type = 'identity' AND e.region_id = %s AND e.url = %s",
            (region, wanted),
        )
        found = cursor.fetchone()[0]
        if found != 3:
            sys.exit("%d of 3 endpoints of %s are %s" % (found, region, wanted))
except pymysql.MySQLError as error:
    sys.exit("database: %s" % error)

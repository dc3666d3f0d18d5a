#!/usr/bin/env python3
"""Says whether heat's database has the newest schema that the installed package knows.

Environment: URL of the database.
Releases up to 2023.1 number their revisions (sqlalchemy-migrate), later ones chain them (alembic): whichever the package
has is looked at.
"""
import os
import re
import sys
from urllib.parse import unquote, urlsplit

import pymysql

FOLDER = "/usr/lib/python3/dist-packages/heat/db"
revision = re.compile(r"^revision(?:\s*:\s*\w+)?\s*=\s*['\"]([^'\"]+)['\"]", re.M)
downs = re.compile(r"^down_revision(?:\s*:[^=]+)?\s*=\s*['\"]([^'\"]+)['\"]", re.M)
known, followed, numbers = set(), set(), set()
for place, _, names in os.walk(FOLDER):
    for name in names if os.path.basename(place) == "versions" else []:
        if not name.endswith(".py"):
            continue
        if re.match(r"\d{3}_", name):
            numbers.add(int(name[:3]))
        with open(os.path.join(place, name), encoding="utf-8") as file:
            text = file.read()
        known.update(revision.findall(text))
        followed.update(downs.findall(text))
heads = {str(one) for one in known - followed} or {str(max(numbers))} if known or numbers else set()
query = "SELECT version_num FROM alembic_version" if known else "SELECT version FROM migrate_version"
if not heads:
    sys.exit("no revisions in %s" % FOLDER)
url = urlsplit(os.environ["URL"])
try:
    database = pymysql.connect(
        host=url.hostname,
        port=url.port or 3306,
        user=unquote(url.username),
        password=unquote(url.password),
        database=url.path[1:].partition("?")[0],
        connect_timeout=10,
    )
    with database.cursor() as cursor:
        cursor.execute(query)
        have = {str(row[0]) for row in cursor.fetchall()}
except pymysql.err.ProgrammingError as error:
    sys.exit("no schema yet" if error.args[0] == 1146 else "database: %s" % error)
except pymysql.MySQLError as error:
    sys.exit("database: %s" % error)
if not heads <= have:
    sys.exit("the database is at %s, the package at %s" % (", ".join(sorted(have)) or "nothing", ", ".join(sorted(heads))))

#!/usr/bin/env python3
"""Says whether a database has the newest schema that the installed package knows.

Usage: schema-at-head.py FOLDER [TABLE]; FOLDER holds alembic's revisions, below the distribution's Python packages
(`nova/db/main/migrations`); TABLE is where the database keeps its revision (`alembic_version`).
Environment: URL of the database, or of several, a line each.
Holds (exit 0) when each database is at every head of the folder: revisions that no other one comes after. The services'
own commands say the same, but take seconds to start.
"""
import os
import re
import sys
from urllib.parse import unquote, urlsplit

import pymysql

PACKAGES = "/usr/lib/python3/dist-packages"
folder, table = (sys.argv[1:] + ["alembic_version"])[:2]
revision = re.compile(r"^revision(?:\s*:\s*\w+)?\s*=\s*['\"]([^'\"]+)['\"]", re.M)
# A revision that another one depends on is kept no longer once the other one is there.
downs = re.compile(r"^(?:down_revision|depends_on)(?:\s*:[^=]+)?\s*=\s*(\([^)]*\)|.*)$", re.M)
word = re.compile(r"['\"]([^'\"]+)['\"]")
known, followed = set(), set()
for place, _, names in os.walk(os.path.join(PACKAGES, folder)):
    for name in names:
        if not name.endswith(".py"):
            continue
        with open(os.path.join(place, name), encoding="utf-8") as file:
            text = file.read()
        found = revision.search(text)
        if found:
            known.add(found.group(1))
            for down in downs.findall(text):
                followed.update(word.findall(down))
heads = known - followed
if not heads:
    sys.exit("no revisions in %s" % os.path.join(PACKAGES, folder))
for line in os.environ["URL"].split():
    url = urlsplit(line)
    name = url.path[1:].partition("?")[0]
    try:
        database = pymysql.connect(
            host=url.hostname,
            port=url.port or 3306,
            user=unquote(url.username),
            password=unquote(url.password),
            database=name,
            connect_timeout=10,
        )
        with database.cursor() as cursor:
            cursor.execute("SELECT version_num FROM `%s`" % table.replace("`", "``"))
            have = {row[0] for row in cursor.fetchall()}
    except pymysql.err.ProgrammingError as error:
        sys.exit("%s has no schema yet" % name if error.args[0] == 1146 else "%s: %s" % (name, error))
    except pymysql.MySQLError as error:
        sys.exit("%s: %s" % (name, error))
    if not heads <= have:
        at = ", ".join(sorted(have)) or "nothing"
        sys.exit("%s is at %s, the package at %s" % (name, at, ", ".join(sorted(heads))))

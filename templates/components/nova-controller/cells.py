#!/usr/bin/env python3
"""Makes the two cells that every nova has, or makes right what they say.

Usage: cells.py [check]
Environment: API_DATABASE, CELL0 and CELL1, URLs of the databases; BROKER, the transport URL.
A cell's row holds these URLs, passwords and all; a row with an old one would be used silently. `create_cell` a second
time is an error, so the rows are looked at first. With `check`: exit 1 when a row is missing or says something else.
"""
import os
import subprocess
import sys
from urllib.parse import unquote, urlsplit

import pymysql

env = os.environ
NOBODY = "00000000-0000-0000-0000-000000000000"


def connect():
    url = urlsplit(env["API_DATABASE"])
    return pymysql.connect(
        host=url.hostname,
        port=url.port or 3306,
        user=unquote(url.username),
        password=unquote(url.password),
        database=url.path[1:],
        connect_timeout=10,
    )


def rows():
    with connect() as database, database.cursor() as cursor:
        cursor.execute("SELECT uuid, name, transport_url, database_connection FROM cell_mappings")
        return cursor.fetchall()


def encode_cell0():
    """Nova (seen in 26) takes the encoding out of the URL that it makes, which few passwords survive."""
    with connect() as database, database.cursor() as cursor:
        change = "UPDATE cell_mappings SET database_connection = %s WHERE uuid = %s"
        cursor.execute(change, (env["CELL0"], NOBODY))
        database.commit()


def same(one, other):
    return one.partition("?")[0].rstrip("/") == other.partition("?")[0].rstrip("/")


def manage(*words):
    """URLs with passwords stay out of the arguments: nova-manage takes them from nova.conf."""
    result = subprocess.run(["nova-manage", "cell_v2", *words], text=True, capture_output=True)
    print(result.stdout, result.stderr, sep="")
    if result.returncode != 0:
        sys.exit("nova-manage cell_v2 %s: exit %d" % (words[0], result.returncode))


try:
    cells = rows()
except pymysql.MySQLError as error:
    sys.exit("database: %s" % error)
cell0 = [row for row in cells if row[0] == NOBODY]
cell1 = [row for row in cells if row[1] == "cell1"]
good0 = cell0 and same(cell0[0][3], env["CELL0"])
good1 = cell1 and same(cell1[0][2], env["BROKER"]) and same(cell1[0][3], env["CELL1"])
if sys.argv[1:] == ["check"]:
    bad = [name for name, good in (("cell0", good0), ("cell1", good1)) if not good]
    sys.exit("missing, or with other URLs than nova.conf: %s" % ", ".join(bad) if bad else 0)
if not cell0:
    manage("map_cell0")
    encode_cell0()
elif not good0:
    sys.exit("cell0 is mapped to another database; see nova-manage cell_v2 update_cell --cell_uuid %s" % NOBODY)
if not cell1:
    manage("create_cell", "--name=cell1")
elif not good1:
    manage("update_cell", "--cell_uuid", cell1[0][0], "--name", "cell1")

#!/usr/bin/env python3
"""`keystone-manage db_sync`, also with a password that a URL writes with percent signs.

keystone (seen in 22) hands the database's URL to alembic as it stands, in keystone/common/sql/upgrades.py. Alembic's
configuration takes a percent sign for the start of a reference, and refuses; doubled, it is one.
What went wrong is said here too, as keystone writes it to its log alone.
"""
import os
import sys

from alembic.config import Config
from keystone.cmd.manage import main

as_it_is = Config.set_main_option


def with_signs_doubled(config, name, value):
    try:
        as_it_is(config, name, value)
    except ValueError:
        as_it_is(config, name, value.replace("%", "%%"))


Config.set_main_option = with_signs_doubled
sys.argv = ["keystone-manage", "db_sync"]
try:
    sys.exit(main())
except Exception as error:
    print("%s: %s" % (type(error).__name__, error), file=sys.stderr, flush=True)
    # An orderly end adds errors of threads that are no longer there, after the one that matters.
    os._exit(1)

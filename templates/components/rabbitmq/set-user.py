#!/usr/bin/env python3
"""Makes a user of the broker that may do everything in its virtual host, or gives an existing one password and rights.

Usage: set-user.py NAME, the password on standard input.
The password's salted hash goes to the broker as a definition in a file: `rabbitmqctl add_user` would take the
password from its standard input too, but waits for it for ever with RabbitMQ 4.0 on Erlang 27. And each call of
rabbitmqctl starts an Erlang of its own, which takes seconds: one call does it all.
"""
import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

name, password = sys.argv[1], sys.stdin.readline().rstrip("\n")
if not password:
    sys.exit("no password on standard input")
salt = os.urandom(4)
user = {
    "name": name,
    "password_hash": base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode(),
    "hashing_algorithm": "rabbit_password_hashing_sha256",
    "tags": "",
}
rights = {"user": name, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # mode 0600
    json.dump({"users": [user], "permissions": [rights]}, file)
    file.flush()
    if os.geteuid() == 0:
        with contextlib.suppress(LookupError):  # without that user the next line says more
            shutil.chown(file.name, "rabbitmq")  # as whom rabbitmqctl runs
    sys.exit(subprocess.run(["rabbitmqctl", "--quiet", "import_definitions", file.name]).returncode)

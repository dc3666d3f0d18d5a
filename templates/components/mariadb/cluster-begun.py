#!/usr/bin/env python3
"""Holds (exit 0) when a Galera cluster exists, or this node is about to found it.

Usage: cluster-begun.py "ADDRESS:PORT ..." FILE
A cluster exists when one of the members' ports accepts a connection; FILE is what makes the server found one.
"""
import os
import socket
import sys

for end in sys.argv[1].split():
    host, _, port = end.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError as error:
        print(f"{end}: {error}", file=sys.stderr)
    else:
        print(f"{end} is open")
        sys.exit(0)
sys.exit(0 if os.path.exists(sys.argv[2]) else 1)

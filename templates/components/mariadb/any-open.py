#!/usr/bin/env python3
"""Holds (exit 0) when at least one of the given TCP ports accepts a connection.

Usage: any-open.py "ADDRESS:PORT ..."
"""
import socket
import sys

for end in " ".join(sys.argv[1:]).split():
    host, _, port = end.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError as error:
        print(f"{end}: {error}", file=sys.stderr)
    else:
        print(f"{end} is open")
        sys.exit(0)
sys.exit(1)

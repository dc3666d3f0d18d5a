#!/usr/bin/env python3
"""Asks memcached in its own text protocol, with the standard library alone.

Usage: memcached-answers.py "HOST:PORT ..." [MEBIBYTES]
Holds (exit 0) when every server gives its statistics; with a size, also when it may use that much and stores,
returns and deletes a value, under a random key that expires by itself.
"""
import os
import socket
import sys


class Talk:
    """One connection; lines end in CR LF."""

    def __init__(self, sock):
        self.stream = sock.makefile("rwb")

    def say(self, *lines):
        self.stream.write("".join(line + "\r\n" for line in lines).encode())
        self.stream.flush()

    def line(self):
        text = self.stream.readline()
        if not text.endswith(b"\n"):
            raise ValueError("the connection was closed")
        return text.decode(errors="replace").rstrip("\r\n")

    def expect(self, wanted):
        found = self.line()
        if found != wanted:
            raise ValueError(f"{found!r} instead of {wanted!r}")


def statistics(talk):
    talk.say("stats")
    rows = []
    while True:
        row = talk.line().split(" ", 2)
        if row == ["END"]:
            return dict(rows)
        if row[0] != "STAT" or len(row) != 3:
            raise ValueError(f"no statistics: {' '.join(row)!r}")
        rows.append(row[1:])


def keep(talk):
    key, value = "seedsmith-" + os.urandom(8).hex(), os.urandom(8).hex()
    talk.say(f"set {key} 0 60 {len(value)}", value)
    talk.expect("STORED")
    talk.say(f"get {key}")
    for line in (f"VALUE {key} 0 {len(value)}", value, "END"):
        talk.expect(line)
    talk.say(f"delete {key}")
    talk.expect("DELETED")


def main():
    mebibytes = int(sys.argv[2]) if len(sys.argv) > 2 else None
    failed = False
    for end in sys.argv[1].split():
        host, _, port = end.rpartition(":")
        try:
            with socket.create_connection((host, int(port)), timeout=5) as sock:
                talk = Talk(sock)
                found = statistics(talk)
                if mebibytes is not None:
                    if int(found["limit_maxbytes"]) != mebibytes << 20:
                        raise ValueError(f"{int(found['limit_maxbytes']) >> 20} MiB instead of {mebibytes}")
                    keep(talk)
                print(f"{end}: version {found['version']}")
        except (OSError, ValueError, KeyError) as error:
            print(f"{end}: {error}", file=sys.stderr)
            failed = True
    sys.exit(1 if failed else 0)


main()

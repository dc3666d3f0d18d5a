#!/usr/bin/env python3
"""Logs in to a RabbitMQ broker as a service would: AMQP 0-9-1 over a socket, with the standard library alone.

Usage: amqp-login.py [permissions]
Environment: URL=rabbit://USER:PASSWORD@HOST[:PORT][,USER:PASSWORD@HOST...][/VHOST], one or several by blanks
(the form of oslo.messaging's transport_url; of the hosts of one URL any may answer).
Holds (exit 0) when for every URL the broker accepts user and password, and opens the virtual host.
permissions: the user also declares a queue of its own, which vanishes with the
connection, and binds it; that takes the permissions to configure, write and read.
A URL without a user only asks whether a broker answers.
"""
import os
import socket
import struct
import sys
from urllib.parse import unquote

METHOD, FRAME_END = 1, 0xCE
START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK = (10, 10), (10, 11), (10, 30), (10, 31), (10, 40), (10, 41)
CLOSE, CLOSE_OK, CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE = (10, 50), (10, 51), (20, 10), (20, 11), (20, 40)
DECLARE, DECLARE_OK, BIND, BIND_OK = (50, 10), (50, 11), (50, 20), (50, 21)


class Refused(Exception):
    """The broker said no, or closed the connection."""


def short(data):
    return bytes([len(data)]) + data


def long(data):
    return struct.pack("!I", len(data)) + data


class Connection:
    """A connection that sends one method and waits for the one answer it may have."""

    def __init__(self, sock):
        self.stream = sock.makefile("rwb")

    def send(self, channel, method, arguments):
        payload = struct.pack("!HH", *method) + arguments
        self.stream.write(struct.pack("!BHI", METHOD, channel, len(payload)) + payload + bytes([FRAME_END]))
        self.stream.flush()

    def expect(self, method):
        """Arguments of the wanted method. Anything but it ends the talk."""
        while True:
            head = self.stream.read(7)
            if len(head) < 7:
                raise Refused("the connection was closed")
            if head[:4] == b"AMQP":
                raise Refused("a broker of another protocol version")
            kind, _, size = struct.unpack("!BHI", head)
            payload = self.stream.read(size + 1)
            if len(payload) < size + 1 or payload[-1] != FRAME_END:
                raise Refused("a broken frame")
            if kind != METHOD:  # a heartbeat
                continue
            found, arguments = struct.unpack_from("!HH", payload), payload[4:-1]
            if found in (CLOSE, CHANNEL_CLOSE):
                code, size = struct.unpack_from("!HB", arguments)
                raise Refused(f"{code} {arguments[3 : 3 + size].decode(errors='replace')}")
            if found != method:
                raise Refused(f"method {found} instead of {method}")
            return arguments


def talk(connection, user, password, vhost, mode):
    """Goes as far as `mode` asks; raises Refused where the broker says no."""
    connection.stream.write(b"AMQP\0\0\x09\x01")
    connection.stream.flush()
    connection.expect(START)
    if user is None:
        return
    # Without this capability a wrong password closes the connection without a word.
    capability = short(b"authentication_failure_close") + b"t\1"
    properties = long(short(b"capabilities") + b"F" + long(capability))
    proof = b"\0" + user + b"\0" + password
    connection.send(0, START_OK, properties + short(b"PLAIN") + long(proof) + short(b"en_US"))
    connection.send(0, TUNE_OK, connection.expect(TUNE)[:6] + struct.pack("!H", 0))  # its limits, no heartbeat
    connection.send(0, OPEN, short(vhost) + short(b"") + b"\0")
    connection.expect(OPEN_OK)
    if mode == "permissions":
        connection.send(1, CHANNEL_OPEN, short(b""))
        connection.expect(CHANNEL_OPEN_OK)
        # exclusive and auto-delete, named by the broker
        connection.send(1, DECLARE, struct.pack("!H", 0) + short(b"") + bytes([0b01100]) + long(b""))
        answer = connection.expect(DECLARE_OK)
        queue = answer[1 : 1 + answer[0]]
        bind = short(queue) + short(b"amq.direct") + short(queue) + b"\0" + long(b"")
        connection.send(1, BIND, struct.pack("!H", 0) + bind)
        connection.expect(BIND_OK)
    connection.send(0, CLOSE, struct.pack("!H", 200) + short(b"") + struct.pack("!HH", 0, 0))
    connection.expect(CLOSE_OK)


def targets(url):
    """(user, password, host, port, vhost) of each host of a transport URL; user None if there is none."""
    places, _, vhost = url.partition("://")[2].partition("/")
    for place in places.split(","):
        login, at, end = place.rpartition("@")
        user, _, password = login.partition(":")
        host, _, port = end.partition(":")
        known = unquote(user).encode() if at else None
        yield known, unquote(password).encode(), host, int(port or 5672), unquote(vhost).encode() or b"/"


def main():
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode not in ("", "permissions"):
        sys.exit(f"amqp-login.py: {mode}?")
    urls = os.environ["URL"].split()
    if not urls:
        print("nobody asked for a user")
    failed = False
    for url in urls:
        reasons = []
        for user, password, host, port, vhost in targets(url):
            name = user.decode() if user else "a broker"
            try:
                with socket.create_connection((host, port), timeout=5) as sock:
                    talk(Connection(sock), user, password, vhost, mode)
                print(f"{name} at {host}: ok")
                break
            except (OSError, Refused) as error:
                reasons.append(f"{name} at {host}: {error}")
        else:
            print("\n".join(reasons), file=sys.stderr)
            failed = True
    sys.exit(1 if failed else 0)


main()

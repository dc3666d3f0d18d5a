#!/usr/bin/env python3
"""Logs in to a MariaDB server in its own protocol, as a service would, with the standard library alone.

Environment: URL=mysql+pymysql://USER:PASSWORD@HOST[:PORT]/DATABASE (percent-encoded where needed).
Holds (exit 0) when the server accepts user, password and database. A URL without a user only asks whether a
server of this protocol answers; one that answers "host not allowed" does (it has no account for anybody there).
"""
import hashlib
import os
import socket
import struct
import sys
from urllib.parse import unquote, urlsplit

# Capabilities: 4.1 protocol and its password scheme, named plugins, a database at login.
PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, CONNECT_WITH_DB = 0x200, 0x8000, 0x80000, 0x8
HOST_NOT_ALLOWED = 1130


class Refused(Exception):
    """An ERR packet: number and the server's words."""

    def __init__(self, packet):
        self.number = struct.unpack_from("<H", packet, 1)[0]
        words = packet[3:].decode(errors="replace")
        super().__init__(f"error {self.number}: {words[6:] if words.startswith('#') else words}")


def receive(stream):
    """One packet as (sequence number, payload); raises Refused for an ERR packet."""
    head = stream.read(4)
    if len(head) < 4:
        raise ValueError("the connection was closed")
    payload = stream.read(int.from_bytes(head[:3], "little"))
    if payload[:1] == b"\xff":
        raise Refused(payload)
    return head[3], payload


def send(stream, sequence, payload):
    stream.write(len(payload).to_bytes(3, "little") + bytes([sequence]) + payload)
    stream.flush()


def scramble(password, salt):
    """mysql_native_password: SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))."""
    if not password:
        return b""
    once = hashlib.sha1(password).digest()
    mask = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()
    return bytes(a ^ b for a, b in zip(once, mask))


def greeting_salt(packet):
    """The 20 bytes of salt in a version 10 greeting."""
    if packet[:1] != b"\x0a":
        raise ValueError("not a MariaDB or MySQL greeting")
    at = packet.index(b"\0", 1) + 1 + 4  # after the server's version and the connection's number
    return packet[at : at + 8] + packet[at + 27 : at + 39]


def login(url, stream):
    try:
        _, greeting = receive(stream)
    except Refused as refused:
        if url.username is None and refused.number == HOST_NOT_ALLOWED:
            return "answers"
        raise
    salt = greeting_salt(greeting)
    if url.username is None:
        return "answers"
    user, password = unquote(url.username).encode(), unquote(url.password or "").encode()
    database = unquote(url.path.lstrip("/")).encode()
    proof = scramble(password, salt)
    flags = PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH | (CONNECT_WITH_DB if database else 0)
    send(
        stream,
        1,
        struct.pack("<IIB23x", flags, 1 << 24, 33)  # 33: utf8
        + user + b"\0" + bytes([len(proof)]) + proof
        + (database + b"\0" if database else b"") + b"mysql_native_password\0",
    )  # fmt: skip
    sequence, reply = receive(stream)
    if reply[:1] == b"\xfe":  # the account wants another way to prove itself
        plugin, _, salt = reply[1:].partition(b"\0")
        if plugin != b"mysql_native_password":
            raise ValueError(f"the account uses {plugin.decode(errors='replace')}")
        send(stream, sequence + 1, scramble(password, salt.rstrip(b"\0")))
        _, reply = receive(stream)
    if reply[:1] != b"\0":
        raise ValueError("an answer that is no login")
    return f"{url.username} logged in"


def main():
    url = urlsplit(os.environ["URL"])
    try:
        with socket.create_connection((url.hostname, url.port or 3306), timeout=5) as sock:
            print(login(url, sock.makefile("rwb")))
    except (OSError, ValueError, Refused) as error:
        sys.exit(f"{url.hostname}: {error}")


main()

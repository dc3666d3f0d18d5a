#!/usr/bin/env python3
"""Asks NTP servers for the time as a client would: an SNTP query (RFC 4330) over UDP.

Usage: ntp-query.py "ADDRESS[:PORT] ..."
Holds (exit 0) when every server answers this very query and is synchronised (leap is not 3, stratum 1 to 15).
The offset of this machine's clock is told but not judged: a client's may be far off before it follows.
"""
import os
import socket
import struct
import sys
import time

UNIX_EPOCH = 2208988800  # seconds between the NTP epoch (1900) and the Unix epoch (1970)


def ask(address):
    """Returns (stratum, offset in seconds) of the server at `address`; OSError or ValueError if it is no good."""
    host, _, port = address.partition(":")
    nonce = os.urandom(8)  # comes back as the originate timestamp: proof that the answer is to this query
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect((host, int(port or 123)))
        sent = time.time()
        sock.send(struct.pack("!B39x8s", 0o43, nonce))  # leap 0, version 4, mode 3 (client)
        reply = sock.recv(512)
        arrived = time.time()
    if len(reply) < 48:
        raise ValueError("short answer")
    first, stratum = reply[0], reply[1]
    originate, received, transmitted = reply[24:32], reply[32:40], reply[40:48]
    if first & 7 != 4 or originate != nonce:
        raise ValueError("not an answer to this query")
    if first >> 6 == 3 or not 1 <= stratum <= 15:
        raise ValueError(f"not synchronised (leap {first >> 6}, stratum {stratum})")
    server = [struct.unpack("!Q", t)[0] / 2**32 - UNIX_EPOCH for t in (received, transmitted)]
    return stratum, sum(server) / 2 - (sent + arrived) / 2


def main():
    addresses = " ".join(sys.argv[1:]).split()
    if not addresses:
        sys.exit("ntp-query.py: no server given")
    failed = False
    for address in addresses:
        try:
            stratum, offset = ask(address)
            print(f"{address}: stratum {stratum}, offset {offset:+.6f} s")
        except (OSError, ValueError) as error:
            print(f"{address}: {error}", file=sys.stderr)
            failed = True
    sys.exit(1 if failed else 0)


main()

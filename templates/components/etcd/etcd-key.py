#!/usr/bin/env python3
"""Writes, reads and deletes a key of its own in etcd, by the JSON form of API version 3.

Usage: etcd-key.py ADDRESS:PORT
Holds (exit 0) when the server is healthy and the key comes back, and is gone after the deletion. The random key
/seedsmith/... is removed whatever happens.
"""
import base64
import json
import os
import sys
import urllib.error
import urllib.request

# No proxy: a node asks itself and its neighbours.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(server, path, **fields):
    """POSTs to the gateway; it is /v3 from etcd 3.4 on and /v3beta in 3.3."""
    for version in ("v3", "v3beta"):
        request = urllib.request.Request(f"http://{server}/{version}{path}", json.dumps(fields).encode())
        try:
            with OPENER.open(request, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise ValueError(error.read().decode(errors="replace").strip()) from None
    raise ValueError("no gateway of API version 3")


def text(data):
    return base64.b64encode(data.encode()).decode()


def main():
    server = sys.argv[1]
    key, value = text("/seedsmith/" + os.urandom(8).hex()), text(os.urandom(8).hex())
    try:
        with OPENER.open(f"http://{server}/health", timeout=5) as answer:
            if json.load(answer).get("health") != "true":
                raise ValueError("not healthy")
        try:
            call(server, "/kv/put", key=key, value=value)
            found = call(server, "/kv/range", key=key).get("kvs", [])
        finally:
            call(server, "/kv/deleterange", key=key)
        if [row["value"] for row in found] != [value]:
            raise ValueError(f"wrote one value and read {len(found)} others")
        if call(server, "/kv/range", key=key).get("kvs"):
            raise ValueError("a deleted key is still there")
    except (OSError, ValueError) as error:
        sys.exit(f"{server}: {error}")
    print(f"{server}: wrote, read and deleted a key")


main()

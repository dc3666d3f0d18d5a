#!/usr/bin/env python3
"""Compares the members that etcd knows with those of the site, by the JSON form of API version 3.

Usage: etcd-members.py ADDRESS:PORT "NAME=MEMBER_ADDRESS ..."
Holds (exit 0) when exactly these have joined, each with its peer port 2380 and its client port 2379.
"""
import json
import sys
import urllib.error
import urllib.request

# No proxy: a node asks itself and its neighbours.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def members(server):
    """The member list; the gateway is /v3 from etcd 3.4 on and /v3beta in 3.3."""
    for version in ("v3", "v3beta"):
        request = urllib.request.Request(f"http://{server}/{version}/cluster/member/list", b"{}")
        try:
            with OPENER.open(request, timeout=5) as answer:
                return json.load(answer)["members"]
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
    raise ValueError("no gateway of API version 3")


def main():
    wanted = set()
    for word in sys.argv[2].split():
        name, _, address = word.partition("=")
        wanted.add(f"{name} http://{address}:2380 http://{address}:2379")
    try:
        found = {
            " ".join([row.get("name", "-"), *row.get("peerURLs", []), *row.get("clientURLs", [])])
            for row in members(sys.argv[1])
        }
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    print("\n".join(sorted(found)))
    if found != wanted:
        sys.exit("not the members of this site: " + ", ".join(sorted(found ^ wanted)))


main()

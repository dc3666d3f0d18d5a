#!/usr/bin/env python3
"""Makes a volume of 1 GiB, logs in to it by iSCSI as a compute node would, reads its size, and deletes it.

Usage: volume-works.py VOLUME-URL HOST@BACKEND; URL without the project, such as http://con01:8776/v3
Environment: OS_AUTH_URL (ending in /v3), OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME.
Holds (exit 0) when all of it worked. The scheduler may choose another storage node's disk; that is said and is no fault.
Whatever happens the volume is deleted again, and what an earlier run left behind.
"""
import hashlib
import socket
import struct
import sys
import time

sys.path.append(sys.path[0] + "/../openstack")
from openstack_api import Session as Login

base, here = sys.argv[1:3]
NAME = "seedsmith-check-%s" % here.partition("@")[0]
INITIATOR = "iqn.1993-08.org.debian:seedsmith-check"
deadline = time.monotonic() + 240


def waiting(what, holds):
    """Asks again until something holds."""
    while time.monotonic() < deadline:
        got = holds()
        if got is not None:
            return got
        time.sleep(1)
    sys.exit("%s: not within the time of this check" % what)


class Session:
    """An iSCSI session (RFC 7143): login with CHAP, and one command."""

    def __init__(self, portal, target, user, password):
        host, _, port = portal.rpartition(":")
        self.link = socket.create_connection((host.strip("[]"), int(port)), timeout=30)
        self.command, self.status, self.target = 1, 0, target
        keys = self.login(0x00, InitiatorName=INITIATOR, TargetName=target, SessionType="Normal", AuthMethod="CHAP,None")
        if keys.get("AuthMethod") != "CHAP":
            sys.exit("%s asks nobody for a password" % target)
        keys = self.login(0x00, CHAP_A="5")
        challenge = keys["CHAP_C"]
        secret = bytes.fromhex(challenge[2:]) if challenge[:2].lower() == "0x" else challenge.encode()
        proof = hashlib.md5(bytes([int(keys["CHAP_I"], 0)]) + password.encode() + secret).hexdigest()
        self.login(0x81, CHAP_N=user, CHAP_R="0x" + proof)
        self.login(0x87, HeaderDigest="None", DataDigest="None", InitialR2T="Yes", ImmediateData="No")

    def send(self, head, data=b""):
        size = struct.pack(">I", len(data))
        self.link.sendall(head[:4] + size + head[8:] + data + b"\0" * (-len(data) % 4))

    def receive(self):
        head = self.read(48)
        size = int.from_bytes(head[5:8], "big")
        data = self.read(size + -size % 4)[:size]
        # Data has a number of status only where it ends with the status; what asks whether we live has none.
        if head[0] & 0x3F != 0x20 and (head[0] & 0x3F != 0x25 or head[1] & 0x01):
            self.status = int.from_bytes(head[24:28], "big") + 1
        return head, data

    def read(self, count):
        got = b""
        while len(got) < count:
            more = self.link.recv(count - len(got))
            if not more:
                sys.exit("%s hangs up" % self.target)
            got += more
        return got

    def login(self, flags, **keys):
        """One step of the login. Flags: 0x80 asks for the next stage; then the stage of now, and the next one."""
        text = b"".join(b"%s=%s\0" % (key.encode(), value.encode()) for key, value in keys.items())
        names = struct.pack(">6sHIHH", b"\x80\x5e\xed\x00\x00\x01", 0, 1, 1, 0)
        self.send(bytes([0x43, flags, 0, 0]) + b"\0" * 4 + names + struct.pack(">II", self.command, self.status) + b"\0" * 16, text)
        head, data = self.receive()
        if head[0] & 0x3F != 0x23 or head[36] != 0:
            sys.exit("%s refuses the login: class %d, detail %d" % (self.target, head[36], head[37]))
        return dict(one.split("=", 1) for one in data.decode().split("\0") if "=" in one)

    def size(self, lun):
        """Bytes of a disk (READ CAPACITY). The first command after a login is answered by a notice of the login."""
        for _ in range(5):
            head = bytes([0x01, 0xC1, 0, 0]) + b"\0" * 4 + struct.pack(">H6x", lun)
            head += struct.pack(">IIII", 2, 8, self.command, self.status) + bytes([0x25]) + b"\0" * 15
            self.send(head)
            self.command += 1
            good, data = self.answer()
            if good and len(data) >= 8:
                last, block = struct.unpack(">II", data[:8])
                return (last + 1) * block
        sys.exit("%s tells no size of its disk %d" % (self.target, lun))

    def answer(self):
        """Whether a command succeeded, and its data. A target may send data (of zeros) before it says that it failed."""
        data = b""
        while True:
            head, more = self.receive()
            kind, ends = head[0] & 0x3F, head[1] & 0x01
            if kind == 0x25:
                data += more
                if ends:
                    return head[3] == 0, data
            elif kind == 0x21:
                return head[2] == 0 and head[3] == 0, data
            elif kind != 0x20:
                sys.exit("%s answers a command with message 0x%02x" % (self.target, kind))


def clear():
    """Deletes what this check made, now or before."""
    listed = cinder.get(url + "/volumes/detail", name=NAME)["volumes"]
    for one in listed:
        # A volume's own list has no attachment that was asked for and not finished; such a one forbids its deletion too.
        for attachment in cinder.get(url + "/attachments", volume_id=one["id"])["attachments"]:
            if attachment["volume_id"] == one["id"]:
                cinder.ask("DELETE", "%s/attachments/%s" % (url, attachment["id"]))
        if one["status"] != "deleting":
            cinder.ask("DELETE", "%s/volumes/%s" % (url, one["id"]))

    def gone():
        left = cinder.get(url + "/volumes/detail", name=NAME)["volumes"]
        bad = [one for one in left if one["status"].startswith("error")]
        if bad:
            sys.exit("the volume %s cannot be deleted: %s" % (bad[0]["id"], bad[0]["status"]))
        return None if left else True

    if listed:
        waiting("deletion of the volume", gone)


cinder = Login({"OpenStack-API-Version": "volume 3.54"}, timeout=60)
url = "%s/%s" % (base, cinder.project)
try:
    clear()
    volume = cinder.ask("POST", url + "/volumes", {"volume": {"name": NAME, "size": 1}})["volume"]
    try:

        def ready():
            one = cinder.get("%s/volumes/%s" % (url, volume["id"]))["volume"]
            if one["status"].startswith("error"):
                sys.exit("the volume's status is %s" % one["status"])
            return one if one["status"] == "available" else None

        made = waiting("the volume", ready)
        host = made.get("os-vol-host-attr:host", "").partition("#")[0]
        connector = {"initiator": INITIATOR, "ip": "127.0.0.1", "host": NAME, "multipath": False, "platform": "x86_64", "os_type": "linux"}
        wanted = {"attachment": {"volume_uuid": volume["id"], "connector": connector, "mode": "rw"}}
        attached = cinder.ask("POST", url + "/attachments", wanted)["attachment"]
        way = attached["connection_info"]
        session = Session(way["target_portal"], way["target_iqn"], way.get("auth_username", ""), way.get("auth_password", ""))
        size = session.size(way["target_lun"])
        session.link.close()
        if size != 1 << 30:
            sys.exit("the volume has %d bytes by iSCSI, not 1 GiB" % size)
        print("1 GiB on %s%s, by iSCSI from %s" % (host, "" if host == here else " (not this node)", way["target_portal"]))
    except (SystemExit, OSError, KeyError):
        # What is left must not hide why it is left. The next run of this check deletes it first.
        try:
            clear()
        except (SystemExit, OSError) as left:
            print("and then: %s" % left, file=sys.stderr)
        raise
    clear()
except OSError as error:
    sys.exit("%s: %s" % (base, getattr(error, "reason", None) or error))

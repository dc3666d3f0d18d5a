#!/usr/bin/env python3
"""Tells libvirt to leave control groups alone where this machine may not write them, as in some containers.

Usage: cgroups.py [check]; with `check` nothing is changed: exit 1 when the setting is needed and not there.
"""
import os
import re
import subprocess
import sys

CONF = "/etc/libvirt/qemu.conf"
GROUPS = "/sys/fs/cgroup"
WANTED = "cgroup_controllers = []\n"


def writable():
    """Whether a group can be made: in each hierarchy of version 1, or in the one of version 2."""
    places = [GROUPS]
    if not os.path.exists(GROUPS + "/cgroup.controllers"):
        places = [os.path.join(GROUPS, name) for name in ("cpu", "memory", "devices")]
    for place in places:
        probe = os.path.join(place, "seedsmith-probe")
        try:
            os.mkdir(probe)
            os.rmdir(probe)
        except OSError:
            return False
    return True


with open(CONF, encoding="utf-8") as file:
    text = file.read()
if writable() or re.search(r"^cgroup_controllers\s*=\s*\[\s*\]", text, re.M):
    sys.exit(0)
if sys.argv[1:] == ["check"]:
    sys.exit("control groups cannot be written here, and %s does not say so" % CONF)
with open(CONF, "a", encoding="utf-8") as file:
    file.write("\n" + WANTED)
# One that is running has read the old file.
sys.exit(subprocess.run(["systemctl", "try-restart", "libvirtd.service"]).returncode)

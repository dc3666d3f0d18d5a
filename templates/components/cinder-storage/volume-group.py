#!/usr/bin/env python3
"""Makes a volume group on an empty disk. With "check" it only says whether the group is there.

Usage: volume-group.py make|check GROUP [DEVICE]
Nothing is ever wiped, and LVM is never told to go on in spite of something. A disk is empty when no partition, file
system, RAID or LVM label is found on it, nothing uses it, and its first and last MiB are zeros; else the script ends with
what is there. A physical volume that belongs to no group (a run that was cut off) is taken.
"""
import os
import stat
import subprocess
import sys

MIB = 1 << 20


def ask(*argv):
    """What a command prints; the script ends when the command fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("%s: %s" % (" ".join(argv), (done.stderr or done.stdout).strip() or done.returncode))
    return done.stdout


def groups():
    """Volume groups of this machine, with the disks they lie on."""
    found = {}
    for line in ask("vgs", "--noheadings", "--separator", "|", "-o", "vg_name,pv_name").splitlines():
        group, _, disk = line.strip().partition("|")
        if group:
            found.setdefault(group, []).append(os.path.realpath(disk))
    return found


def findings(device):
    """All that is on a disk or uses it, in words."""
    found = []
    for line in ask("lsblk", "--noheadings", "--raw", "--paths", "-o", "NAME,TYPE,MOUNTPOINT", device).splitlines():
        name, kind, place = (line.split(" ") + ["", ""])[:3]
        if os.path.realpath(name) != device:
            found.append("%s %s lies on it%s" % (kind, name, ", mounted at " + place if place else ""))
        elif place:
            found.append("it is mounted at %s" % place)
    for line in ask("wipefs", "--noheadings", "--output", "TYPE,LABEL,OFFSET", device).splitlines():
        found.append("it has a signature: %s" % " ".join(line.split()))
    if found:
        return found
    with open(device, "rb", buffering=0) as disk:
        size = disk.seek(0, os.SEEK_END)
        if size < 64 * MIB:
            found.append("it has %d bytes" % size)
        for name, place in (("first", 0), ("last", max(0, size - MIB))):
            disk.seek(place)
            bytes_ = disk.read(MIB)
            used = len(bytes_) - bytes_.count(0)
            if used:
                found.append("its %s MiB is not empty: %d bytes are something else than zero" % (name, used))
    return found


verb, group, device = (sys.argv[1:] + [""])[:3]
have = groups()
if group in have:
    # A group of that name elsewhere: volumes would go to a disk that nobody named.
    if device and os.path.realpath(device) not in have[group]:
        sys.exit("the group %s lies on %s, not on %s" % (group, ", ".join(have[group]), device))
    sys.exit(0)
if verb == "check":
    sys.exit("there is no volume group %s" % group)
if not device:
    sys.exit("there is no volume group %s, and no disk is named to make it on (options.cinder-storage.device)" % group)
disk = os.path.realpath(device)
if not os.path.exists(disk) or not stat.S_ISBLK(os.stat(disk).st_mode):
    disks = ask("lsblk", "--noheadings", "--nodeps", "--paths", "-o", "NAME,SIZE,TYPE").strip()
    sys.exit("%s is no disk of this machine, which has:\n%s" % (device, disks))
owner = next((name for name, disks in have.items() if disk in disks), None)
if owner:
    sys.exit("%s is left alone: it belongs to the volume group %s" % (device, owner))
orphan = any(
    os.path.realpath(line.split("|")[0].strip()) == disk and not line.split("|")[1].strip()
    for line in ask("pvs", "--noheadings", "--separator", "|", "-o", "pv_name,vg_name").splitlines()
)
there = [] if orphan else findings(disk)
if there:
    sys.exit("%s is left alone, as it is not empty: %s" % (device, "; ".join(there)))
print(ask("vgcreate", group, disk).strip())

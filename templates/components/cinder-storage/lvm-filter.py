#!/usr/bin/env python3
"""Tells LVM to look at the disks that it uses now, and at nothing that comes later.

Usage: lvm-filter.py make | check [GROUP]
What a volume's owner writes into it may look like LVM's own, and an attached volume is a disk like any other: without a
filter the host would take it for its own. The filter is in /etc/lvm/lvmlocal.conf, which LVM reads after lvm.conf. Disks
are named by id where they have one, as sda may be sdb after the next boot.
"""
import os
import re
import subprocess
import sys

FILE = "/etc/lvm/lvmlocal.conf"
BY_ID = "/dev/disk/by-id"
BEGIN, END = "# seedsmith: begin", "# seedsmith: end"


def ask(*argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("%s: %s" % (" ".join(argv), (done.stderr or done.stdout).strip() or done.returncode))
    return done.stdout


def names(disk):
    """Names of a disk that stay, else the one it has."""
    ids = os.listdir(BY_ID) if os.path.isdir(BY_ID) else []
    # lvm's own names of a disk exist only once LVM has accepted it
    kept = [os.path.join(BY_ID, one) for one in sorted(ids) if not one.startswith("lvm-pv-")]
    return [one for one in kept if os.path.realpath(one) == os.path.realpath(disk)] or [disk]


def block(disks):
    patterns = ["a|^%s$|" % re.escape(name).replace("\\-", "-") for disk in disks for name in names(disk)]
    text = ", ".join('"%s"' % one.replace("\\", "\\\\") for one in [*patterns, "r|.*|"])
    return "%s\ndevices {\n\tfilter = [ %s ]\n}\n%s\n" % (BEGIN, text, END)


def used():
    lines = ask("pvs", "--noheadings", "-o", "pv_name").splitlines()
    return sorted(os.path.realpath(line.strip()) for line in lines if line.strip())


try:
    with open(FILE, encoding="utf-8") as file:
        before = file.read()
except FileNotFoundError:
    before = ""
found = re.search("%s\n.*?%s\n" % (BEGIN, END), before, re.S)
if sys.argv[1] == "check":
    if found is None or '"r|.*|"' not in found.group(0):
        sys.exit("%s has no filter" % FILE)
    if '"r|.*|"' not in ask("lvmconfig", "devices/filter"):
        sys.exit("LVM does not heed the filter of %s" % FILE)
    groups = ask("vgs", "--noheadings", "-o", "vg_name").split()
    for group in sys.argv[2:]:
        if group not in groups:
            sys.exit("there is no volume group %s: %s" % (group, ", ".join(groups) or "there is none at all"))
    sys.exit(0)
# Whatever an older filter hid may be used again.
plain = before.replace(found.group(0), "") if found else before
if found:
    with open(FILE, "w", encoding="utf-8") as file:
        file.write(plain)
disks = used()
if not disks:
    sys.exit("LVM uses no disk")
with open(FILE + ".new", "w", encoding="utf-8") as file:
    file.write(plain + block(disks))
os.replace(FILE + ".new", FILE)
if used() != disks:
    os.replace(FILE, FILE + ".refused")
    sys.exit("with the filter LVM sees %s instead of %s" % (", ".join(used()) or "nothing", ", ".join(disks)))

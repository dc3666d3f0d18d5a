#!/bin/sh
# Stops libvirt's own network and keeps it from starting. With "check" it only says whether that is so.
# Where there is no such network there is nothing to do.
set -eu
virsh="virsh --connect qemu:///system"
exists() { $virsh --quiet net-list --name "$@" | grep -qx default; }
if [ "${1-}" = check ]; then
  ! exists && ! exists --all --autostart
  exit
fi
if exists; then $virsh net-destroy default; fi
if exists --all; then $virsh net-autostart --disable default; fi

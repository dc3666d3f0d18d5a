#!/usr/bin/env python3
"""Holds (exit 0) when chronyd has selected one of the given servers and the clock is near its time.

Usage: follows.py "ADDRESS ..."
Looks at what chronyd decided rather than at `chronyc waitsync`: in a container chronyd does not steer the
clock, yet it selects its source all the same; on a machine of its own the offset proves that it also steers.
"""
import csv
import subprocess
import sys

MAX_OFFSET = 0.5  # seconds; far below what tokens (and services that judge others by their heartbeat) bear


def chronyc(*command):
    """Rows of a chronyc report in its CSV form, addresses as numbers."""
    run = subprocess.run(["chronyc", "-n", "-c", *command], stdout=subprocess.PIPE, text=True, timeout=10)
    if run.returncode != 0:
        sys.exit(f"chronyc {command[0]}: {run.stdout.strip()}")
    return list(csv.reader(run.stdout.splitlines()))


def main():
    wanted = " ".join(sys.argv[1:]).split()
    # Columns: mode (^ server), state (* selected), address, stratum, ...
    sources = [(row[0] + row[1], row[2]) for row in chronyc("sources")]
    print(" ".join(mark + address for mark, address in sources))
    if not any(mark == "^*" and address in wanted for mark, address in sources):
        sys.exit(f"none of {' '.join(wanted)} is selected")
    # Columns: reference id, address, stratum, reference time, offset of the clock in seconds, ...
    offset = float(chronyc("tracking")[0][4])
    print(f"offset {offset:+.6f} s")
    if abs(offset) > MAX_OFFSET:
        sys.exit("the clock is not there yet")


main()

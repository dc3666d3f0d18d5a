#!/usr/bin/env python3
"""Holds (exit 0) when every named node runs in this broker's cluster.

Usage: whole.py "NAME ..." (host names without rabbit@)
"""
import json
import subprocess
import sys

command = ["rabbitmqctl", "--quiet", "cluster_status", "--formatter", "json"]
status = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
missing = {f"rabbit@{name}" for name in " ".join(sys.argv[1:]).split()} - set(status["running_nodes"])
if missing:
    sys.exit("not running: " + ", ".join(sorted(missing)))

#!/bin/sh
# Puts interfaces into Open vSwitch bridges. With "check" it only says whether they are there.
# Usage: provider-bridges.sh "BRIDGE=INTERFACE ..." [check]
# An interface that has an address, or the way to other networks, is refused: the bridge would swallow it, and the
# machine would be gone from the network.
set -eu
inside() { [ "$(ovs-vsctl port-to-br "$2" 2>/dev/null)" = "$1" ]; }
for pair in $1; do
  bridge=${pair%%=*} interface=${pair#*=}
  if inside "$bridge" "$interface"; then continue; fi
  if [ "${2-}" = check ]; then
    echo "$interface is not in $bridge" >&2
    exit 1
  fi
  if [ -n "$(ip -4 -oneline address show dev "$interface")$(ip route show default dev "$interface")" ]; then
    echo "$interface has an address or the default route: it must stay out of bridges" >&2
    exit 1
  fi
  systemctl start openvswitch-switch.service
  ovs-vsctl -- --may-exist add-br "$bridge" -- --may-exist add-port "$bridge" "$interface"
  ip link set "$interface" up
done

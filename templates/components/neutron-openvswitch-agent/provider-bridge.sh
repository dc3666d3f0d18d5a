#!/bin/sh
# Puts an interface into an Open vSwitch bridge. With "check" it only says whether it is there.
# Usage: provider-bridge.sh BRIDGE INTERFACE [check]
# An interface that has an address, or the way to other networks, is refused: the bridge would swallow it, and the
# machine would be gone from the network.
set -eu
bridge=$1 interface=$2
inside() { [ "$(ovs-vsctl port-to-br "$interface" 2>/dev/null)" = "$bridge" ]; }
if [ "${3-}" = check ]; then
  inside
  exit
fi
if [ -n "$(ip -4 -oneline address show dev "$interface")$(ip route show default dev "$interface")" ]; then
  echo "$interface has an address or the default route: it must stay out of bridges" >&2
  exit 1
fi
systemctl start openvswitch-switch.service
ovs-vsctl -- --may-exist add-br "$bridge" -- --may-exist add-port "$bridge" "$interface"
ip link set "$interface" up

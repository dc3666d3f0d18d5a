#!/bin/sh
# Has packets that cross a bridge pass iptables. With "check" it only says whether they do.
set -eu
on() { for name in iptables ip6tables; do [ "$(cat "/proc/sys/net/bridge/bridge-nf-call-$name" 2>/dev/null)" = 1 ] || return 1; done; }
if [ "${1-}" = check ]; then
  on
  exit
fi
[ -d /proc/sys/net/bridge ] || modprobe br_netfilter
on || sysctl --quiet --load /etc/sysctl.d/60-seedsmith-neutron.conf

/** The first boot of a controller against the install guide's own commands, run as one script. */

import type { Machine } from "../../src/lab/machine.ts";
import type { Seed } from "../../src/lab/seed.ts";
import { addNode, makeLab, Workspace } from "../../tests/boot/rendered.ts";
import { atMost, type Row, skipped } from "./table.ts";

/**
 * What the install guide's "environment" section has a person type on the controller, in its order and with its
 * commands, answers filled in. Nothing is waited for or checked that the guide does not wait for or check.
 */
const guide = `#!/bin/sh
set -e
export DEBIAN_FRONTEND=noninteractive HOME=/root
apt-get update
apt-get -y dist-upgrade
apt-get -y install chrony
printf 'allow 10.0.0.0/24\\nlocal stratum 10\\n' >>/etc/chrony/chrony.conf
# A container may not set the clock; this stands in for a machine that can.
mkdir -p /etc/systemd/system/chrony.service.d
printf '[Unit]\\nConditionCapability=\\n[Service]\\nExecStart=\\nExecStart=!/usr/sbin/chronyd -F 1 -x\\n' >/etc/systemd/system/chrony.service.d/lab.conf
systemctl daemon-reload
service chrony restart
apt-get -y install python3-openstackclient
apt-get -y install mariadb-server python3-pymysql
cat >/etc/mysql/mariadb.conf.d/99-openstack.cnf <<CNF
[mysqld]
bind-address = 10.0.0.1
default-storage-engine = innodb
innodb_file_per_table = on
max_connections = 4096
collation-server = utf8_general_ci
character-set-server = utf8
CNF
service mysql restart || service mariadb restart
mariadb -e "ALTER USER 'root'@'localhost' IDENTIFIED VIA mysql_native_password USING PASSWORD('benchmark') OR unix_socket; DELETE FROM mysql.global_priv WHERE User=''; DROP DATABASE IF EXISTS test; FLUSH PRIVILEGES"
apt-get -y install rabbitmq-server
rabbitmqctl add_user openstack benchmark
rabbitmqctl set_permissions openstack '.*' '.*' '.*'
apt-get -y install memcached python3-memcache
sed -i 's/^-l .*/-l 10.0.0.1/' /etc/memcached.conf
service memcached restart
apt-get -y install etcd-server etcd-client
cat >/etc/default/etcd <<ETCD
ETCD_NAME="con01"
ETCD_DATA_DIR="/var/lib/etcd"
ETCD_INITIAL_CLUSTER_STATE="new"
ETCD_INITIAL_CLUSTER_TOKEN="etcd-cluster-01"
ETCD_INITIAL_CLUSTER="con01=http://10.0.0.1:2380"
ETCD_INITIAL_ADVERTISE_PEER_URLS="http://10.0.0.1:2380"
ETCD_ADVERTISE_CLIENT_URLS="http://10.0.0.1:2379"
ETCD_LISTEN_PEER_URLS="http://0.0.0.0:2380"
ETCD_LISTEN_CLIENT_URLS="http://10.0.0.1:2379"
ETCD
systemctl enable etcd
systemctl restart etcd
`;

/** The same seed with the guide's script where seedsmith's own work would be. */
function guideSeed(seed: Seed): Seed {
  const script = guide.replace(/^(?=.)/gm, "    ");
  const hosts = "127.0.0.1 localhost\\n10.0.0.1 con01\\n";
  return {
    ...seed,
    "user-data": `#cloud-config
hostname: con01
manage_etc_hosts: false
locale: C.UTF-8
apt: { preserve_sources_list: true }
write_files:
- { path: /etc/hosts, content: "${hosts}" }
- path: /root/guide.sh
  permissions: "0755"
  content: |
${script}
runcmd:
- [sh, -c, "/root/guide.sh >/root/guide.log 2>&1 && touch /root/guide.done || touch /root/guide.failed"]
`,
  };
}

async function untilGuideDone(machine: Machine): Promise<void> {
  for (;;) {
    if (machine.readFile("/root/guide.done") !== null) return;
    if (machine.readFile("/root/guide.failed") !== null || machine.state === "dead")
      throw new Error(`the guide's script failed: ${machine.readFile("/root/guide.log")?.slice(-800)}`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

/**
 * Power-on to READY of con01, and to the end of the guide's script, each in a container on the same base root,
 * one after the other, with the same warm package cache (a first run of each fills it and is not counted).
 * @returns the ratio of the two times: at most 0.8
 */
export async function bootAgainstGuide(): Promise<Row[]> {
  const what = "con01 from power-on to READY against the guide's commands, power-on included in both";
  if (process.getuid?.() !== 0) return [skipped(what, "at most 0.8 times", "needs root")];
  const workspace = new Workspace();
  workspace.render();
  const times = { seed: 0, guide: 0 };
  try {
    for (const [round, kind] of (["seed", "guide", "seed", "guide"] as const).entries()) {
      const lab = await makeLab();
      try {
        const machine = await addNode(lab, workspace, "con01");
        if (kind === "guide") machine.laySeed(guideSeed(workspace.seed("con01")));
        const start = performance.now();
        await machine.start();
        if (kind === "guide") await untilGuideDone(machine);
        else {
          const verdict = await machine.waitVerdict({ timeout: 900 });
          if (verdict.outcome !== "ready") throw new Error(`con01 is not READY: ${verdict.reason}`);
        }
        if (round >= 2) times[kind] = (performance.now() - start) / 1000;
        // Keeps what was downloaded for the next round.
        await machine.powerOff();
      } finally {
        await lab.destroy();
      }
    }
  } finally {
    workspace.remove();
  }
  const detail = `${times.seed.toFixed(0)} s and ${times.guide.toFixed(0)} s`;
  return [atMost(what, 0.8, "times", times.seed / times.guide, detail)];
}

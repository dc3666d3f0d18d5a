/**
 * The image that the test's instances boot: a kernel and busybox, 24 MiB, made from Debian packages without root,
 * loop devices or mounts. It takes its address by DHCP, reads the metadata service, prints what it got on the
 * console and serves its instance id over HTTP. Like any machine it asks for an address until it gets one: after a
 * power cut it may be up long before the node that serves addresses. Needs `mtools` and `syslinux`.
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { cpio, type Entry } from "../support/cpio.ts";

/** In the order in which they can be inserted. */
const modules = [
  ...["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"],
  ...["failover", "net_failover", "virtio_net", "button", "evdev"],
];

const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for name in ${modules.join(" ")}; do insmod /lib/$name.ko || echo "TEST no module $name"; done
acpid
echo TEST booted
ip link set lo up
ip link set eth0 up
until udhcpc -i eth0 -s /lease -O staticroutes -O mtu -t 15 -T 2 -n -q; do echo TEST no lease yet; done
echo "TEST address $(ip -4 -oneline address show dev eth0 | awk '{print $4}')"
echo "TEST mtu $(cat /sys/class/net/eth0/mtu)"
ask() { wget -q -O - "http://169.254.169.254/$1"; }
id=
count=0
while [ -z "$id" ] && [ $count -lt 300 ]; do
  id=$(ask latest/meta-data/instance-id)
  [ -n "$id" ] || sleep 2
  count=$((count + 1))
done
echo "TEST instance-id $id"
echo "TEST hostname $(ask latest/meta-data/hostname)"
echo "TEST local-ipv4 $(ask latest/meta-data/local-ipv4)"
echo "TEST uuid $(ask openstack/latest/meta_data.json | sed 's/.*"uuid": "\\([^"]*\\)".*/\\1/')"
mkdir -p /www
echo "$id" >/www/index.html
httpd -p 80 -h /www
echo TEST ready
while :; do sleep 3600; done
`;

/** Called by udhcpc: address, MTU, and the routes that the server gives, which include the metadata service's. */
const lease = `#!/bin/busybox sh
[ "$1" = bound ] || [ "$1" = renew ] || exit 0
ip address flush dev "$interface"
ip address add "$ip/$mask" dev "$interface"
[ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
if [ -n "$staticroutes" ]; then
  set -- $staticroutes
  while [ $# -ge 2 ]; do
    if [ "$2" = 0.0.0.0 ]; then ip route add "$1" dev "$interface"; else ip route add "$1" via "$2"; fi
    shift 2
  done
else
  for gateway in $router; do ip route add default via "$gateway"; done
fi
`;

const powerButton = "#!/bin/busybox sh\npoweroff -f\n";

function find(folder: string, name: RegExp): string {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && name.test(entry.name)) return join(entry.parentPath ?? entry.path, entry.name);
  throw new Error(`no file ${name} below ${folder}`);
}

/**
 * Gives the image, made once.
 * @param cache folder where it is kept
 * @returns path of a raw disk image
 */
export function testImage(cache: string): string {
  const image = join(cache, "images", "test-instance-2.img");
  if (existsSync(image)) return image;
  mkdirSync(join(cache, "images"), { recursive: true });
  const work = mkdtempSync(join(cache, "images", ".building-"));
  const run = (command: string, ...args: string[]): string =>
    execFileSync(command, args, { cwd: work, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  try {
    const kernel = /Depends: (linux-image-\S+)/.exec(
      run("apt-cache", "depends", "linux-image-cloud-amd64"),
    )?.[1];
    if (kernel === undefined)
      throw new Error("no kernel package: is this Debian, and was apt-get update run?");
    run("apt-get", "download", "busybox-static", kernel);
    for (const name of readdirSync(work)) if (name.endsWith(".deb")) run("dpkg-deb", "-x", name, "root");
    const root = join(work, "root");
    const folder = (path: string): Entry => ({ path, mode: 0o40755, content: Buffer.alloc(0) });
    const file = (path: string, content: Buffer | string): Entry => ({
      path,
      mode: 0o100755,
      content: Buffer.from(content),
    });
    const initrd = cpio([
      ...["bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "lib", "proc", "sys", "www"].map(folder),
      file("bin/busybox", readFileSync(join(root, "bin", "busybox"))),
      file("init", init),
      file("lease", lease),
      file("etc/acpi/PWRF/00000080", powerButton),
      ...modules.map((name) =>
        file(`lib/${name}.ko`, readFileSync(find(root, new RegExp(`^${name}\\.ko$`)))),
      ),
    ]);
    writeFileSync(join(work, "initrd"), gzipSync(initrd, { level: 9 }));
    writeFileSync(join(work, "vmlinuz"), readFileSync(find(join(root, "boot"), /^vmlinuz-/)));
    writeFileSync(
      join(work, "syslinux.cfg"),
      "DEFAULT test\nLABEL test\n  KERNEL vmlinuz\n  APPEND initrd=initrd console=ttyS0 quiet\n",
    );
    writeFileSync(join(work, "disk"), Buffer.alloc(24 << 20));
    // FAT16 over the whole disk; at this size FAT32 is refused.
    run("mformat", "-i", "disk", "-v", "TEST", "-T", "49152", "-h", "16", "-s", "63", "-H", "0", "::");
    run("mcopy", "-i", "disk", "vmlinuz", "initrd", "syslinux.cfg", "::");
    run("syslinux", "--install", "disk");
    renameSync(join(work, "disk"), image);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return image;
}

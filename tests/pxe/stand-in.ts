/**
 * A stand-in for an installer: Ubuntu's live server cannot be had everywhere, so a kernel with this small initramfs is
 * booted in its place. It does what an installer does as far as booting goes: it finds its card by BOOTIF=, asks DHCP,
 * fetches a system (url=) and the node's seed (ds=nocloud;s=), writes both to the first disk, and reports. It
 * partitions nothing and knows no autoinstall.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { must } from "../../src/lab/command.ts";
import { buildImage } from "../../src/lab/images/build.ts";
import { imageOf } from "../../src/lab/images/store.ts";
import { unpackPackages } from "../../src/lab/packages.ts";
import { cpio } from "../support/cpio.ts";
import { kept } from "../support/kept.ts";

/** What a machine is given. */
export interface StandIn {
  readonly kernel: string;
  readonly initrd: string;
  /** The parts of the disk that are not empty: lines `OFFSET COUNT` in MiB, each followed by so many MiB. */
  readonly system: string;
}

/** Drivers of what machines have here, in the order in which they need each other. */
const modules = [
  ...["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"],
  ...["failover", "net_failover", "virtio_net", "virtio_blk"],
];

const init = `#!/busybox sh
# Process 1 of the stand-in for an installer.
/busybox mkdir -p /bin /proc /sys /dev /tmp /target /etc
/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
say() { echo "STAND-IN: $*"; }
for module in ${modules.join(" ")}; do
  [ ! -f /modules/$module.ko ] || insmod /modules/$module.ko
done
word() { tr ' ' '\\n' </proc/cmdline | sed -n "s|^$1||p" | head -n 1; }
image=$(word url=)
seed=$(word 'ds=nocloud;s=')
report=$(word seedsmith.report=)
bootif=$(word BOOTIF=01- | tr - :)
say "command line: $(cat /proc/cmdline)"
tell() {
  wget -q -O /dev/null --header 'Content-Type: application/json' --post-data \\
    "{\\"origin\\":\\"installer\\",\\"event\\":\\"$1\\",\\"message\\":\\"$2\\"}" "$report"
}
fail() {
  say "FAILED: $*"
  tell failed "$*"
  sleep 5
  poweroff -f
}
card=
for try in 1 2 3 4 5 6 7 8 9 10; do
  for one in /sys/class/net/*; do
    [ "$(cat $one/address)" != "$bootif" ] || card=\${one##*/}
  done
  [ -z "$card" ] || [ ! -b /dev/vda ] || break
  sleep 1
done
[ -n "$card" ] || fail "no card has the address $bootif"
ip link set lo up
ip link set $card up
cat >/tmp/lease <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/$mask dev $interface
END
chmod +x /tmp/lease
udhcpc -q -n -t 10 -T 2 -i $card -s /tmp/lease || fail "no address"
say "card $card $(ip -4 -o addr show dev $card | tr -s ' ')"
tell started "on $card" || say "the server does not take reports"
mkdir -p /seed
for file in user-data meta-data network-config vendor-data; do
  wget -q -O /seed/$file "$seed$file" || fail "no $file of the seed"
done
say "the seed is here"
disk=/dev/vda
wget -q -O - "$image" | while read -r at count; do
  dd of=$disk bs=1M seek=$at count=$count iflag=fullblock conv=notrunc 2>/dev/null || exit 1
done || fail "the system could not be written"
sync
blockdev --rereadpt $disk || fail "the disk has no partitions"
mount -t ext4 \${disk}1 /target || fail "the system has no root"
mkdir -p /target/var/lib/cloud/seed/nocloud
cp /seed/* /target/var/lib/cloud/seed/nocloud/
chmod 0700 /target/var/lib/cloud/seed/nocloud
chmod 0600 /target/var/lib/cloud/seed/nocloud/*
umount /target
sync
say "written"
for try in 1 2 3 4 5; do
  if tell installed "$disk"; then
    say "INSTALLED"
    sleep 1
    reboot -f
  fi
  sleep 2
done
fail "the server does not take the report"
`;

const mebibyte = 2 ** 20;

/** Writes what of a raw disk is not empty. */
function writeParts(disk: string, to: string): void {
  const from = openSync(disk, "r");
  const out = openSync(to, "w");
  const total = Math.ceil(statSync(disk).size / mebibyte);
  const piece = Buffer.alloc(mebibyte);
  const empty = Buffer.alloc(mebibyte);
  let run: Buffer[] = [];
  const flush = (end: number): void => {
    if (run.length === 0) return;
    writeSync(out, `${end - run.length} ${run.length}\n`);
    for (const one of run) writeSync(out, one);
    run = [];
  };
  for (let index = 0; index < total; index++) {
    const read = readSync(from, piece, 0, mebibyte, index * mebibyte);
    piece.fill(0, read);
    if (piece.equals(empty)) flush(index);
    else run.push(Buffer.from(piece));
    if (run.length === 64) flush(index + 1);
  }
  flush(total);
  closeSync(from);
  closeSync(out);
}

/** Makes the stand-in's files, or finds them in the cache. */
export async function standIn(cache: string, progress: (line: string) => void): Promise<StandIn> {
  const image =
    imageOf(cache, "debian-12") ??
    (await buildImage({ name: "debian-12", family: "debian", codename: "bookworm" }, { cache, progress }));
  const key = createHash("sha256")
    .update(`${image.key}\n${init}\n${modules.join()}`)
    .digest("hex")
    .slice(0, 16);
  const place = join(cache, "stand-in", key);
  const files = {
    kernel: join(place, "vmlinuz"),
    initrd: join(place, "initrd"),
    system: join(place, "debian-12.disk"),
  };
  await kept(place, async (making) => {
    progress("making the stand-in for an installer");
    const packages = await unpackPackages(["busybox-static"], cache, progress);
    const busybox = join(packages.get("busybox-static") ?? "", "bin", "busybox");
    const folder = dirname(image.disk);
    const unpacked = join(making, "initrd.d");
    mkdirSync(unpacked);
    await must([
      "sh",
      "-ec",
      'gzip -dc "$1" | (cd "$2" && "$3" cpio -id 2>/dev/null)',
      "sh",
      join(folder, "initrd.img"),
      unpacked,
      busybox,
    ]);
    const found = (await must(["find", unpacked, "-name", "*.ko"])).trim().split("\n");
    const drivers = modules.flatMap((module) => found.filter((path) => path.endsWith(`/${module}.ko`)));
    const archive = cpio([
      { path: "init", mode: 0o100755, content: Buffer.from(init) },
      { path: "busybox", mode: 0o100755, content: readFileSync(busybox) },
      { path: "dev", mode: 0o040755, content: Buffer.alloc(0) },
      { path: "modules", mode: 0o040755, content: Buffer.alloc(0) },
      ...drivers.map((path) => ({
        path: `modules/${path.slice(path.lastIndexOf("/") + 1)}`,
        mode: 0o100644,
        content: readFileSync(path),
      })),
    ]);
    writeFileSync(join(making, "initrd"), gzipSync(archive, { level: 9 }));
    copyFileSync(join(folder, "vmlinuz"), join(making, "vmlinuz"));
    const raw = join(making, "disk.raw");
    await must(["qemu-img", "convert", "-f", image.format, "-O", "raw", image.disk, raw], { timeout: 600 });
    writeParts(raw, join(making, "debian-12.disk"));
    rmSync(raw);
    rmSync(unpacked, { recursive: true });
  });
  return files;
}

/**
 * The small system in which storage actions are applied to real block devices: a kernel, and a root file system with
 * the tools that curtin uses, where Debian has them. Built once and kept in the cache under a digest of its recipe.
 */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { machineApt, toDeb822 } from "../../src/lab/apt-sources.ts";
import { must } from "../../src/lab/command.ts";
import { removeTree } from "../../src/lab/tree.ts";
import { kept } from "../support/kept.ts";

/** Where the control disk's program is started from. */
const init = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev; mount -t tmpfs run /run
mkdir -p /run/lock /run/udev
/lib/systemd/systemd-udevd --daemon
udevadm trigger --type=subsystems --action=add; udevadm trigger --type=devices --action=add; udevadm settle
python3 -c 'import json
control = open("/dev/disk/by-id/virtio-control", "rb").read(1 << 20)
task = json.loads(control.rstrip(b"\\0"))
exec(compile(task["program"], "apply.py", "exec"), {"task": task["task"], "control": "/dev/disk/by-id/virtio-control"})'
sync
echo o > /proc/sysrq-trigger
sleep 60
`;

const recipe = {
  format: 1,
  release: "bookworm",
  packages: [
    ...["linux-image-amd64", "initramfs-tools", "udev", "kmod", "python3", "util-linux", "fdisk", "gdisk"],
    ...["mdadm", "lvm2", "cryptsetup-bin", "dosfstools", "e2fsprogs", "xfsprogs", "grub2-common"],
    ...["grub-pc-bin", "grub-efi-amd64-bin", "zstd"],
  ],
  init,
};

/** The built system. */
export interface GuestRoot {
  readonly kernel: string;
  readonly initrd: string;
  /** A raw ext4 image. Nothing may write to it. */
  readonly image: string;
}

/** Gives the system, building it when the cache has none of this recipe (a minute or two; needs root). */
export async function guestRoot(cache: string, progress: (line: string) => void): Promise<GuestRoot> {
  const apt = await machineApt(recipe.release);
  const key = createHash("sha256")
    .update(JSON.stringify([recipe, toDeb822(apt.sources), apt.settings]))
    .digest("hex")
    .slice(0, 16);
  const home = join(cache, "storage", key);
  const found = {
    kernel: join(home, "vmlinuz"),
    initrd: join(home, "initrd.img"),
    image: join(home, "root.img"),
  };
  await kept(home, async (building) => {
    const root = join(building, "root");
    await must(
      [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        `--include=${recipe.packages.join(",")}`,
        // Only what a virtual machine has: a smaller initrd starts sooner.
        '--essential-hook=mkdir -p "$1/etc/initramfs-tools/conf.d" && printf "MODULES=list\\nCOMPRESS=zstd\\n" > "$1/etc/initramfs-tools/conf.d/seedsmith"',
        '--essential-hook=printf "virtio_pci\\nvirtio_blk\\next4\\n" > "$1/etc/initramfs-tools/modules"',
        ...["/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*"].map(
          (path) => `--dpkgopt=path-exclude=${path}`,
        ),
        ...apt.settings.map((line) => `--aptopt=${line.replace(/;$/, "")}`),
        recipe.release,
        root,
        "-",
      ],
      {
        stdin: toDeb822(apt.sources),
        timeout: 1800,
        onLine: (line) => {
          if (line.startsWith("I: ")) progress(line.slice(3));
        },
      },
    );
    const boot = readdirSync(join(root, "boot"));
    for (const [name, begins] of [
      ["vmlinuz", "vmlinuz-"],
      ["initrd.img", "initrd.img-"],
    ] as const) {
      const file = boot.find((one) => one.startsWith(begins));
      if (file === undefined) throw new Error(`the built root has no ${begins}*`);
      cpSync(join(root, "boot", file), join(building, name));
    }
    writeFileSync(join(root, "sbin", "apply-storage"), init, { mode: 0o755 });
    for (const path of ["target", "proc", "sys", "dev", "run"])
      mkdirSync(join(root, path), { recursive: true });
    const image = join(building, "root.img");
    writeFileSync(image, "");
    truncateSync(image, 2 * 2 ** 30);
    await must(["mkfs.ext4", "-q", "-F", "-d", root, image], { timeout: 300 });
    await removeTree(root);
  });
  return found;
}

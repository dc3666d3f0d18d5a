/** What a bootable image is made of, as values: everything that goes into its digest. */
import { createHash } from "node:crypto";
import { type AptConfiguration, toDeb822 } from "../apt-sources.ts";
import { cloudFiles, cloudPackages, cloudUnits } from "../cloud-image.ts";

/**
 * What makes a root boot by itself. The kernel is the one of the official image for clouds: it has virtio, and
 * openvswitch, device mapper, vxlan, tun and iSCSI as modules, but no drivers for hardware.
 */
const bootPackages: readonly string[] = [
  "linux-image-cloud-amd64",
  "initramfs-tools",
  // Signed shim and GRUB for UEFI, GRUB for BIOS, and what installs them again when they are upgraded.
  "grub-cloud-amd64",
  // growpart and what it calls, so that the root grows to the machine's disk.
  ...["cloud-guest-utils", "fdisk", "e2fsprogs", "dosfstools"],
];

/** Sizes and places on the disk, in sectors of 512 bytes: numbers and order of the official image. */
export const layout = {
  /** Of the whole image; a machine's disk is larger, and its root grows. */
  disk: 3 * 2 ** 30,
  bios: { number: 14, start: 2048, size: 6144 },
  esp: { number: 15, start: 8192, size: 253952 },
  /** The last one on the disk, or it could not grow. Its end leaves room for the second partition table. */
  root: { number: 1, start: 262144, size: (3 * 2 ** 30) / 512 - 262144 - 2048 },
} as const;

/** Where files of the disk can be told apart: made from the recipe, so that a second build has the same. */
export interface Identifiers {
  readonly disk: string;
  readonly root: string;
  readonly rootPartition: string;
  readonly biosPartition: string;
  readonly espPartition: string;
  /** 8 hexadecimal digits: the volume number of the ESP's file system. */
  readonly esp: string;
}

/** A recipe: an image of another recipe never has the same key. */
export interface ImageRecipe {
  /** Raise when the code makes another image from the same recipe. */
  readonly format: 1;
  readonly target: string;
  readonly release: string;
  readonly architecture: "amd64";
  readonly packages: readonly string[];
  readonly sources: string;
  readonly settings: readonly string[];
  /** Written into the root. */
  readonly files: Readonly<Record<string, string>>;
  readonly enable: readonly string[];
  readonly layout: typeof layout;
  /** What mkfs is told, and what the image's own kernel does at the end. */
  readonly making: readonly string[];
}

const grubDefaults = `# A machine of a lab is watched by its serial line, and nobody chooses from its menu.
GRUB_TIMEOUT=0
GRUB_RECORDFAIL_TIMEOUT=0
GRUB_TERMINAL=serial
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"
`;

/** The recipe of a Debian release. */
export function imageRecipe(apt: AptConfiguration, target: string, release: string): ImageRecipe {
  return {
    format: 1,
    target,
    release,
    architecture: "amd64",
    packages: [...cloudPackages, ...bootPackages],
    sources: toDeb822(apt.sources),
    settings: apt.settings,
    files: {
      ...cloudFiles(apt, release),
      // The locale that is part of libc: no other is generated.
      "/etc/default/locale": "LANG=C.UTF-8\n",
      "/etc/cloud/cloud.cfg.d/91_locale.cfg": "locale: C.UTF-8\n",
      "/etc/default/grub.d/50-lab.cfg": grubDefaults,
      // Lets the packages of GRUB install it again when they are upgraded.
      "/etc/grub.d/enable_cloud": "",
    },
    enable: cloudUnits,
    layout,
    making: [mke2fsConfiguration, finishScript],
  };
}

/** The digest of a recipe, as it stands in names of files. */
export function recipeKey(recipe: ImageRecipe): string {
  return createHash("sha256").update(JSON.stringify(recipe)).digest("hex").slice(0, 16);
}

/** The identifiers that belong to a key. */
export function identifiers(key: string): Identifiers {
  const uuid = (role: string): string => {
    const bytes = createHash("sha256").update(`${key} ${role}`).digest().subarray(0, 16);
    // Version 8 of RFC 9562: made by a rule of our own.
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const hex = bytes.toString("hex");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  };
  return {
    disk: uuid("disk"),
    root: uuid("root"),
    rootPartition: uuid("root partition"),
    biosPartition: uuid("bios partition"),
    espPartition: uuid("esp partition"),
    esp: createHash("sha256").update(`${key} esp`).digest("hex").slice(0, 8).toUpperCase(),
  };
}

/** The input of sfdisk. */
export function partitionTable(ids: Identifiers): string {
  const { bios, esp, root } = layout;
  return `label: gpt
label-id: ${ids.disk}
first-lba: 2048
${root.number} : start=${root.start}, size=${root.size}, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=${ids.rootPartition}
${bios.number} : start=${bios.start}, size=${bios.size}, type=21686148-6449-6E6F-744E-656564454649, uuid=${ids.biosPartition}
${esp.number} : start=${esp.start}, size=${esp.size}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=${ids.espPartition}
`;
}

/** /etc/fstab. The root grows to its partition when it is mounted. */
export function fstab(ids: Identifiers): string {
  const esp = `${ids.esp.slice(0, 4)}-${ids.esp.slice(4)}`;
  return `UUID=${ids.root} / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1
UUID=${esp} /boot/efi vfat umask=0077,nofail 0 0
`;
}

/** What GRUB reads on the ESP: where the root's own configuration is. */
export function espGrub(ids: Identifiers): string {
  return `search.fs_uuid ${ids.root} root
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
`;
}

/** Features that every GRUB reads, whatever the defaults of the mkfs of this machine are. */
export const mke2fsConfiguration = `[defaults]
base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
default_mntopts = acl,user_xattr
enable_periodic_fsck = 0
blocksize = 4096
inode_size = 256
inode_ratio = 16384
[fs_types]
ext4 = {
features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
}
`;

/** Printed on the serial line when all went well. */
export const finishedWord = "SEEDSMITH-IMAGE-FINISHED";

/** Where the script lies that finishes the image from inside; it deletes itself. */
export const finishPath = "/seedsmith-finish";

/**
 * Where the capabilities of files are listed meanwhile, as getcap prints them: they are attributes that only root
 * can set, and that fakeroot cannot keep.
 */
export const capabilitiesPath = "/seedsmith-capabilities";

/**
 * Runs as process 1, once, on the image's own kernel: grub-install wants to see the disk as a disk, which on
 * this side would take a loop device and root.
 */
export const finishScript = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -o remount,rw /
mountpoint -q /proc || mount -t proc proc /proc
mountpoint -q /sys || mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mountpoint -q /run || mount -t tmpfs run /run
# A root on which a deleted file is still being read cannot be put away in order.
if [ "$0" = ${finishPath} ]; then
  mv "$0" /run/finish
  exec sh /run/finish
fi
finish() {
  while read -r path capabilities; do setcap "$capabilities" "$path" || return; done <${capabilitiesPath}
  rm ${capabilitiesPath}
  grub-install --target=i386-pc --no-floppy /dev/vda && update-grub && sync && mount -o remount,ro /
}
if finish; then
  echo ${finishedWord}
fi
echo o >/proc/sysrq-trigger
sleep 60
`;

/** The command that runs it: the image's disk, its kernel and initial RAM disk, no firmware of its own. */
export function finishCommand(disk: string, kernel: string, initrd: string, log: string): readonly string[] {
  return [
    "qemu-system-x86_64",
    ...["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", `file:${log}`],
    ...["-kernel", kernel, "-initrd", initrd],
    ...["-append", `root=/dev/vda1 rw console=ttyS0 panic=-1 init=${finishPath}`],
    // What a kill in the middle leaves is thrown away, so nothing need reach the disk before the end.
    ...["-drive", `file=${disk.replaceAll(",", ",,")},if=virtio,format=raw,cache=unsafe`],
  ];
}

/**
 * Storage actions, as Ubuntu's installer (subiquity, then curtin) reads them, from a plan of disks. Every layout is
 * written out as actions: a layout's name that an installer does not know would be installed as `direct` without a word.
 */
import type { Install, InstallDisk } from "../resolve/model.ts";

export type StorageAction = { readonly type: string; readonly id: string; readonly [key: string]: unknown };

type Layout = Extract<Install["storage"], { kind: "layout" }>;

const mib = 2 ** 20;
const gib = 2 ** 30;

/** Features of ZFS that GRUB reads; as the installer's own layout has them. */
const bootFeatures = [
  ...["async_destroy", "bookmarks", "embedded_data", "empty_bpobj", "enabled_txg", "extensible_dataset"],
  ...["filesystem_limits", "hole_birth", "large_blocks", "lz4_compress", "spacemap_histogram"],
];

/**
 * @param passphrase of the disk's encryption, or null
 * @returns actions, each after all that it names
 */
export function storageActions(
  storage: Layout,
  firmware: Install["firmware"],
  passphrase: string | null,
): readonly StorageAction[] {
  const actions: StorageAction[] = [];
  const system = storage.os.map((disk, index) =>
    systemDisk(actions, disk, storage.os.length > 1 ? `os${index + 1}` : "os", firmware, index === 0),
  );
  switch (storage.layout) {
    case "direct":
      root(actions, storage, partition(actions, system[0] as SystemDisk, "root", storage.rootSize ?? -1));
      break;
    case "lvm":
      lvm(actions, storage, system[0] as SystemDisk, passphrase);
      break;
    case "raid1":
      mirror(actions, storage, system);
      break;
    case "zfs":
      zfs(actions, storage, system[0] as SystemDisk);
      break;
  }
  if (firmware === "uefi") mountAt(actions, "esp", `${(system[0] as SystemDisk).id}-esp-format`, "/boot/efi");
  data(actions, storage);
  return actions;
}

interface SystemDisk {
  readonly id: string;
  next: number;
}

/** A disk with its table and what the firmware boots from. */
function systemDisk(
  actions: StorageAction[],
  disk: InstallDisk,
  name: string,
  firmware: Install["firmware"],
  first: boolean,
): SystemDisk {
  actions.push(wholeDisk(disk, `disk-${name}`, firmware === "bios"));
  const made: SystemDisk = { id: `disk-${name}`, next: 1 };
  if (firmware === "bios") {
    // GRUB's own place on a disk with a GPT.
    partition(actions, made, "grub", mib, { flag: "bios_grub" });
    return made;
  }
  // Each disk of a mirror has an EFI partition of its own, as firmware knows no md; the first one's is mounted.
  const esp = partition(actions, made, "esp", gib, { flag: "boot", grub_device: true });
  actions.push({
    type: "format",
    id: `${made.id}-esp-format`,
    volume: esp,
    fstype: "fat32",
    ...(first ? {} : { label: "EFI2" }),
    preserve: false,
  });
  return made;
}

function wholeDisk(disk: InstallDisk, id: string, grub: boolean): StorageAction {
  return {
    type: "disk",
    id,
    match: disk.match,
    ptable: "gpt",
    wipe: "superblock-recursive",
    preserve: false,
    ...(grub ? { grub_device: true } : {}),
  };
}

/** Adds the disk's next partition. @param size bytes; -1 is the rest @returns its id */
function partition(
  actions: StorageAction[],
  disk: SystemDisk,
  name: string,
  size: number,
  more: { readonly [key: string]: unknown } = {},
): string {
  const id = `${disk.id}-${name}`;
  actions.push({
    type: "partition",
    id,
    device: disk.id,
    number: disk.next,
    size,
    wipe: "superblock",
    preserve: false,
    ...more,
  });
  disk.next += 1;
  return id;
}

function format(actions: StorageAction[], id: string, volume: string, fstype: string): string {
  actions.push({ type: "format", id, volume, fstype, preserve: false });
  return id;
}

function mountAt(
  actions: StorageAction[],
  name: string,
  device: string,
  path: string,
  options?: string,
): void {
  actions.push({
    type: "mount",
    id: `mount-${name}`,
    device,
    path,
    ...(options === undefined ? {} : { options }),
  });
}

function root(actions: StorageAction[], storage: Layout, volume: string): void {
  mountAt(actions, "root", format(actions, "root-format", volume, storage.filesystem), "/");
}

function lvm(actions: StorageAction[], storage: Layout, disk: SystemDisk, passphrase: string | null): void {
  // Outside of the volume group, which may be encrypted.
  const boot = partition(actions, disk, "boot", 2 * gib);
  let volume = partition(actions, disk, "pv", -1);
  if (passphrase !== null) {
    actions.push({
      type: "dm_crypt",
      id: "os-crypt",
      volume,
      dm_name: "os-crypt",
      key: passphrase,
      preserve: false,
    });
    volume = "os-crypt";
  }
  // No `wipe` on the volume: curtin wipes a new one without being told, and its schema does not know the key there.
  actions.push(
    { type: "lvm_volgroup", id: "os-vg", name: "ubuntu-vg", devices: [volume], preserve: false },
    {
      type: "lvm_partition",
      id: "os-lv",
      name: "ubuntu-lv",
      volgroup: "os-vg",
      size: storage.rootSize ?? -1,
      preserve: false,
    },
  );
  root(actions, storage, "os-lv");
  mountAt(actions, "boot", format(actions, "boot-format", boot, "ext4"), "/boot");
}

function mirror(actions: StorageAction[], storage: Layout, disks: readonly SystemDisk[]): void {
  const devices = disks.map((disk) =>
    partition(actions, disk, "md", storage.rootSize ?? -1, { flag: "raid" }),
  );
  actions.push({ type: "raid", id: "os-md", name: "md0", raidlevel: "raid1", devices, preserve: false });
  root(actions, storage, "os-md");
}

/** The installer's own layout for ZFS, without the desktop's datasets: a pool that GRUB reads, and one for the rest. */
function zfs(actions: StorageAction[], storage: Layout, disk: SystemDisk): void {
  const boot = partition(actions, disk, "bpool", 2 * gib);
  if (typeof storage.swap === "number") {
    // A file for swap on ZFS deadlocks.
    const swap = partition(actions, disk, "swap", storage.swap, { flag: "swap" });
    mountAt(actions, "swap", format(actions, "swap-format", swap, "swap"), "none");
  }
  const rest = partition(actions, disk, "rpool", -1);
  const properties = {
    // null takes curtin's own `off` back.
    atime: null,
    acltype: "posixacl",
    canmount: "off",
    compression: "lz4",
    devices: "off",
    normalization: "formD",
    relatime: "on",
    sync: "standard",
    xattr: "sa",
  };
  const dataset = (pool: string, volume: string, set: { readonly [key: string]: string }): void =>
    void actions.push({
      type: "zfs",
      id: `${pool}-${volume.toLowerCase().replaceAll("/", "-")}`,
      pool,
      volume,
      properties: set,
    });
  // The root is mounted before /boot, and so made first.
  actions.push({
    type: "zpool",
    id: "rpool",
    pool: "rpool",
    vdevs: [rest],
    mountpoint: "/",
    pool_properties: { ashift: 12, autotrim: "on", version: null },
    fs_properties: { ...properties, dnodesize: "auto" },
    default_features: true,
  });
  dataset("rpool", "ROOT", { canmount: "off", mountpoint: "none" });
  dataset("rpool", "ROOT/ubuntu", { canmount: "on", mountpoint: "/" });
  dataset("rpool", "ROOT/ubuntu/var", { canmount: "off" });
  for (const volume of ["var/lib", "var/log", "var/spool"])
    dataset("rpool", `ROOT/ubuntu/${volume}`, { canmount: "on" });
  actions.push({
    type: "zpool",
    id: "bpool",
    pool: "bpool",
    vdevs: [boot],
    mountpoint: "/boot",
    pool_properties: {
      ashift: 12,
      autotrim: "on",
      version: null,
      ...Object.fromEntries(bootFeatures.map((feature) => [`feature@${feature}`, "enabled"])),
    },
    fs_properties: properties,
    default_features: false,
  });
  dataset("bpool", "BOOT", { canmount: "off", mountpoint: "none" });
  dataset("bpool", "BOOT/ubuntu", { canmount: "on", mountpoint: "/boot" });
}

function data(actions: StorageAction[], storage: Layout): void {
  for (const [index, role] of storage.data.entries()) {
    if (role.as === "untouched") continue;
    const parts = role.disks.map((disk, at) => {
      const id = `data${index + 1}${role.many ? `-${at + 1}` : ""}`;
      actions.push(wholeDisk(disk, `disk-${id}`, false));
      return partition(
        actions,
        { id: `disk-${id}`, next: 1 },
        "part",
        -1,
        role.as === "lvm" ? { flag: "lvm" } : {},
      );
    });
    if (role.as === "lvm") {
      actions.push({
        type: "lvm_volgroup",
        id: `data${index + 1}-vg`,
        name: role.group,
        devices: parts,
        preserve: false,
      });
      continue;
    }
    for (const [at, part] of parts.entries()) {
      const name = `data${index + 1}${role.many ? `-${at + 1}` : ""}`;
      mountAt(
        actions,
        name,
        format(actions, `${name}-format`, part, role.as),
        role.many ? `${role.mount}/${at + 1}` : (role.mount as string),
        // A data disk that is gone must not keep the machine from booting.
        "defaults,nofail",
      );
    }
  }
}

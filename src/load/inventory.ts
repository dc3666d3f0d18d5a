/**
 * Reads what a machine says of its disks: `lsblk --json`, `lshw -json`, or the installer's own probe data
 * (/var/log/installer/block/probe-data.json). Knows these formats, and keeps of them what tells disks apart.
 */

/** One disk; what is not known is not there. */
export interface RecordedDisk {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  readonly serial?: string;
  /** udev's ID_SERIAL, which is what the installer compares: often model and serial in one. */
  readonly id_serial?: string;
  readonly wwn?: string;
  readonly model?: string;
  readonly vendor?: string;
  readonly bus?: string;
  /** udev's ID_PATH: the place where it is plugged in. */
  readonly id_path?: string;
  /** Absent where it is not known. */
  readonly ssd?: boolean;
  /** Whether the installer, or a seed, was on it. */
  readonly medium?: boolean;
  /** What was on it when this was recorded. */
  readonly holds?: readonly string[];
}

export interface Inventory {
  readonly recorded: "lsblk" | "lshw" | "probe";
  readonly disks: readonly RecordedDisk[];
}

type Tree = { readonly [key: string]: unknown };

/**
 * @param value the parsed JSON
 * @returns the disks in the order of their paths, or why it is none of the three
 */
export function readInventory(value: unknown): Inventory | { readonly wrong: string } {
  const probe = isMap(value) && isMap(value["storage"]) ? value["storage"] : value;
  const read =
    isMap(probe) && isMap(probe["blockdev"])
      ? { recorded: "probe" as const, disks: fromProbe(probe) }
      : isMap(value) && Array.isArray(value["blockdevices"])
        ? { recorded: "lsblk" as const, disks: fromLsblk(value["blockdevices"] as readonly Tree[]) }
        : looksLikeLshw(value)
          ? { recorded: "lshw" as const, disks: fromLshw(Array.isArray(value) ? value : [value]) }
          : null;
  if (read === null)
    return { wrong: "it is neither of lsblk --json, nor of lshw -json, nor the installer's probe data" };
  if ("wrong" in read.disks) return { wrong: read.disks.wrong };
  if (read.disks.length === 0) return { wrong: "it tells of no disk" };
  const paths = read.disks.map(({ path }) => path);
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) return { wrong: `it tells of ${twice} twice` };
  return { recorded: read.recorded, disks: [...read.disks].sort((a, b) => (a.path < b.path ? -1 : 1)) };
}

function isMap(value: unknown): value is Tree {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function looksLikeLshw(value: unknown): boolean {
  return (Array.isArray(value) ? value : [value]).some((one) => isMap(one) && "id" in one && "class" in one);
}

/** A text that says something: tools print `0`, blanks or nothing where a disk has no serial. */
function told(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  const text = value.trim();
  return /^(0*|unknown|none|n\/a|\s*)$/i.test(text) ? undefined : text;
}

/** Kernel names of what is no disk of its own: loop devices, memory, optical drives, floppies, and what is made of disks. */
const noDisk = /^\/dev\/(loop|ram|zram|sr|fd|dm-|md|nbd|drbd|bcache|mapper\/|mtdblock)/;
/** Boot and replay-protected areas of flash memory. */
const partOfFlash = /^\/dev\/mmcblk\d+(boot\d+|rpmb)$/;

/** Where live systems mount what they run from. */
const liveMounts: ReadonlySet<string> = new Set([
  "/cdrom",
  "/isodevice",
  "/run/live/medium",
  "/lib/live/mount/medium",
]);

/** Whether a file system is an image that machines are installed from, or a seed. */
function isMedium(fstype: string | undefined, label: string | undefined): boolean {
  return fstype === "iso9660" || /^(cidata|config-2)$/i.test(label ?? "");
}

function disk(parts: { readonly [key in keyof RecordedDisk]: RecordedDisk[key] | undefined }): RecordedDisk {
  const entries = Object.entries(parts).filter(
    ([, value]) => value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0),
  );
  // `ssd: false` is a fact, unlike the other flags.
  if (parts.ssd === false) entries.push(["ssd", false]);
  return Object.fromEntries(entries) as unknown as RecordedDisk;
}

// lsblk

function fromLsblk(devices: readonly Tree[]): readonly RecordedDisk[] | { readonly wrong: string } {
  const disks: RecordedDisk[] = [];
  for (const device of devices) {
    const name = told(device["path"]) ?? told(device["kname"]) ?? told(device["name"]);
    if (name === undefined) continue;
    const path = name.startsWith("/") ? name : `/dev/${name}`;
    if (device["type"] !== "disk" || noDisk.test(path) || partOfFlash.test(path)) continue;
    const size =
      typeof device["size"] === "string" && /^\d+$/.test(device["size"])
        ? Number(device["size"])
        : device["size"];
    if (typeof size !== "number")
      return { wrong: `the size of ${path} is "${String(size)}" and not in bytes: run lsblk with --bytes` };
    if (!("serial" in device) && !("wwn" in device))
      return { wrong: "it has no serial numbers: run lsblk with --output-all" };
    const holds: string[] = [];
    let medium = false;
    const visit = (one: Tree, top: boolean): void => {
      const type = told(one["fstype"]);
      const label = told(one["label"]);
      const mounts = [one["mountpoints"], one["mountpoint"]].flat().filter((at) => typeof at === "string");
      medium ||= isMedium(type, label) || mounts.some((at) => liveMounts.has(at as string));
      const where = top ? "" : ` on ${told(one["name"]) ?? "a part"}`;
      if (type !== undefined) holds.push(`${type}${label === undefined ? "" : ` ${label}`}${where}`);
      for (const child of (one["children"] ?? []) as readonly Tree[]) visit(child, false);
    };
    visit(device, true);
    if (holds.length === 0 && told(device["pttype"]) !== undefined)
      holds.push(`a ${told(device["pttype"])} table`);
    const rotates = device["rota"];
    const bus = told(device["tran"]);
    disks.push(
      disk({
        path,
        size,
        serial: told(device["serial"]),
        id_serial: undefined,
        wwn: told(device["wwn"]),
        model: told(device["model"]),
        vendor: told(device["vendor"]),
        bus,
        id_path: undefined,
        ssd:
          rotates === false || rotates === "0" || rotates === 0
            ? true
            : rotates === true || rotates === "1" || rotates === 1
              ? false
              : undefined,
        medium,
        holds,
      }),
    );
  }
  return disks;
}

// lshw

function fromLshw(roots: readonly unknown[]): readonly RecordedDisk[] {
  const disks: RecordedDisk[] = [];
  const visit = (node: unknown, parent: Tree | null): void => {
    if (!isMap(node)) return;
    const names = [node["logicalname"]].flat().filter((name) => typeof name === "string") as string[];
    const path = names.find((name) =>
      /^\/dev\/(sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|mmcblk\d+|nvme\d+n\d+)$/.test(name),
    );
    if (path !== undefined && node["class"] !== "volume") {
      // Of an NVMe disk the controller knows model and serial, and the disk stands below it.
      const teller = node["serial"] === undefined && path.startsWith("/dev/nvme") ? parent : node;
      const capabilities = { ...(isMap(node["capabilities"]) ? node["capabilities"] : {}) };
      const configuration = isMap(node["configuration"]) ? node["configuration"] : {};
      const holds: string[] = [];
      let medium = false;
      const look = (one: unknown): void => {
        if (!isMap(one)) return;
        const settings = isMap(one["configuration"]) ? one["configuration"] : {};
        const type = told(settings["filesystem"]);
        const label = told(settings["label"]);
        const at = [one["logicalname"]].flat().filter((name) => typeof name === "string") as string[];
        medium ||= isMedium(type, label) || at.some((mount) => liveMounts.has(mount));
        if (type !== undefined)
          holds.push(`${type}${label === undefined ? "" : ` ${label}`} on ${at[0] ?? "a part"}`);
        for (const child of (one["children"] ?? []) as readonly unknown[]) look(child);
      };
      look(node);
      if (holds.length === 0 && "partitioned" in capabilities) holds.push("a partition table");
      const turns = Object.keys(capabilities).some((name) => /^\d+rpm$/.test(name));
      disks.push(
        disk({
          path,
          size: typeof node["size"] === "number" ? node["size"] : 0,
          serial: told(teller?.["serial"]),
          id_serial: undefined,
          wwn: told(configuration["wwid"]),
          model: told(teller?.["product"]),
          vendor: told(teller?.["vendor"]),
          bus: path.startsWith("/dev/nvme") ? "nvme" : undefined,
          id_path: undefined,
          // lshw tells of turning disks how fast, and of others nothing.
          ssd: path.startsWith("/dev/nvme") ? true : turns ? false : undefined,
          medium,
          holds,
        }),
      );
      return;
    }
    for (const child of (node["children"] ?? []) as readonly unknown[]) visit(child, node);
  };
  for (const root of roots) visit(root, null);
  return disks;
}

// The installer's probe data: udev's database, by device.

function fromProbe(storage: Tree): readonly RecordedDisk[] {
  const devices = storage["blockdev"] as { readonly [path: string]: Tree };
  const mounted = new Map<string, string>();
  const mounts = (list: unknown): void => {
    for (const one of Array.isArray(list) ? (list as readonly Tree[]) : []) {
      if (typeof one["source"] === "string" && typeof one["target"] === "string")
        mounted.set(one["source"], one["target"]);
      mounts(one["children"]);
    }
  };
  mounts(storage["mount"]);
  const disks: RecordedDisk[] = [];
  for (const [path, device] of Object.entries(devices)) {
    if (device["DEVTYPE"] !== "disk" || noDisk.test(path) || partOfFlash.test(path)) continue;
    if (device["ID_CDROM"] === "1" || device["ID_DRIVE_FLOPPY"] === "1") continue;
    const attributes = isMap(device["attrs"]) ? device["attrs"] : {};
    const parts = Object.entries(devices).filter(
      ([other, { DEVPATH: place }]) =>
        other === path ||
        (typeof place === "string" &&
          typeof device["DEVPATH"] === "string" &&
          place.startsWith(`${device["DEVPATH"]}/`)),
    );
    const holds: string[] = [];
    let medium = false;
    for (const [part, one] of parts) {
      const type = told(one["ID_FS_TYPE"]);
      const label = told(one["ID_FS_LABEL"]);
      medium ||= isMedium(type, label) || liveMounts.has(mounted.get(part) ?? "");
      if (type !== undefined)
        holds.push(
          `${type}${label === undefined ? "" : ` ${label}`}${part === path ? "" : ` on ${part.slice(5)}`}`,
        );
    }
    if (holds.length === 0 && told(device["ID_PART_TABLE_TYPE"]) !== undefined)
      holds.push(`a ${told(device["ID_PART_TABLE_TYPE"])} table`);
    const rotates = attributes["queue/rotational"];
    disks.push(
      disk({
        path,
        size: Number(attributes["size"] ?? 0) || 0,
        serial: told(device["ID_SCSI_SERIAL"]) ?? told(device["ID_SERIAL_SHORT"]),
        id_serial: told(device["ID_SERIAL"]),
        wwn: told(device["ID_WWN_WITH_EXTENSION"]) ?? told(device["ID_WWN"]),
        model: told(device["ID_MODEL"]),
        vendor: told(device["ID_VENDOR"]),
        bus: told(device["ID_BUS"]) ?? (path.startsWith("/dev/nvme") ? "nvme" : undefined),
        id_path: told(device["ID_PATH"]),
        ssd: rotates === "0" ? true : rotates === "1" ? false : undefined,
        medium,
        holds,
      }),
    );
  }
  return disks;
}

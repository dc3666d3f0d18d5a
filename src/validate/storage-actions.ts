/** What storage actions say of each other: references, sizes, and whether a machine boots from what they make. */
import type { ProblemCode, Problems } from "../core/problem.ts";
import { suggest } from "../core/suggest.ts";
import { type Data, type Loaded, type Path, positionOf } from "../load/marks.ts";
import type { Firmware } from "./documents.ts";

type Action = { readonly [key: string]: Data };

/** Keys of an action that name other actions, and which types may stand there. */
const references: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  partition: { device: ["disk", "raid"] },
  raid: {
    devices: ["disk", "partition", "raid"],
    spare_devices: ["disk", "partition", "raid"],
    container: ["raid"],
  },
  lvm_volgroup: { devices: ["disk", "partition", "raid", "dm_crypt"] },
  lvm_partition: { volgroup: ["lvm_volgroup"] },
  dm_crypt: { volume: ["disk", "partition", "raid", "lvm_partition"] },
  format: { volume: ["disk", "partition", "raid", "lvm_partition", "dm_crypt"] },
  mount: { device: ["format"] },
  zpool: { vdevs: ["disk", "partition"] },
  zfs: { pool: ["zpool"] },
};

/** Checks actions whose shapes are right. */
export function checkReferencesOfActions(doc: Loaded, firmware: Firmware, problems: Problems): void {
  const actions = doc.value as readonly Action[];
  const add = (code: ProblemCode, path: Path, message: string, hint: string, other?: Path): void =>
    problems.add({
      code,
      at: positionOf(doc, path),
      message,
      hint,
      ...(other === undefined ? {} : { also: [{ at: positionOf(doc, other), label: "it stands here" }] }),
    });
  const before = problems.reports;
  const all = new Map<string, number>();
  for (const [index, action] of actions.entries()) {
    const name = action["id"] as string;
    const other = all.get(name);
    if (other !== undefined)
      add("clash", [index, "id"], `two storage actions have the id "${name}"`, "give each its own", [
        other,
        "id",
      ]);
    else all.set(name, index);
  }
  const defined = new Map<string, Action>();
  for (const [index, action] of actions.entries()) {
    const type = action["type"] as string;
    for (const [key, types] of Object.entries(references[type] ?? {})) {
      const value = action[key];
      if (value === undefined) continue;
      for (const [at, name] of (Array.isArray(value) ? value : [value]).entries()) {
        const path: Path = Array.isArray(value) ? [index, key, at] : [index, key];
        const found = defined.get(name as string);
        if (found === undefined) {
          const later = all.get(name as string);
          if (later === undefined)
            add(
              "unknown-name",
              path,
              `no storage action has the id "${String(name)}"`,
              suggest(String(name), [...all.keys()]) ?? "define it above",
            );
          else
            add(
              "bad-storage",
              path,
              `the id "${String(name)}" is used before it is defined`,
              "the installer reads from top to bottom: move the definition up",
              [later, "id"],
            );
        } else if (!types.includes(found["type"] as string))
          add(
            "bad-storage",
            path,
            `"${key}" of a ${type} names a ${String(found["type"])}`,
            `it may name: ${types.join(", ")}`,
            [all.get(name as string) ?? 0, "id"],
          );
      }
    }
    defined.set(action["id"] as string, action);
  }
  if (problems.reports > before) return;
  checkSizes(actions, add);
  checkDisks(actions, add);
  checkMounts(actions, add);
  if (problems.reports === before) checkBoot(doc, actions, firmware, problems);
}

type Add = (code: ProblemCode, path: Path, message: string, hint: string, other?: Path) => void;

function checkSizes(actions: readonly Action[], add: Add): void {
  for (const [index, action] of actions.entries()) {
    const { size } = action;
    if (typeof size !== "number" || size > 0) continue;
    const parent = action["type"] === "partition" ? "device" : "volgroup";
    const later = actions.findIndex(
      (other, at) => at > index && other[parent] === action[parent] && other[parent] !== undefined,
    );
    if (size !== -1)
      add("bad-size", [index, "size"], `the installer reads no size ${size}`, "-1 is the rest of the device");
    else if (later >= 0)
      add(
        "bad-size",
        [index, "size"],
        "-1 takes the rest, and another one follows on the same device",
        "only the last may be -1",
        [later, "id"],
      );
  }
}

function checkDisks(actions: readonly Action[], add: Add): void {
  for (const [index, action] of actions.entries()) {
    if (action["type"] !== "disk") continue;
    const how = ["serial", "path", "match"].filter((key) => action[key] !== undefined);
    if (how.length !== 1)
      add(
        how.length === 0 ? "missing-key" : "clash",
        how.length === 0 ? [index] : [index, how[1] as string],
        how.length === 0
          ? "a disk says neither serial nor path nor match: the installer would take any"
          : `the installer looks at "${how[0]}" alone`,
        "say exactly one of serial, path and match",
      );
  }
}

function checkMounts(actions: readonly Action[], add: Add): void {
  const seen = new Map<string, number>();
  for (const [index, action] of actions.entries()) {
    if (action["type"] !== "mount") continue;
    const path = action["path"] as string;
    if (path === "" || path === "none") continue;
    const other = seen.get(path);
    if (!path.startsWith("/"))
      add("bad-path", [index, "path"], `"${path}" is not absolute`, "a swap area is mounted at none");
    else if (other !== undefined)
      add("clash", [index, "path"], `two file systems are mounted at ${path}`, "mount one elsewhere", [
        other,
        "path",
      ]);
    seen.set(path, index);
    if (action["device"] === undefined && action["spec"] === undefined)
      add("missing-key", [index], 'a mount lacks the key "device"', "the id of a format");
  }
}

/** What the installer itself would refuse when it is too late, and what it would not notice. */
function checkBoot(doc: Loaded, actions: readonly Action[], firmware: Firmware, problems: Problems): void {
  const where = positionOf(doc, []);
  const add = (message: string, hint: string): void =>
    problems.add({ code: "bad-storage", at: where, message, hint });
  const byId = new Map(actions.map((action) => [action["id"] as string, action]));
  const mounts = actions.filter(({ type }) => type === "mount");
  const root =
    mounts.some(({ path }) => path === "/") ||
    actions.some(
      ({ type, properties }) =>
        type === "zfs" && (properties as { mountpoint?: string } | undefined)?.mountpoint === "/",
    );
  if (!root) add("nothing is mounted at /", "the system needs a root file system");
  if (firmware === "uefi") {
    const good = mounts.some((mount) => {
      if (mount["path"] !== "/boot/efi") return false;
      const format = byId.get(mount["device"] as string);
      const volume = byId.get(format?.["volume"] as string);
      return (
        volume?.["type"] === "partition" &&
        volume["grub_device"] === true &&
        ["fat32", "vfat"].includes(format?.["fstype"] as string)
      );
    });
    if (!good)
      add(
        "a machine with uefi does not boot from this: no partition with grub_device is formatted as fat32 and mounted at /boot/efi",
        "add one of 1G with flag: boot and grub_device: true",
      );
    return;
  }
  const disks = actions.filter((action) => action["type"] === "disk" && action["grub_device"] === true);
  if (disks.length === 0)
    add(
      "a machine with bios does not boot from this: no disk has grub_device",
      "add grub_device: true to the disk",
    );
  for (const disk of disks) {
    const table = disk["ptable"];
    const bios = actions.some(({ device, flag }) => device === disk["id"] && flag === "bios_grub");
    if (table === "gpt" && disk["preserve"] !== true && !bios)
      add(
        `a machine with bios does not boot from this: the disk "${String(disk["id"])}" has a GPT without a bios_grub partition`,
        "add a first partition of 1M with flag: bios_grub",
      );
  }
}

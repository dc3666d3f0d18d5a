/** What a node's installation is: firmware, disks, medium. Every disk is resolved by the facts, or refused. */
import { bytes } from "../core/duration.ts";
import type { Position } from "../core/position.ts";
import type { ProblemCode, Problems } from "../core/problem.ts";
import { suggest } from "../core/suggest.ts";
import { isAtLeast } from "../core/version.ts";
import { type Data, type Loaded, type Path, positionOf, subtree } from "../load/marks.ts";
import type {
  DataDoc,
  DiskDoc,
  DiskMatch,
  Doc,
  Firmware,
  HardwareDoc,
  InstallDoc,
  MachineDoc,
  OsDoc,
  ProfileDoc,
  SiteDoc,
  StorageDoc,
  TargetDoc,
} from "../validate/documents.ts";
import { askFor, askWithoutFacts, chooseDisks, describeDisk, type InstallerMatch } from "./disks.ts";
import type { Install, InstallData, InstallDisk } from "./model.ts";

/** Checks of what a person wrote in the installer's own language. They are large, so they come from outside. */
export interface InstallRules {
  /** Raw keys of autoinstall, a map. */
  readonly autoinstall: (keys: Loaded, installer: string, problems: Problems) => void;
  /** Raw storage actions, a list. */
  readonly actions: (actions: Loaded, firmware: Firmware, installer: string, problems: Problems) => void;
}

/** What is known of machines beside the site. */
export interface Machines {
  /** Facts by node. */
  readonly hardware: ReadonlyMap<string, Doc<HardwareDoc>>;
  /** Null where nothing that is not built in is read. */
  readonly rules: InstallRules | null;
}

/** Keys of autoinstall that seedsmith writes itself, and what says it instead. */
const ownAutoinstallKeys: Readonly<Record<string, string>> = {
  network: "networks and interfaces say it",
  proxy: "apt: { proxy: ... } says it",
  shutdown: "install: { shutdown: ... } says it",
  storage: "storage: says it, with actions: for what it has no word for",
  "user-data": "it is the node's first boot; cloud_config adds keys to it",
  version: "it is 1",
};

/** The installer has had the actions zpool and zfs, and the match by id_path, since this version. */
const sinceZfs = "23.10.1";

/** A value of some layer, with its place. */
interface Given<T> {
  readonly value: T;
  readonly loaded: Loaded;
  readonly path: Path;
}

interface MachineLayer {
  readonly doc: MachineDoc;
  readonly loaded: Loaded;
  readonly path: Path;
}

interface Subject {
  readonly name: string;
  readonly path: Path;
  readonly target: TargetDoc;
  readonly doc: MachineDoc;
}

/** What a node says of itself as a machine, whether it is installed or not. */
export interface MachineFacts {
  readonly firmware: Firmware | null;
  readonly console: readonly string[];
  readonly install: Install | null;
}

/** Resolves one node's firmware, console and installation; problems are added. */
export function resolveMachine(
  node: Subject,
  chain: readonly Doc<ProfileDoc>[],
  site: Doc<SiteDoc>,
  machines: Machines,
  problems: Problems,
): MachineFacts {
  const layers: MachineLayer[] = [
    ...chain.map(({ doc, loaded }) => ({ doc, loaded, path: [] })),
    { doc: site.doc, loaded: site.loaded, path: [] },
    { doc: node.doc, loaded: site.loaded, path: node.path },
  ];
  if (!layers.some(({ doc }) => machineKeys.some((key) => doc[key] !== undefined)))
    return { firmware: null, console: [], install: null };
  return new Machine(node, layers, machines, problems).resolve(site);
}

const machineKeys = ["firmware", "console", "storage", "install", "autoinstall"] as const;

class Machine {
  readonly #node: Subject;
  readonly #layers: readonly MachineLayer[];
  readonly #machines: Machines;
  readonly #problems: Problems;

  constructor(node: Subject, layers: readonly MachineLayer[], machines: Machines, problems: Problems) {
    this.#node = node;
    this.#layers = layers;
    this.#machines = machines;
    this.#problems = problems;
  }

  resolve(site: Doc<SiteDoc>): MachineFacts {
    const firmware = this.#last((doc) => doc.firmware, ["firmware"]);
    const console = this.#last((doc) => doc.console, ["console"])?.value ?? [];
    const facts = { firmware: firmware?.value ?? null, console };
    const asked =
      this.#last((doc) => doc.storage, ["storage"]) ??
      this.#last((doc) => doc.install, ["install"]) ??
      this.#last((doc) => doc.autoinstall, ["autoinstall"]);
    if (asked === undefined) return { ...facts, install: null };
    const { installer } = this.#node.target;
    if (installer === undefined) {
      this.#problems.add({
        code: "no-installer",
        at: positionOf(asked.loaded, asked.path, "key"),
        message: `${this.#node.target.target} has no unattended installer here: what is said of installing is left out, only the seed is rendered`,
        hint: "the storage of such a machine is what its image brings",
        notice: true,
      });
      return { ...facts, install: null };
    }
    const before = this.#problems.reports;
    const install = this.#install(installer, firmware, console, asked, site);
    return { ...facts, install: this.#problems.reports > before ? null : install };
  }

  #install(
    known: NonNullable<TargetDoc["installer"]>,
    firmware: Given<Firmware> | undefined,
    console: readonly string[],
    asked: Given<unknown>,
    site: Doc<SiteDoc>,
  ): Install | null {
    const medium = this.#setting("medium");
    const name = medium?.value ?? known.medium;
    const installer = Object.hasOwn(known.media, name) ? known.media[name] : undefined;
    if (installer === undefined)
      this.#report(
        "wrong-value",
        medium ?? asked,
        `${this.#node.target.target} has no medium "${name}"`,
        suggest(name, Object.keys(known.media)),
      );
    if (firmware === undefined)
      this.#add(
        "missing-key",
        positionOf(asked.loaded, asked.path, "key"),
        `"${this.#node.name}" is to be installed, and nothing says whether its firmware is uefi or bios`,
        "add firmware: uefi to the node, its profile or the site: the boot loader is another one",
      );
    const raw = this.#rawKeys(installer);
    const storage = this.#storage(firmware?.value, installer, asked);
    if (installer === undefined || firmware === undefined || storage === null) return null;
    return {
      release: this.#node.target.version,
      medium: name,
      installer,
      firmware: firmware.value,
      shutdown: this.#setting("shutdown")?.value ?? "poweroff",
      withoutArchive: this.#setting("without_archive")?.value ?? "abort",
      console,
      storage,
      keys: raw,
      from:
        asked.loaded === site.loaded
          ? positionOf(asked.loaded, asked.path, "key")
          : positionOf(site.loaded, this.#node.path, "key"),
    };
  }

  // Layers

  /** The strongest layer's value. */
  #last<T>(read: (doc: MachineDoc) => T | undefined, path: Path): Given<T> | undefined {
    for (let index = this.#layers.length - 1; index >= 0; index--) {
      const layer = this.#layers[index] as MachineLayer;
      const value = read(layer.doc);
      if (value !== undefined) return { value, loaded: layer.loaded, path: [...layer.path, ...path] };
    }
    return undefined;
  }

  #setting<K extends keyof InstallDoc>(key: K): Given<NonNullable<InstallDoc[K]>> | undefined {
    return this.#last((doc) => doc.install?.[key], ["install", key]) as
      | Given<NonNullable<InstallDoc[K]>>
      | undefined;
  }

  #ofStorage<K extends keyof StorageDoc>(key: K): Given<NonNullable<StorageDoc[K]>> | undefined {
    return this.#last((doc) => doc.storage?.[key], ["storage", key]) as
      | Given<NonNullable<StorageDoc[K]>>
      | undefined;
  }

  #ofOs<K extends keyof OsDoc>(key: K): Given<NonNullable<OsDoc[K]>> | undefined {
    return this.#last((doc) => doc.storage?.os?.[key], ["storage", "os", key]) as
      | Given<NonNullable<OsDoc[K]>>
      | undefined;
  }

  // Raw keys of autoinstall

  #rawKeys(installer: string | undefined): Install["keys"] {
    const merged = new Map<string, { value: Data; from: Position }>();
    for (const { doc, loaded, path } of this.#layers) {
      if (doc.autoinstall === undefined) continue;
      const at: Path = [...path, "autoinstall"];
      const foreign: Record<string, Data> = {};
      for (const [key, value] of Object.entries(doc.autoinstall)) {
        const instead = Object.hasOwn(ownAutoinstallKeys, key) ? ownAutoinstallKeys[key] : undefined;
        if (instead !== undefined) {
          this.#add(
            "clash",
            positionOf(loaded, [...at, key], "key"),
            `seedsmith writes the autoinstall key "${key}" itself`,
            instead,
          );
          continue;
        }
        foreign[key] = value;
        const before = merged.get(key)?.value;
        const both = isMap(before) && isMap(value) ? { ...before, ...value } : value;
        merged.set(key, { value: both, from: positionOf(loaded, [...at, key], "key") });
      }
      if (installer !== undefined)
        this.#machines.rules?.autoinstall(
          { ...subtree(loaded, at), value: foreign },
          installer,
          this.#problems,
        );
    }
    return [...merged].map(([key, { value, from }]) => ({ key, value, from }));
  }

  // Storage

  #storage(
    firmware: Firmware | undefined,
    installer: string | undefined,
    asked: Given<unknown>,
  ): Install["storage"] | null {
    const actions = this.#ofStorage("actions");
    const os = this.#last((doc) => doc.storage?.os, ["storage", "os"]);
    const data = this.#ofStorage("data");
    if (actions !== undefined) {
      for (const other of [os, data, this.#ofStorage("encryption")])
        if (other !== undefined)
          this.#add(
            "clash",
            positionOf(other.loaded, other.path, "key"),
            `actions of one's own and "${String(other.path.at(-1))}" exclude each other`,
            "let the actions say all of it",
            { at: positionOf(actions.loaded, actions.path, "key"), label: "the actions" },
          );
      const part = subtree(actions.loaded, actions.path);
      if (firmware !== undefined && installer !== undefined)
        this.#machines.rules?.actions(part, firmware, installer, this.#problems);
      return {
        kind: "actions",
        actions: actions.value,
        swap: this.#swap(),
        from: positionOf(actions.loaded, actions.path, "key"),
      };
    }
    const choice = this.#ofOs("disk") ?? this.#ofOs("disks");
    if (choice === undefined) {
      this.#add(
        "missing-key",
        os === undefined
          ? positionOf(asked.loaded, asked.path, "key")
          : positionOf(os.loaded, os.path, "key"),
        `"${this.#node.name}" is to be installed, and nothing says on which disk`,
        "add storage: { os: { disk: { serial: ... } } } to the node; seedsmith hardware import records what disks it has",
      );
      return null;
    }
    const layout = this.#ofOs("layout");
    const kind = layout?.value ?? "lvm";
    const where = layout ?? choice;
    this.#checkLayout(kind, where, installer);
    const disks = this.#osDisks(kind, choice, installer ?? "0");
    const roles = this.#dataRoles(installer ?? "0", disks);
    const encrypted = this.#ofStorage("encryption")?.value === "luks";
    const size = this.#ofOs("size");
    const rootSize = size === undefined ? null : (bytes(size.value) ?? null);
    this.#checkRoom(kind, disks, rootSize, size ?? choice);
    return {
      kind: "layout",
      layout: kind,
      filesystem: this.#ofOs("filesystem")?.value ?? "ext4",
      rootSize,
      swap: this.#swap(),
      passphrase: encrypted ? luksSecret(this.#node.name) : null,
      os: disks,
      data: roles,
      from: positionOf(choice.loaded, choice.path, "key"),
    };
  }

  #swap(): number | false | null {
    const swap = this.#ofStorage("swap");
    if (swap === undefined) return null;
    if (swap.value === false) return false;
    if (swap.value === true) {
      this.#report(
        "wrong-value",
        swap,
        '"swap" may not be true',
        "say how much, such as 8G, or false for none",
      );
      return null;
    }
    return bytes(String(swap.value)) ?? null;
  }

  #checkLayout(
    kind: NonNullable<OsDoc["layout"]>,
    where: Given<unknown>,
    installer: string | undefined,
  ): void {
    if (kind === "zfs" && installer !== undefined && !isAtLeast(installer, sinceZfs))
      this.#report(
        "installer-lacks",
        where,
        `the installer of this medium (${installer}) cannot make ZFS`,
        `it can since ${sinceZfs}: name a newer medium in install: { medium: ... }`,
      );
    const filesystem = this.#ofOs("filesystem");
    if (kind === "zfs" && filesystem !== undefined)
      this.#report(
        "bad-storage",
        filesystem,
        "the layout zfs brings its own file system",
        "leave filesystem out",
      );
    const size = this.#ofOs("size");
    if (kind === "zfs" && size !== undefined)
      this.#report(
        "bad-storage",
        size,
        "the layout zfs takes the whole disk",
        "leave size out; quotas limit what a dataset takes",
      );
    const encryption = this.#ofStorage("encryption");
    if (encryption?.value === "luks" && kind !== "lvm")
      this.#report(
        "bad-storage",
        encryption,
        `the installer encrypts below LVM, and not the layout ${kind}`,
        "say layout: lvm, or leave encryption out",
      );
  }

  #checkRoom(
    kind: NonNullable<OsDoc["layout"]>,
    disks: readonly InstallDisk[],
    rootSize: number | null,
    where: Given<unknown>,
  ): void {
    const gib = 2 ** 30;
    // What stands beside the root file system: boot partitions, and some for tables and alignment.
    const needed = (rootSize ?? 6 * gib) + (kind === "lvm" || kind === "zfs" ? 3 * gib : gib) + 2 ** 26;
    for (const { disk } of disks)
      if (disk !== null && disk.size < needed)
        this.#report(
          "no-disk",
          where,
          `${describeDisk(disk)}, is too small: the system wants ${Math.ceil(needed / gib)}G`,
          "choose another disk, or a smaller size",
        );
  }

  #facts(): Doc<HardwareDoc> | undefined {
    return this.#machines.hardware.get(this.#node.name);
  }

  #osDisks(
    kind: NonNullable<OsDoc["layout"]>,
    choice: Given<DiskMatch | readonly DiskMatch[]>,
    installer: string,
  ): readonly InstallDisk[] {
    const plural = choice.path.at(-1) === "disks";
    const both = plural ? undefined : this.#ofOs("disks");
    if (both !== undefined && this.#ofOs("disk") !== undefined)
      this.#add(
        "clash",
        positionOf(both.loaded, both.path, "key"),
        '"disk" and "disks" exclude each other',
        "a mirror has disks, everything else a disk",
        { at: positionOf(choice.loaded, choice.path, "key"), label: "the other" },
      );
    if ((kind === "raid1") !== plural) {
      this.#add(
        "bad-storage",
        positionOf(choice.loaded, choice.path, "key"),
        kind === "raid1" ? "the layout raid1 wants two disks" : `the layout ${kind} wants one disk`,
        kind === "raid1" ? "write disks: [{ serial: ... }, { serial: ... }]" : "write disk: { serial: ... }",
      );
      return [];
    }
    const found = this.#disks(choice, plural ? 2 : 1, this.#ofOs("wipe")?.value === true, installer, false);
    if (plural && Array.isArray(choice.value) && choice.value.length !== 2)
      this.#report("bad-storage", choice, `a mirror has two disks, and here are ${choice.value.length}`);
    return found;
  }

  /**
   * Resolves matches to disks.
   * @param count how many a single match must give; null for all that fit
   * @param keeps whether what is on the disk stays
   */
  #disks(
    choice: Given<DiskMatch | readonly DiskMatch[]>,
    count: number | null,
    wipe: boolean,
    installer: string,
    keeps: boolean,
  ): readonly InstallDisk[] {
    const { value } = choice;
    if (Array.isArray(value))
      return (value as readonly DiskMatch[]).flatMap((match, index) =>
        this.#disks({ ...choice, value: match, path: [...choice.path, index] }, 1, wipe, installer, keeps),
      );
    const match = value as DiskMatch;
    const from = positionOf(choice.loaded, choice.path);
    const facts = this.#facts();
    if (facts === undefined) return this.#withoutFacts(match, count, choice, wipe, keeps);
    const all = facts.doc.disks;
    const chosen = chooseDisks(all, match, count);
    const list = (disks: readonly DiskDoc[]): string => disks.map((disk) => describeDisk(disk)).join("; ");
    switch (chosen.kind) {
      case "none":
        this.#report(
          "no-disk",
          choice,
          `${count === null || count === 1 ? "no disk" : `not ${count} disks`} of "${this.#node.name}" ${count === null || count === 1 ? "fits" : "fit"}`,
          `it has: ${list(all)}`,
          facts,
        );
        return [];
      case "several":
        this.#report(
          "no-disk",
          choice,
          `${chosen.disks.length} disks of "${this.#node.name}" fit, and ${count === 1 ? "one is" : `${count} are`} wanted`,
          `say more of it, by serial for instance: ${list(chosen.disks)}`,
          facts,
        );
        return [];
      case "medium":
        this.#report(
          "no-disk",
          choice,
          `${chosen.disk.path} of "${this.#node.name}" is the medium that it was installed from, or a seed`,
          `leave it out with not: { ${chosen.disk.serial === undefined ? `path: ${chosen.disk.path}` : `serial: ${JSON.stringify(chosen.disk.serial)}`} }, or record the facts without it`,
          facts,
        );
        return [];
      case "unknown":
        this.#report(
          "no-disk",
          choice,
          `the facts of "${this.#node.name}" do not tell of ${chosen.disk.path} ${chosen.what}`,
          "record them by lsblk or from the installer, or choose by serial",
          facts,
        );
        return [];
      case "chosen":
        return chosen.disks.map((disk) => {
          const { match: asked, sure } = askFor(disk, all, isAtLeast(installer, sinceZfs));
          if (!sure && !wipe && !keeps)
            this.#report(
              "unsure-disk",
              choice,
              `the installer can be told ${describeDisk(disk)}, only by where it is plugged in: another disk there would be wiped`,
              "say wipe: true beside it if that is meant",
              facts,
            );
          return { match: asked, disk, from };
        });
    }
  }

  #withoutFacts(
    match: DiskMatch,
    count: number | null,
    choice: Given<unknown>,
    wipe: boolean,
    keeps: boolean,
  ): readonly InstallDisk[] {
    if (keeps) return [];
    const record = `record what disks it has: seedsmith hardware import ${this.#node.name} FILE`;
    if (count !== 1) {
      this.#report(
        "unsure-disk",
        choice,
        `which disks of "${this.#node.name}" these are cannot be told without its facts`,
        `${record}; or list them one by one`,
      );
      return [];
    }
    const found = askWithoutFacts(match);
    if ("cannot" in found) {
      this.#report(
        "unsure-disk",
        choice,
        `the installer cannot choose a disk by ${{ wwn: '"wwn"', not: '"not"', size: "a range of sizes" }[found.cannot]}, and the facts of "${this.#node.name}" are not known`,
        record,
      );
      return [];
    }
    if (!found.asked.sure && !wipe) {
      this.#report(
        "unsure-disk",
        choice,
        `this may fit a disk of "${this.#node.name}" that nobody means, and the installer would wipe it`,
        `${record}; or choose by serial; or say wipe: true beside it if any such disk may go`,
      );
      return [];
    }
    return [{ match: found.asked.match, disk: null, from: positionOf(choice.loaded, choice.path) }];
  }

  #dataRoles(installer: string, os: readonly InstallDisk[]): readonly InstallData[] {
    const given = this.#ofStorage("data");
    if (given === undefined) return [];
    const roles: InstallData[] = [];
    const claimed = new Map<string, Position>();
    for (const { disk, from } of os) {
      if (disk === null) continue;
      this.#claim(disk, from, claimed);
    }
    const names = new Map<string, Position>([["ubuntu-vg", positionOf(given.loaded, given.path, "key")]]);
    for (const [index, doc] of (given.value as readonly DataDoc[]).entries()) {
      const path: Path = [...given.path, index];
      const at = (key: string, part: "key" | "value" = "value"): Position =>
        positionOf(given.loaded, [...path, key], part);
      const key = doc.as === "lvm" ? "group" : doc.as === "untouched" ? null : "mount";
      for (const one of ["group", "mount"] as const) {
        if (one === key && doc[one] === undefined)
          this.#add(
            "missing-key",
            positionOf(given.loaded, path),
            `data as ${doc.as} lacks the key "${one}"`,
            one === "group"
              ? "the volume group's name, such as group: cinder-volumes"
              : "where it is mounted",
          );
        else if (one !== key && doc[one] !== undefined)
          this.#add("bad-storage", at(one, "key"), `data as ${doc.as} has no ${one}`, "remove it");
      }
      const name = key === null ? undefined : doc[key];
      const other = name === undefined ? undefined : names.get(name);
      if (name !== undefined && other !== undefined)
        this.#add(
          "clash",
          at(key as string),
          name === "ubuntu-vg" ? "the volume group ubuntu-vg is the system's" : `"${name}" is made twice`,
          "choose another name",
          ...(name === "ubuntu-vg" ? [] : [{ at: other, label: "the first" }]),
        );
      if (name !== undefined) names.set(name, at(key as string));
      if (doc.mount !== undefined && !/^(\/[A-Za-z0-9_.-]+)+$/.test(doc.mount))
        this.#add(
          "bad-path",
          at("mount"),
          `"${doc.mount}" is no path to mount at`,
          "write it like /srv/node",
        );
      if ((doc.disk === undefined) === (doc.disks === undefined)) {
        this.#add(
          doc.disk === undefined ? "missing-key" : "clash",
          positionOf(given.loaded, path),
          doc.disk === undefined
            ? `data as ${doc.as} lacks the key "disk"`
            : '"disk" and "disks" exclude each other',
          "disk: is one disk, disks: a list, or all that fit",
        );
        continue;
      }
      const plural = doc.disk === undefined;
      const choice: Given<DiskMatch | readonly DiskMatch[]> = {
        value: (doc.disk ?? doc.disks) as DiskMatch | readonly DiskMatch[],
        loaded: given.loaded,
        path: [...path, plural ? "disks" : "disk"],
      };
      const keeps = doc.as === "untouched";
      const disks = this.#disks(choice, plural ? null : 1, doc.wipe === true, installer, keeps);
      for (const { disk, from } of disks) {
        if (disk === null) continue;
        this.#claim(disk, from, claimed);
        const holds = disk.holds ?? [];
        if (!keeps && doc.wipe !== true && holds.length > 0)
          this.#report(
            "unsure-disk",
            choice,
            `${describeDisk(disk)}, was not empty when its facts were recorded: ${holds.join(", ")}`,
            "say wipe: true beside it if that may go, or as: untouched to keep it",
            this.#facts(),
          );
      }
      roles.push({
        as: doc.as,
        group: doc.group ?? null,
        mount: doc.mount ?? null,
        many: plural,
        disks,
        from: positionOf(given.loaded, path),
      });
    }
    return roles;
  }

  #claim(disk: DiskDoc, from: Position, claimed: Map<string, Position>): void {
    const other = claimed.get(disk.path);
    if (other !== undefined)
      this.#add(
        "clash",
        from,
        `${describeDisk(disk)}, is chosen twice`,
        "each disk has one use; not: leaves a disk out of a match",
        { at: other, label: "the other use" },
      );
    claimed.set(disk.path, other ?? from);
  }

  // Problems

  #report(
    code: ProblemCode,
    { loaded, path }: Given<unknown>,
    message: string,
    hint?: string,
    facts?: Doc<HardwareDoc>,
  ): void {
    this.#add(
      code,
      positionOf(loaded, path),
      message,
      hint,
      ...(facts === undefined
        ? []
        : [{ at: positionOf(facts.loaded, ["disks"], "key"), label: "the facts" }]),
    );
  }

  #add(
    code: ProblemCode,
    at: Position,
    message: string,
    hint?: string,
    ...also: readonly { readonly at: Position; readonly label: string }[]
  ): void {
    this.#problems.add({
      code,
      at,
      message,
      ...(hint === undefined ? {} : { hint }),
      ...(also.length === 0 ? {} : { also }),
    });
  }
}

/** The secret that a node's disks are encrypted with. */
export function luksSecret(node: string): string {
  return `luks.${node}`;
}

function isMap(value: unknown): value is { readonly [key: string]: Data } {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** One line of the disks an installation takes, for `check` and `show`. */
export function describeChoice({ match, disk }: InstallDisk): string {
  if (disk !== null) return describeDisk(disk);
  return `what the installer finds by ${describeMatch(match)}`;
}

function describeMatch(match: InstallerMatch): string {
  const words = Object.entries(match).map(([key, value]) => `${key} ${String(value)}`);
  return words.length === 0 ? "nothing: any disk" : words.join(" and ");
}

/**
 * What a lab has made on the host, written down before it is made, so that all of it can be undone even when
 * the process that made it was killed.
 *
 * The ledger is a file of JSON lines that are only ever appended to: several processes write to it (the command
 * that makes a lab, and those that keep its machines), and a kill tears at most the last line.
 */
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { removeGroup } from "./cgroup.ts";
import { LabError, must, patience, poll, run } from "./command.ts";
import { alive, bootId, type ProcessName, processName, signal } from "./host.ts";
import { mountsBelow, removeTree } from "./tree.ts";

/** One thing on the host. */
export type Made =
  /** Ends first, by a kill, for it would start others again. */
  | { readonly kind: "keeper"; readonly process: ProcessName }
  /**
   * `grace`: seconds in which it ends by itself once its network namespace is empty; then it is killed. `group`: it
   * leads a process group, and all of that is killed with it.
   */
  | {
      readonly kind: "process";
      readonly process: ProcessName;
      readonly grace?: number;
      readonly group?: boolean;
    }
  | { readonly kind: "mount"; readonly path: string }
  | { readonly kind: "namespace"; readonly name: string }
  /** A control group in one hierarchy, with all below it. */
  | { readonly kind: "cgroup"; readonly path: string }
  | { readonly kind: "link"; readonly name: string }
  /** A table of nftables, of the family `ip` unless told. */
  | { readonly kind: "table"; readonly name: string; readonly family?: string }
  /** A folder with all in it, or a file. */
  | { readonly kind: "folder"; readonly path: string };

type Entry =
  | {
      readonly format: 2;
      readonly id: string;
      readonly boot: string;
      readonly owner: ProcessName | null;
    }
  | { readonly note: Made }
  | { readonly strike: Made }
  | { readonly owner: ProcessName | null }
  /** It is being undone: whoever reads this makes nothing more. */
  | { readonly closing: true };

/** What a ledger says. */
interface Contents {
  readonly id: string;
  readonly boot: string;
  readonly owner: ProcessName | null;
  readonly made: readonly Made[];
  readonly closing: boolean;
}

/** Begins the name of every lab's link on the host. */
export const hostLinkPrefix = "ss-";

/** The ledger's file in a lab's folder. */
export const ledgerFile = "ledger.jsonl";
const forwarding = "/proc/sys/net/ipv4/ip_forward";

/** Reads a ledger. @returns null when the folder has none */
function readLedger(folder: string): Contents | null {
  let text: string;
  try {
    text = readFileSync(join(folder, ledgerFile), "utf8");
  } catch {
    return null;
  }
  let id = "";
  let boot = "";
  let owner: ProcessName | null = null;
  let closing = false;
  const made = new Map<string, Made>();
  for (const line of text.split("\n")) {
    let entry: Entry;
    try {
      entry = JSON.parse(line) as Entry;
    } catch {
      continue;
    }
    if ("format" in entry) ({ id, boot, owner } = entry);
    else if ("note" in entry) made.set(JSON.stringify(entry.note), entry.note);
    else if ("strike" in entry) made.delete(JSON.stringify(entry.strike));
    else if ("owner" in entry) owner = entry.owner;
    else closing = true;
  }
  return { id, boot, owner, made: [...made.values()], closing };
}

/** The list of what one lab has made. */
export class Ledger {
  readonly id: string;
  readonly folder: string;

  private constructor(id: string, folder: string) {
    this.id = id;
    this.folder = folder;
  }

  /**
   * Begins the ledger of a new lab; its folder is made.
   * @throws LabError when there is one
   */
  static begin(id: string, folder: string): Ledger {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const first: Entry = { format: 2, id, boot: bootId(), owner: processName(process.pid) };
    try {
      writeFileSync(join(folder, ledgerFile), `${JSON.stringify(first)}\n`, { flag: "wx", mode: 0o600 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      throw new LabError(`a lab stands in ${folder} already`, "take it down first: seedsmith lab down");
    }
    return new Ledger(id, folder);
  }

  /** The ledger of a lab that exists. @throws LabError when it does not, or is being taken down */
  static open(folder: string): Ledger {
    const found = readLedger(folder);
    if (found === null || found.closing)
      throw new LabError(
        found === null ? `no lab stands in ${folder}` : `the lab in ${folder} is half taken down`,
        found === null ? "seedsmith lab up makes one" : "seedsmith lab down goes on with it",
      );
    return new Ledger(found.id, folder);
  }

  /** What is made and not struck out. */
  get made(): readonly Made[] {
    return readLedger(this.folder)?.made ?? [];
  }

  /** Whether the lab is being taken down: then nothing more may be made. */
  get closing(): boolean {
    return readLedger(this.folder)?.closing ?? true;
  }

  /** Notes something that is about to be made. @throws LabError when the lab is gone */
  note(made: Made): void {
    this.#append({ note: made });
  }

  /** Strikes out something that is gone. */
  strike(made: Made): void {
    this.#append({ strike: made });
  }

  /** Leaves the lab standing when its process ends. */
  disown(): void {
    this.#append({ owner: null });
  }

  #append(entry: Entry): void {
    append(this.folder, entry);
  }
}

/** Appends in one write, and never makes the file anew: a lab that was taken down stays so. */
function append(folder: string, entry: Entry): void {
  let file: number;
  try {
    file = openSync(join(folder, ledgerFile), constants.O_WRONLY | constants.O_APPEND);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new LabError(`the lab in ${folder} was taken down meanwhile`);
  }
  try {
    // Begins with a line break, so that a line that was torn before stands alone.
    writeSync(file, `\n${JSON.stringify(entry)}\n`);
  } finally {
    closeSync(file);
  }
}

/** The setting before the first lab of this host, whatever cache it belongs to. */
const forwardingBefore = "/run/seedsmith-ip_forward";

/** Lets the host forward packets, remembering what it was for the last lab to put back. */
export function allowForwarding(): void {
  try {
    writeFileSync(forwardingBefore, readFileSync(forwarding), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  // Writing it resets the setting of every single interface, so only when it changes something.
  if (readFileSync(forwarding, "utf8").trim() !== "1") writeFileSync(forwarding, "1");
}

function putForwardingBack(): void {
  const others = readdirSync("/sys/class/net").some((name) => name.startsWith(hostLinkPrefix));
  if (others || !existsSync(forwardingBefore)) return;
  const before = readFileSync(forwardingBefore, "utf8").trim();
  if (readFileSync(forwarding, "utf8").trim() !== before) writeFileSync(forwarding, before);
  rmSync(forwardingBefore);
}

/** Where `ip netns` keeps namespaces by name. It makes the folder, and a mount of it, for the first of them. */
const namespaces = "/run/netns";

/** What tools of labs make for the first of their things and never remove, the innermost first. */
const toolFolders = [
  namespaces,
  "/run/systemd/nspawn/locks",
  "/run/systemd/nspawn/propagate",
  "/run/systemd/nspawn",
  "/run/systemd",
];

/** Which of them were not there before the first lab of this host: JSON, as `Before` says. */
const foldersBefore = "/run/seedsmith-folders";

interface Before {
  readonly missing: readonly string[];
  /** Whether `namespaces` was a mount. */
  readonly mounted: boolean;
}

/** Remembers how that was, for the last lab to put back. */
export function rememberFolders(): void {
  const before: Before = {
    missing: toolFolders.filter((path) => !existsSync(path)),
    mounted: mountsBelow(namespaces).includes(namespaces),
  };
  if (before.missing.length === 0 && before.mounted) return;
  try {
    writeFileSync(foldersBefore, JSON.stringify(before), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** Removes of them what is empty, as it is once the last lab has gone; whatever is in use resists, and stays. */
async function putFoldersBack(): Promise<void> {
  let before: Before;
  try {
    before = JSON.parse(readFileSync(foldersBefore, "utf8")) as Before;
  } catch {
    return;
  }
  const empty = (path: string): boolean => existsSync(path) && readdirSync(path).length === 0;
  if (!before.mounted && empty(namespaces) && mountsBelow(namespaces).length > 0)
    await run(["umount", namespaces]);
  for (const path of before.missing) {
    try {
      if (empty(path)) rmdirSync(path);
    } catch {
      // Somebody has just put something there.
    }
  }
  if (!before.missing.some(existsSync)) rmSync(foldersBefore, { force: true });
}

/** Kills every process that lives in a network namespace: a machine's init takes all others with it. */
async function emptyNamespace(name: string): Promise<void> {
  const gone = await poll(patience, async () => {
    const found = await run(["ip", "netns", "pids", name]);
    const pids = found.stdout.split("\n").filter(Boolean).map(Number);
    for (const pid of pids) {
      const known = processName(pid);
      if (known !== null) signal(known, "SIGKILL");
    }
    return pids.length === 0 ? true : null;
  });
  if (gone === null) throw new LabError(`processes in the network namespace ${name} do not end`);
}

/**
 * Ends a process.
 * @param grace seconds until it is killed
 * @param group whether its process group is killed with it
 */
async function end(process: ProcessName, grace: number, group = false): Promise<void> {
  const gone = () => (alive(process) ? null : true);
  if (grace === 0 || (await poll(grace, gone)) === null) signal(process, "SIGKILL", group);
  if ((await poll(patience, gone)) === null) throw new LabError(`process ${process.pid} does not end`);
}

const undo: { readonly [K in Made["kind"]]: (made: Extract<Made, { kind: K }>) => Promise<void> } = {
  keeper: async ({ process }) => {
    await end(process, 0);
  },
  process: async ({ process, grace = 0, group }) => {
    await end(process, grace, group);
  },
  mount: async ({ path }) => {
    for (const point of mountsBelow(path)) {
      // A process that has just died may hold it a moment longer.
      const free = await poll(
        patience,
        async () => ((await run(["umount", point])).status === 0 ? true : null),
        0.2,
      );
      if (free === null) await must(["umount", point]);
    }
  },
  namespace: async ({ name }) => {
    if (!existsSync(`/run/netns/${name}`)) return;
    await emptyNamespace(name);
    await must(["ip", "netns", "delete", name]);
  },
  cgroup: async ({ path }) => {
    await removeGroup(path);
  },
  link: async ({ name }) => {
    if (!existsSync(`/sys/class/net/${name}`)) return;
    // It may be going already, with the namespace of its other end.
    const deleted = await run(["ip", "link", "delete", name]);
    if ((await poll(patience, () => (existsSync(`/sys/class/net/${name}`) ? null : true))) === null)
      throw new LabError(`the link ${name} cannot be deleted: ${deleted.stderr.trim()}`);
  },
  table: async ({ name, family = "ip" }) => {
    if ((await run(["nft", "list", "table", family, name])).status === 0)
      await must(["nft", "delete", "table", family, name]);
  },
  folder: async ({ path }) => {
    await removeTree(path);
  },
};

/** Processes end first, then what they used; a namespace takes its links with it. */
const orderOfUndoing: readonly Made["kind"][] = [
  "keeper",
  "process",
  "mount",
  "namespace",
  "cgroup",
  "link",
  "table",
  "folder",
];

/** Undoes one thing, in whatever state it is. */
export async function undoMade(made: Made): Promise<void> {
  await (undo[made.kind] as (made: Made) => Promise<void>)(made);
}

/**
 * Undoes all that the ledger in a folder lists. Works from that file alone, so it may be called from any process;
 * a second call does nothing. The folder itself is left to the caller, ledger included.
 * @throws LabError when something resists: the next call goes on from there
 */
export async function undoLedger(folder: string): Promise<void> {
  if (!existsSync(join(folder, ledgerFile))) return;
  append(folder, { closing: true });
  const found = readLedger(folder);
  if (found === null) return;
  // After a boot of the host its numbers of processes mean others.
  const sameBoot = found.boot === bootId();
  const made = found.made.filter(({ kind }) => sameBoot || (kind !== "keeper" && kind !== "process"));
  for (const one of made) if (one.kind === "keeper") await undoMade(one);
  for (const one of made)
    if (one.kind === "namespace" && existsSync(`/run/netns/${one.name}`)) await emptyNamespace(one.name);
  for (const kind of orderOfUndoing)
    for (const one of made.toReversed()) if (one.kind === kind) await undoMade(one);
  if (process.platform !== "linux") return;
  putForwardingBack();
  await putFoldersBack();
}

/**
 * Undoes all that a lab has made and deletes its folder, its ledger last: until then it can be found and taken
 * down again.
 * @param keep files of the folder that stay, by their names
 * @throws LabError when something resists
 */
export async function destroyFolder(folder: string, keep?: RegExp): Promise<void> {
  if (!existsSync(folder)) return;
  await undoLedger(folder);
  const names = readdirSync(folder).filter((name) => keep?.test(name) !== true);
  for (const name of names) if (name !== ledgerFile) await removeTree(join(folder, name));
  await removeTree(join(folder, ledgerFile));
  if (readdirSync(folder).length === 0) await removeTree(folder);
}

/** What outlives a lab: what a person has been told to look at, and the records of which timelines are made. */
export const keptFiles: RegExp = /^(?:failed-.*\.tar\.gz|records)$/;

function labsFolder(cache: string): string {
  return join(cache, "labs");
}

/** Where a lab that belongs to no site's output keeps its ledger, logs and machines. */
export function labFolder(cache: string, id: string): string {
  return join(labsFolder(cache), id);
}

/** The ids of such labs that stand. */
export function labs(cache: string): string[] {
  const folder = labsFolder(cache);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => existsSync(join(folder, name, ledgerFile)));
}

/** Takes such a lab down. */
export async function destroyLab(cache: string, id: string): Promise<void> {
  await destroyFolder(labFolder(cache, id));
}

/** The ids of the labs that this process has made and not destroyed: those to take down when it is broken off. */
export function ownLabs(cache: string): string[] {
  return labs(cache).filter((id) => {
    const owner = readLedger(labFolder(cache, id))?.owner;
    return owner?.pid === process.pid && alive(owner);
  });
}

/**
 * Destroys the labs whose process is gone without having destroyed them.
 * @returns their ids
 */
export async function sweepLabs(cache: string): Promise<string[]> {
  const swept: string[] = [];
  for (const id of labs(cache)) {
    const found = readLedger(labFolder(cache, id));
    if (found === null || (found.boot === bootId() && (found.owner === null || alive(found.owner)))) continue;
    await destroyLab(cache, id);
    swept.push(id);
  }
  // The forwarding of a lab that was killed between its last two steps.
  putForwardingBack();
  return swept;
}

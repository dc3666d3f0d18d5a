/**
 * What a lab has made on the host, written down before it is made, so that all of it can be undone even when
 * the process that made it was killed.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LabError, must, poll, run } from "./command.ts";
import { alive, type ProcessName, processName, signal } from "./host.ts";
import { mountsBelow, removeTree } from "./tree.ts";

/** One thing on the host. */
export type Made =
  | { readonly kind: "process"; readonly process: ProcessName }
  | { readonly kind: "mount"; readonly path: string }
  | { readonly kind: "namespace"; readonly name: string }
  | { readonly kind: "link"; readonly name: string }
  | { readonly kind: "table"; readonly name: string }
  | { readonly kind: "folder"; readonly path: string };

interface State {
  readonly format: 1;
  readonly id: string;
  /** Whose lab it is; null when it was left standing on purpose. */
  readonly owner: ProcessName | null;
  readonly made: readonly Made[];
}

/** Begins the name of every lab's link on the host. */
export const hostLinkPrefix = "ss-";

const stateFile = "state.json";
const forwarding = "/proc/sys/net/ipv4/ip_forward";

/** The list of what one lab has made. */
export class Ledger {
  readonly id: string;
  readonly folder: string;
  #owner: ProcessName | null;
  #made: readonly Made[] = [];

  /** Begins the ledger of a new lab; its folder is made. */
  constructor(id: string, folder: string) {
    this.id = id;
    this.folder = folder;
    this.#owner = processName(process.pid);
    if (existsSync(folder)) throw new LabError(`the lab ${id} exists already`, `destroy it first: ${folder}`);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#save();
  }

  /** Notes something that is about to be made. */
  note(made: Made): void {
    if (this.#made.some((other) => JSON.stringify(other) === JSON.stringify(made))) return;
    this.#made = [...this.#made, made];
    this.#save();
  }

  /** Strikes out something that is gone. */
  strike(made: Made): void {
    this.#made = this.#made.filter((other) => JSON.stringify(other) !== JSON.stringify(made));
    this.#save();
  }

  /** Leaves the lab standing when its process ends. */
  disown(): void {
    this.#owner = null;
    this.#save();
  }

  #save(): void {
    const state: State = { format: 1, id: this.id, owner: this.#owner, made: this.#made };
    const path = join(this.folder, stateFile);
    writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 1)}\n`);
    renameSync(`${path}.new`, path);
  }
}

function labsFolder(cache: string): string {
  return join(cache, "labs");
}

/** Where a lab keeps its state, logs and machines. */
export function labFolder(cache: string, id: string): string {
  return join(labsFolder(cache), id);
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

function readState(cache: string, id: string): State | null {
  try {
    return JSON.parse(readFileSync(join(labFolder(cache, id), stateFile), "utf8")) as State;
  } catch {
    return null;
  }
}

/** The ids of the labs that stand. */
export function labs(cache: string): string[] {
  const folder = labsFolder(cache);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => existsSync(join(folder, name, stateFile)));
}

/** Kills every process that lives in a network namespace: a machine's init takes all others with it. */
async function emptyNamespace(name: string): Promise<void> {
  const gone = await poll(15, async () => {
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

const undo: { readonly [K in Made["kind"]]: (made: Extract<Made, { kind: K }>) => Promise<void> } = {
  process: async ({ process }) => {
    // The namespaces were emptied before: nspawn ends by itself once its machine is dead.
    if ((await poll(5, () => (alive(process) ? null : true))) === null) signal(process, "SIGKILL");
    if ((await poll(5, () => (alive(process) ? null : true))) === null)
      throw new LabError(`process ${process.pid} does not end`);
  },
  mount: async ({ path }) => {
    for (const point of mountsBelow(path)) {
      // A process that has just died may hold it a moment longer.
      const free = await poll(
        5,
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
  link: async ({ name }) => {
    // It goes with the namespace of its other end, but not at once.
    const gone = await poll(2, () => (existsSync(`/sys/class/net/${name}`) ? null : true));
    if (gone === null) await run(["ip", "link", "delete", name]);
  },
  table: async ({ name }) => {
    if ((await run(["nft", "list", "table", "ip", name])).status === 0)
      await must(["nft", "delete", "table", "ip", name]);
  },
  folder: async ({ path }) => {
    await removeTree(path);
  },
};

/** Processes end first, then what they used; a namespace takes its links with it. */
const orderOfUndoing: readonly Made["kind"][] = ["process", "mount", "namespace", "link", "table", "folder"];

/** Undoes one thing, in whatever state it is. */
export async function undoMade(made: Made): Promise<void> {
  await (undo[made.kind] as (made: Made) => Promise<void>)(made);
}

/**
 * Undoes all that a lab has made and forgets the lab. Works from its state file alone, so it may be called
 * from any process; a second call does nothing.
 * @throws LabError when something resists: then the state file stays, and the next call goes on from there
 */
export async function destroyLab(cache: string, id: string): Promise<void> {
  const folder = labFolder(cache, id);
  const state = readState(cache, id);
  if (state === null) return;
  for (const made of state.made)
    if (made.kind === "namespace" && existsSync(`/run/netns/${made.name}`)) await emptyNamespace(made.name);
  for (const kind of orderOfUndoing) {
    for (const made of state.made.toReversed()) if (made.kind === kind) await undoMade(made);
  }
  // Its state file last: until then the lab can be found and destroyed again.
  for (const name of readdirSync(folder)) if (name !== stateFile) await removeTree(join(folder, name));
  await removeTree(folder);
  putForwardingBack();
}

/** The ids of the labs that this process has made and not destroyed: those to take down when it is broken off. */
export function ownLabs(cache: string): string[] {
  return labs(cache).filter((id) => {
    const owner = readState(cache, id)?.owner;
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
    const state = readState(cache, id);
    if (state === null || state.owner === null || alive(state.owner)) continue;
    await destroyLab(cache, id);
    swept.push(id);
  }
  // The forwarding of a lab that was killed between its last two steps.
  putForwardingBack();
  return swept;
}

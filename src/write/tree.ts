/**
 * Puts rendered files onto the disk. New contents are staged first; a journal then says which renames make them
 * the tree. A kill before the journal leaves the old tree, a kill after it the new one: whoever opens the tree
 * next finishes or discards what was begun.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";

export interface ManifestEntry {
  readonly sha256: string;
  readonly size: number;
}

export interface Manifest {
  readonly format: 1;
  readonly site: string;
  readonly files: { readonly [file: string]: ManifestEntry };
}

export type Change = "created" | "changed" | "same" | "removed";

const stageName = ".staging";
const journalName = ".journal.json";

interface Journal {
  /** Pairs of staged name and file. */
  readonly put: readonly (readonly [string, string])[];
  readonly remove: readonly string[];
}

/** Why a tree could not be written; carries the path and the system's reason. */
export class TreeError extends Error {
  readonly path: string;
  readonly reason: string;
  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`);
    this.path = path;
    this.reason = reason;
  }
}

function guarded<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new TreeError(path, code);
  }
}

/** Finishes or discards what a killed run began. Safe to call at any time. */
export function recover(root: string): void {
  const journalPath = join(root, journalName);
  if (existsSync(journalPath)) {
    let journal: Journal | null = null;
    try {
      journal = JSON.parse(readFileSync(journalPath, "utf8")) as Journal;
    } catch {
      journal = null;
    }
    if (journal !== null) apply(root, journal);
    rmSync(journalPath, { force: true });
  }
  rmSync(join(root, stageName), { recursive: true, force: true });
}

function apply(root: string, journal: Journal): void {
  const made = new Set<string>();
  for (const [staged, file] of journal.put) {
    const from = join(root, stageName, staged);
    const folder = dirname(join(root, file));
    if (!made.has(folder)) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      made.add(folder);
    }
    try {
      renameSync(from, join(root, file));
    } catch (error) {
      // Renamed before the kill.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  const folders = new Set<string>();
  for (const file of journal.remove) {
    rmSync(join(root, file), { force: true });
    folders.add(dirname(join(root, file)));
  }
  for (const folder of [...folders].sort((a, b) => b.length - a.length)) {
    try {
      if (readdirSync(folder).length === 0) rmdirSync(folder);
    } catch {
      // Gone already, or holds files of somebody else: both are fine.
    }
  }
}

/** Reads the manifest of an output folder; null when there is none or it is not ours. */
export function readManifest(root: string): Manifest | null {
  try {
    const manifest = JSON.parse(readFileSync(join(root, "manifest.json"), "utf8")) as Manifest;
    return manifest.format === 1 && typeof manifest.files === "object" ? manifest : null;
  } catch {
    return null;
  }
}

export function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Stages files one by one; commit() makes them the tree. */
export class TreeWriter {
  readonly #root: string;
  readonly #prefix: string;
  readonly #put: [string, string][] = [];
  readonly changes = new Map<string, Change>();
  readonly entries = new Map<string, ManifestEntry>();
  readonly #old: Manifest | null;
  #staging = false;

  /** @param prefix sets the staged names of several writers on one tree apart */
  constructor(root: string, old: Manifest | null, prefix = "a") {
    this.#root = root;
    this.#old = old;
    this.#prefix = prefix;
  }

  /**
   * Stages a file unless the disk has it already.
   * @throws TreeError when the folder cannot be written, or a file that is not ours stands in the way
   */
  put(file: string, bytes: Uint8Array): Change {
    const path = join(this.#root, file);
    const entry = { sha256: digest(bytes), size: bytes.length };
    this.entries.set(file, entry);
    let change: Change = "created";
    let present: Uint8Array | null = null;
    try {
      present = readFileSync(path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "ENOENT") throw new TreeError(path, code ?? "error");
    }
    if (present !== null) {
      if (present.length === bytes.length && Buffer.compare(present, bytes) === 0) change = "same";
      else if (this.#old === null || !Object.hasOwn(this.#old.files, file)) {
        if (file !== "manifest.json" && file !== "origins.json") throw new TreeError(path, "FOREIGN");
        change = "changed";
      } else change = "changed";
    }
    this.changes.set(file, change);
    if (change !== "same") {
      guarded(path, () => {
        if (!this.#staging) mkdirSync(join(this.#root, stageName), { recursive: true, mode: 0o700 });
        this.#staging = true;
        const staged = `${this.#prefix}${this.#put.length}`;
        writeFileSync(join(this.#root, stageName, staged), bytes, { mode: 0o600 });
        this.#put.push([staged, file]);
      });
    }
    return change;
  }

  /** The renames that are due; for writers of other threads. */
  get pending(): readonly (readonly [string, string])[] {
    return this.#put;
  }

  /** Makes the staged files the tree, removes `remove`. */
  commit(remove: readonly string[], others: readonly (readonly [string, string])[] = []): void {
    guarded(this.#root, () => {
      for (const file of remove) this.changes.set(file, "removed");
      const put = [...others, ...this.#put];
      if (put.length > 0 || remove.length > 0) {
        const journal: Journal = { put, remove };
        const temporary = join(this.#root, stageName, "journal");
        mkdirSync(dirname(temporary), { recursive: true, mode: 0o700 });
        const handle = openSync(temporary, "w", 0o600);
        writeSync(handle, JSON.stringify(journal));
        fsyncSync(handle);
        closeSync(handle);
        renameSync(temporary, join(this.#root, journalName));
        apply(this.#root, journal);
        rmSync(join(this.#root, journalName), { force: true });
      }
      rmSync(join(this.#root, stageName), { recursive: true, force: true });
    });
  }

  /** Forgets what was staged. */
  discard(): void {
    rmSync(join(this.#root, stageName), { recursive: true, force: true });
  }
}

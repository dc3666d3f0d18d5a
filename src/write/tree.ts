/**
 * Puts rendered files onto the disk. New contents are staged first; a journal then says which renames make them
 * the tree. A kill before the journal leaves the old tree, a kill after it the new one: whoever opens the tree
 * next finishes or discards what was begun.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { hostname } from "node:os";
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
const lockName = ".lock";

interface Journal {
  /** Pairs of staged name and file; or folder, where the whole of it is new. */
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

/** Runs what touches the disk; the system's errors come out as TreeError. */
export function guarded<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof TreeError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new TreeError(path, code);
  }
}

/** A tree that this process, and no other, may write. */
export interface OpenTree {
  readonly root: string;
  /** Gives the tree back; folders that were made for it and hold nothing go again. */
  readonly close: () => void;
}

/**
 * Opens a tree for writing: makes its folder, locks it, and finishes or discards what a killed run began.
 * @throws TreeError when the folder cannot be written (reason: the system's code), or is being written (LOCKED)
 */
export function openTree(root: string): OpenTree {
  const made = guarded(root, () => mkdirSync(root, { recursive: true, mode: 0o700 }));
  const close = (): void => {
    // After a failure nothing staged stays; where there is a journal, the next run needs it.
    if (!existsSync(join(root, journalName))) rmSync(join(root, stageName), { recursive: true, force: true });
    rmSync(join(root, lockName), { force: true });
    if (made === undefined) return;
    for (let folder = root; folder.length >= made.length; folder = dirname(folder)) {
      try {
        rmdirSync(folder);
      } catch {
        return;
      }
    }
  };
  try {
    guarded(root, () => lock(root));
    try {
      guarded(root, () => recover(root));
    } catch (error) {
      rmSync(join(root, lockName), { force: true });
      throw error;
    }
  } catch (error) {
    if (made !== undefined) rmSync(made, { recursive: true, force: true });
    throw error;
  }
  return { root, close };
}

/** A killed run leaves its lock behind: it counts only while its process lives. */
function lock(root: string): void {
  const path = join(root, lockName);
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(path, `${process.pid} ${hostname()}\n`, { flag: "wx", mode: 0o600 });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    if (attempt > 0 || isHeld(path)) throw new TreeError(root, "LOCKED");
    rmSync(path, { force: true });
  }
}

function isHeld(path: string): boolean {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch {
    return false;
  }
  const [pid = "", host] = content.trim().split(" ");
  // Killed between making and filling it.
  if (content === "") return Date.now() - statSync(path).mtimeMs < 5_000;
  if (host !== hostname()) return true;
  if (Number(pid) === process.pid) return false;
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Finishes or discards what a killed run began. */
function recover(root: string): void {
  const journalPath = join(root, journalName);
  let text: string | null = null;
  try {
    text = readFileSync(journalPath, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  if (text !== null) {
    const journal = readJournal(text);
    if (journal !== null) apply(root, journal, true);
    rmSync(journalPath, { force: true });
  }
  rmSync(join(root, stageName), { recursive: true, force: true });
}

/** A journal is renamed into place whole; one that is not ours is not followed. */
function readJournal(text: string): Journal | null {
  try {
    const { put, remove } = JSON.parse(text) as Journal;
    const plain =
      put.every(([staged, file]) => /^[a-z]\d+$/.test(staged) && isPlainName(file)) &&
      remove.every(isPlainName);
    return plain ? { put, remove } : null;
  } catch {
    return null;
  }
}

/** Whether a name of a manifest or journal stays inside the folder: somebody may have edited it. */
export function isPlainName(file: string): boolean {
  return (
    typeof file === "string" &&
    !/^[/\\]|^[A-Za-z]:/.test(file) &&
    !file.split(/[/\\]/).some((step) => step === ".." || step === "." || step === "")
  );
}

/** What stands at a path itself, links not followed. */
function kindOf(path: string): "none" | "file" | "folder" | "link" {
  let stat: Stats | undefined;
  try {
    stat = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new TreeError(path, (error as NodeJS.ErrnoException).code ?? "error");
  }
  if (stat === undefined) return "none";
  return stat.isSymbolicLink() ? "link" : stat.isDirectory() ? "folder" : "file";
}

/** Whether the folders of a file below the root are folders, and not links that lead elsewhere. */
function isInside(root: string, file: string): boolean {
  const steps = file.split("/").slice(0, -1);
  return steps.every((_, index) => kindOf(join(root, ...steps.slice(0, index + 1))) !== "link");
}

/**
 * Makes the staged files the tree.
 * @param again whether a killed run may have done a part of it
 */
function apply(root: string, journal: Journal, again: boolean): void {
  const stage = join(root, stageName);
  const move = (from: string, to: string): boolean => {
    try {
      renameSync(from, to);
      return true;
    } catch (error) {
      // Done before the kill.
      if (again && (error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  };
  const undo: (() => void)[] = [];
  try {
    for (const [staged, file] of journal.put) {
      const to = join(root, file);
      if (again) mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
      const backup = join(stage, `old-${staged}`);
      const moved = move(join(stage, staged), to);
      if (moved)
        undo.push(() => (existsSync(backup) ? renameSync(backup, to) : renameSync(to, join(stage, staged))));
    }
    for (const [index, file] of journal.remove.entries()) {
      const from = join(root, file);
      if (!isInside(root, file) || kindOf(from) === "none") continue;
      const to = join(stage, `gone-${index}`);
      if (move(from, to)) undo.push(() => renameSync(to, from));
    }
  } catch (error) {
    // A run that finishes a killed one leaves things as they are for the next: it has no other tree to go back to.
    if (!again) for (const step of undo.reverse()) step();
    throw error;
  }
  const folders = new Set(journal.remove.map((file) => dirname(file)).filter((folder) => folder !== "."));
  for (const folder of [...folders].sort((a, b) => b.length - a.length)) {
    try {
      if (isInside(root, `${folder}/x`)) rmdirSync(join(root, folder));
    } catch {
      // Gone already, or holds files of somebody else: both are fine.
    }
  }
}

/** Reads the manifest of an output folder; null when there is none or it is not ours. */
export function readManifest(root: string): Manifest | null {
  try {
    const manifest = JSON.parse(readFileSync(join(root, "manifest.json"), "utf8")) as Manifest;
    if (manifest.format !== 1 || typeof manifest.files !== "object" || manifest.files === null) return null;
    const files = Object.entries(manifest.files).filter(([file]) => isPlainName(file));
    return { ...manifest, files: Object.fromEntries(files) };
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
  /** The folders of the tree that were looked at: where those that are not there yet are staged as a whole. */
  readonly #folders = new Map<string, string | null>();
  #staging = false;

  /** @param prefix sets the staged names of several writers on one tree apart */
  constructor(root: string, old: Manifest | null, prefix = "a") {
    this.#root = root;
    this.#old = old;
    this.#prefix = prefix;
  }

  /**
   * Stages a file unless the disk has it already. All files of a folder of the tree come to the same writer.
   * @throws TreeError when the folder cannot be written, or a file that is not ours stands in the way
   */
  put(file: string, bytes: Uint8Array): Change {
    const path = join(this.#root, file);
    this.entries.set(file, { sha256: digest(bytes), size: bytes.length });
    const slash = file.indexOf("/");
    const folder = slash < 0 ? null : this.#stagedFolder(file.slice(0, slash));
    const change = folder === null ? this.#compare(file, path, bytes) : "created";
    this.changes.set(file, change);
    if (change !== "same")
      guarded(path, () => {
        let to: string;
        if (folder === null) to = this.#stage(file);
        else {
          to = `${folder}${file.slice(slash)}`;
          if (file.includes("/", slash + 1)) mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
        }
        writeFileSync(to, bytes, { mode: 0o600 });
      });
    return change;
  }

  /** How a file of a folder that is there differs from what the disk has. */
  #compare(file: string, path: string, bytes: Uint8Array): Change {
    const parent = dirname(file);
    if (parent.includes("/") && !this.#folders.has(parent)) this.#stagedFolder(parent, false);
    const kind = kindOf(path);
    if (kind === "none") return "created";
    if (kind === "folder") throw new TreeError(path, "EISDIR");
    const known = this.#old !== null && (file === "manifest.json" || Object.hasOwn(this.#old.files, file));
    // A link is never read or written through; one in place of a file of ours is replaced.
    const present = kind === "file" ? guarded(path, () => readFileSync(path)) : null;
    if (present !== null && present.length === bytes.length && Buffer.compare(present, bytes) === 0)
      return "same";
    if (!known) throw new TreeError(path, "FOREIGN");
    return "changed";
  }

  /** A place in the staging folder for what will be renamed to a path of the tree. */
  #stage(file: string): string {
    if (!this.#staging) mkdirSync(join(this.#root, stageName), { recursive: true, mode: 0o700 });
    this.#staging = true;
    const staged = `${this.#prefix}${this.#put.length}`;
    this.#put.push([staged, file]);
    return join(this.#root, stageName, staged);
  }

  /**
   * Where a folder of the tree that is not there yet is staged, to be renamed as a whole; null for one that is.
   * @param whole false for a folder in one that is there, whose files are staged one by one
   * @throws TreeError when a file is in the way, or the folder is a link: it leads to somebody else's files
   */
  #stagedFolder(folder: string, whole = true): string | null {
    let staged = this.#folders.get(folder);
    if (staged === undefined) {
      const path = join(this.#root, folder);
      const kind = kindOf(path);
      if (kind === "link") throw new TreeError(path, "FOREIGN");
      if (kind === "file") throw new TreeError(path, "ENOTDIR");
      staged = null;
      if (kind === "none" && whole)
        staged = guarded(path, () => {
          const made = this.#stage(folder);
          mkdirSync(made, { mode: 0o700 });
          return made;
        });
      this.#folders.set(folder, staged);
    }
    return staged;
  }

  /** The renames that are due; for writers of other threads. */
  get pending(): readonly (readonly [string, string])[] {
    return this.#put;
  }

  /**
   * Makes the staged files the tree, removes `remove`. All that may fail for want of space or permission is done
   * before the first rename; should a rename fail all the same, those before it are taken back.
   * @throws TreeError; the tree is then the old one
   */
  commit(remove: readonly string[], others: readonly (readonly [string, string])[] = []): void {
    const root = this.#root;
    const stage = join(root, stageName);
    for (const file of remove) this.changes.set(file, "removed");
    const journal: Journal = { put: [...others, ...this.#put], remove };
    if (journal.put.length === 0 && remove.length === 0) return;
    const made: string[] = [];
    try {
      mkdirSync(stage, { recursive: true, mode: 0o700 });
      let folder = "";
      let isNew = false;
      for (const [staged, file] of journal.put) {
        const path = join(root, file);
        // The files of a node follow each other.
        if (dirname(path) !== folder) {
          folder = dirname(path);
          const first = mkdirSync(folder, { recursive: true, mode: 0o700 });
          isNew = first !== undefined;
          if (first !== undefined) made.push(first);
        }
        if (isNew || kindOf(path) !== "file") continue;
        try {
          linkSync(path, join(stage, `old-${staged}`));
        } catch {
          // Some file systems have no hard links.
          copyFileSync(path, join(stage, `old-${staged}`));
        }
      }
      const temporary = join(stage, "journal");
      const handle = openSync(temporary, "w", 0o600);
      try {
        writeSync(handle, JSON.stringify(journal));
        fsyncSync(handle);
      } finally {
        closeSync(handle);
      }
      renameSync(temporary, join(root, journalName));
      try {
        apply(root, journal, false);
      } finally {
        rmSync(join(root, journalName), { force: true });
      }
    } catch (error) {
      for (const folder of made) rmSync(folder, { recursive: true, force: true });
      if (error instanceof TreeError) throw error;
      const { code, path } = error as NodeJS.ErrnoException;
      if (code === undefined) throw error;
      throw new TreeError(path ?? root, code);
    }
    rmSync(stage, { recursive: true, force: true });
  }

  /** Forgets what was staged. */
  discard(): void {
    rmSync(join(this.#root, stageName), { recursive: true, force: true });
  }
}

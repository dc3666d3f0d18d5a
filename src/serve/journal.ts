/**
 * An append-only record of what has happened, for a state that must outlive a kill or a power cut. A record counts
 * once it is on the disk, and only then is it applied and its writer told.
 */
import { type FileHandle, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/** The journal cannot be read: what it says must not be guessed at. */
export class JournalError extends Error {
  override readonly name = "JournalError";
}

/** What is folded from records, and can be written down whole. */
export interface Fold<Kept, Entry> {
  /** Takes over what an earlier `keep` gave. */
  restore(kept: Kept): void;
  /** Applies one record that is on the disk. */
  apply(entry: Entry): void;
  /** All of the state, as JSON can hold it. */
  keep(): Kept;
}

interface Snapshot<Kept> {
  readonly format: 1;
  /** The last batch that it includes. */
  readonly batch: number;
  readonly state: Kept;
}

/** Bytes of a journal after which its state is written down whole and the journal begins anew. */
const compactAfter = 16 << 20;
/** Bytes of one batch; what comes faster than the disk takes it waits for the next. */
const batchBytes = 1 << 20;

const journalName = "journal.jsonl";
const snapshotName = "snapshot.json";

/** Makes a rename in a folder outlive a power cut. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeWhole(path: string, text: string): Promise<void> {
  const handle = await open(`${path}.new`, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.new`, path);
  await syncFolder(dirname(path));
}

async function readOr(path: string, missing: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return missing;
    throw error;
  }
}

interface Waiting<Entry> {
  readonly entry: Entry;
  readonly text: string;
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

/** One process's journal; whoever opens it makes sure that nobody else does. */
export class Journal<Kept, Entry> {
  readonly #folder: string;
  readonly #fold: Fold<Kept, Entry>;
  readonly #compactAfter: number;
  #handle: FileHandle;
  #size: number;
  #batch: number;
  #kept: number;
  #waiting: Waiting<Entry>[] = [];
  #writing: Promise<void> | null = null;
  #broken: Error | null = null;

  private constructor(
    folder: string,
    fold: Fold<Kept, Entry>,
    limit: number,
    handle: FileHandle,
    size: number,
    batch: number,
    kept: number,
  ) {
    this.#folder = folder;
    this.#fold = fold;
    this.#compactAfter = limit;
    this.#handle = handle;
    this.#size = size;
    this.#batch = batch;
    this.#kept = kept;
  }

  /**
   * Opens the journal of a folder, which is made where it is missing, and applies all that is in it.
   *
   * One line is one batch that reached the disk by one sync, so only the last line can be torn: it was never
   * acknowledged, and is cut off.
   * @param limit bytes after which it is compacted
   * @throws JournalError when it is damaged anywhere else
   */
  static async open<Kept, Entry>(
    folder: string,
    fold: Fold<Kept, Entry>,
    limit: number = compactAfter,
  ): Promise<Journal<Kept, Entry>> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of [journalName, snapshotName]) await rm(join(folder, `${name}.new`), { force: true });
    let batch = 0;
    const kept = await readOr(join(folder, snapshotName), "");
    if (kept !== "") {
      let snapshot: Snapshot<Kept>;
      try {
        snapshot = JSON.parse(kept) as Snapshot<Kept>;
      } catch {
        throw new JournalError(`${join(folder, snapshotName)} is damaged`);
      }
      if (snapshot.format !== 1)
        throw new JournalError(`${join(folder, snapshotName)} is of another version of seedsmith`);
      fold.restore(snapshot.state);
      batch = snapshot.batch;
    }
    const path = join(folder, journalName);
    const text = await readOr(path, "");
    const lines = text.split("\n");
    // What follows the last line break is nothing, or was torn off.
    lines.pop();
    let good = 0;
    for (const [index, line] of lines.entries()) {
      let read: [number, Entry[]];
      try {
        read = JSON.parse(line) as [number, Entry[]];
        if (typeof read[0] !== "number" || !Array.isArray(read[1])) throw new Error("not a batch");
      } catch {
        if (index === lines.length - 1) break;
        throw new JournalError(`${path}:${index + 1} is damaged`);
      }
      good += Buffer.byteLength(line) + 1;
      // A kill between the snapshot and the new journal leaves batches that the snapshot has.
      if (read[0] <= batch) continue;
      batch = read[0];
      for (const entry of read[1]) fold.apply(entry);
    }
    const handle = await open(path, "a", 0o600);
    try {
      await handle.truncate(good);
      await handle.sync();
      await syncFolder(folder);
    } catch (error) {
      await handle.close();
      throw error;
    }
    return new Journal(folder, fold, limit, handle, good, batch, kept.length);
  }

  /** Bytes on the disk now. */
  get size(): number {
    return this.#size;
  }

  /** How many records wait for the disk. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Resolves when the record is on the disk and applied; rejects when the disk would not take it. */
  append(entry: Entry): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ entry, text: JSON.stringify(entry), done, failed });
      this.#writing ??= this.#write();
    });
  }

  /** Writes what waits, and lets go of the file. */
  async close(): Promise<void> {
    await this.#writing;
    this.#broken ??= new Error("the journal is closed");
    await this.#handle.close();
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      let count = 0;
      for (let bytes = 0; count < this.#waiting.length && bytes < batchBytes; count++)
        bytes += this.#waiting[count]!.text.length;
      const batch = this.#waiting.splice(0, count);
      try {
        if (this.#broken !== null) throw this.#broken;
        await this.#put(`[${this.#batch + 1},[${batch.map(({ text }) => text).join(",")}]]\n`);
      } catch (error) {
        for (const { failed } of batch) failed(error as Error);
        continue;
      }
      this.#batch += 1;
      for (const { entry } of batch) this.#fold.apply(entry);
      for (const { done } of batch) done();
      // A state that is large in itself is not written down again for every little that comes to it.
      if (this.#size > Math.max(this.#compactAfter, 2 * this.#kept)) await this.#compact();
    }
    this.#writing = null;
  }

  async #put(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    try {
      await this.#handle.appendFile(bytes);
      await this.#handle.datasync();
      this.#size += bytes.length;
    } catch (error) {
      // Half a line must not stay, or the next batch would be glued to it.
      try {
        await this.#handle.truncate(this.#size);
      } catch {
        this.#broken = error as Error;
      }
      throw error;
    }
  }

  /** A failure to compact loses nothing: the journal goes on growing until it succeeds. */
  async #compact(): Promise<void> {
    try {
      const snapshot: Snapshot<Kept> = { format: 1, batch: this.#batch, state: this.#fold.keep() };
      const text = JSON.stringify(snapshot);
      await writeWhole(join(this.#folder, snapshotName), text);
      this.#kept = text.length;
      const path = join(this.#folder, journalName);
      const fresh = await open(`${path}.new`, "a", 0o600);
      try {
        await fresh.sync();
        await rename(`${path}.new`, path);
        await syncFolder(this.#folder);
      } catch (error) {
        await fresh.close();
        throw error;
      }
      await this.#handle.close();
      this.#handle = fresh;
      this.#size = 0;
    } catch {
      this.#kept = this.#size;
    }
  }
}

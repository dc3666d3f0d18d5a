/** The states of all nodes, kept in a journal. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Journal } from "./journal.ts";
import { after, type Happening, type NodeState, unheard } from "./node-state.ts";

/** Told of each thing that happened, when it is on the disk. */
export type Listener = (state: NodeState, happening: Happening) => void;

interface Kept {
  readonly nodes: readonly NodeState[];
}

/** What is known of the nodes of a site. Only one process has it open. */
export class States {
  readonly #nodes = new Map<string, NodeState>();
  readonly #listeners = new Set<Listener>();
  #journal!: Journal<Kept, Happening>;

  private constructor() {}

  /**
   * Opens the states of a folder; nodes that it does not know begin unheard, and are offered their seed from now on.
   * @param limit bytes of the journal after which it is compacted
   * @returns the states, and whether nothing was known before
   * @throws JournalError when the journal is damaged
   */
  static async open(
    folder: string,
    nodes: readonly string[],
    now: number,
    limit?: number,
  ): Promise<{ readonly states: States; readonly fresh: boolean }> {
    const states = new States();
    states.#journal = await Journal.open<Kept, Happening>(
      folder,
      {
        restore: (kept) => {
          for (const state of kept.nodes) states.#nodes.set(state.node, state);
        },
        apply: (happening) => states.#apply(happening),
        keep: () => ({ nodes: [...states.#nodes.values()] }),
      },
      limit,
    );
    const fresh = states.#nodes.size === 0;
    const unknown = nodes.filter((node) => states.get(node).offered === null);
    await Promise.all(unknown.map((node) => states.happened({ time: now, node, kind: "offered" })));
    return { states, fresh };
  }

  get(node: string): NodeState {
    return this.#nodes.get(node) ?? unheard(node, 0);
  }

  /** How many records wait for the disk. */
  get waiting(): number {
    return this.#journal.waiting;
  }

  /** Resolves when it is on the disk. */
  happened(happening: Happening): Promise<void> {
    return this.#journal.append(happening);
  }

  /** @returns how to stop listening */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): Promise<void> {
    return this.#journal.close();
  }

  #apply(happening: Happening): void {
    const state = after(
      this.#nodes.get(happening.node) ?? unheard(happening.node, happening.time),
      happening,
    );
    this.#nodes.set(happening.node, state);
    for (const listener of this.#listeners) listener(state, happening);
  }
}

/** The server's key for tokens, made once. */
export function keyOf(folder: string): Buffer {
  const path = join(folder, "key");
  try {
    const key = readFileSync(path);
    if (key.length === 32) return key;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  const key = randomBytes(32);
  writeFileSync(path, key, { mode: 0o600 });
  return key;
}

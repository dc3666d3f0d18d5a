/** Who shows how a lab's nodes do. */
import type { RunnerEvent } from "../events.ts";
import type { NodeFailure, NodeProgress } from "./progress.ts";

/** How a wait ended. */
export type Outcome = "ready" | "failed" | "timeout" | "interrupted";

export interface WatchResult {
  readonly outcome: Outcome;
  /** In the order of the site. */
  readonly nodes: readonly NodeProgress[];
  /** The node that ended the wait, with its failure; null unless one failed. */
  readonly failed: { readonly node: string; readonly failure: NodeFailure } | null;
}

/** Shows a wait. All times are ms since 1970. */
export interface View {
  /** An event of a node's runner, once, with the state after it. */
  event(event: RunnerEvent, progress: NodeProgress, now: number): void;
  /** How all nodes stand; called some times a second. */
  draw(nodes: readonly NodeProgress[], now: number): void;
  /** A line of the program itself, between all that. */
  note(line: string): void;
  /** The end of the wait. The view writes nothing afterwards. */
  close(result: WatchResult, now: number): void;
}

/** What a view needs of a stream; process.stderr is one. */
export interface Terminal {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

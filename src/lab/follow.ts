/** Following the machines of a lab to their verdicts. */
import type { LabDescription, LabMachine, MachineState } from "./driver.ts";
import type { RunnerEvent } from "./events.ts";

/** How a node's first boot ended. */
export interface NodeVerdict {
  /** `failed`: said so by the runner, or cloud-init ended without one; `died`: the machine is not running. */
  readonly outcome: "ready" | "failed" | "died" | "timeout";
  /** From when the machine was switched on, or the wait began. */
  readonly seconds: number;
  /** The runner's last word, if it had one: step, source line (`from`), message, last lines (`tail`). */
  readonly event: RunnerEvent | null;
  /** One line for a person. */
  readonly reason: string;
}

/** What is known of a node while it is waited for. */
export interface NodeProgress {
  readonly machine: LabMachine;
  readonly power: MachineState;
  /** All events of the runner so far. */
  readonly events: readonly RunnerEvent[];
  /** The last line of its console that says something. */
  readonly line: string;
  readonly verdict: NodeVerdict | null;
}

/** Whoever is told how a lab comes up: a live view, plain lines, JSON events. */
export interface Audience {
  /** Something is being done before, or beside, the machines' own work. */
  say(line: string): void;
  /** Something of a node has changed. `fresh`: the events that were not told before. */
  node(progress: NodeProgress, fresh: readonly RunnerEvent[]): void;
  /** No more is coming; what was drawn is left as it should stay on the screen. */
  close(): void;
}

/** One check of a node, as it was run again. */
export interface CheckResult {
  readonly step: string;
  readonly name: string;
  /** `file:line` of what asked for it. */
  readonly from: string | null;
  readonly ok: boolean;
  readonly seconds: number | null;
  readonly message: string | null;
  readonly tail: string | null;
}

/** What became of a node in a run. */
export interface NodeOutcome {
  readonly machine: LabMachine;
  readonly verdict: NodeVerdict;
  readonly events: readonly RunnerEvent[];
  /** Null when its checks were not run again. */
  readonly checks: readonly CheckResult[] | null;
}

/** What became of a lab: what reports are made of. */
export interface LabOutcome {
  readonly lab: LabDescription;
  readonly how: string;
  /** What a person must know to read the verdict rightly. */
  readonly notices: readonly string[];
  /** Milliseconds since 1970. */
  readonly began: number;
  readonly seconds: number;
  readonly nodes: readonly NodeOutcome[];
}

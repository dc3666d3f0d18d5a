/** How far a node is, folded from the events of its runner and from what its driver sees of it. */
import type { MachineState } from "../driver.ts";
import type { RunnerEvent } from "../events.ts";

/** Why a node failed, with what a person needs to find the cause. */
export interface NodeFailure {
  /** Id of the step that failed; null when the machine failed before or outside of any. */
  readonly step: string | null;
  readonly name: string | null;
  /** `file:line` of what asked for the step; null when nobody did. */
  readonly from: string | null;
  readonly message: string;
  /** The last lines that the step printed, 20 at most; of the console when it printed none. */
  readonly tail: readonly string[];
}

/** Where a node stands in its first boot. */
export type Phase = "booting" | "running" | "rebooting" | "ready" | "failed";

/** A step that has begun and not ended. */
export interface RunningStep {
  readonly step: string;
  readonly name: string;
  readonly from: string | null;
  /** When it began, in ms since 1970 by the node's clock. */
  readonly since: number | null;
}

export interface NodeProgress {
  readonly node: string;
  readonly phase: Phase;
  /** How many steps of this run have ended. */
  readonly done: number;
  /** How many there are; null before the runner starts. */
  readonly of: number | null;
  /** What runs now, in the order of their beginnings: a runner may work on several blocks side by side. */
  readonly running: readonly RunningStep[];
  /** When the node was switched on, in ms since 1970. */
  readonly since: number;
  /** Since when nothing runs, in ms since 1970 by the node's clock; null where that is not known. */
  readonly idle: number | null;
  /** When the verdict fell, in ms since 1970. */
  readonly ended: number | null;
  /** The latest thing that it said: of the runner, before that of the console. */
  readonly lastLine: string;
  readonly failure: NodeFailure | null;
  /** Checks that failed so far, as each may have another cause. */
  readonly failedChecks: readonly NodeFailure[];
}

/** How many lines of a failed step's output are shown. */
export const tailLines = 20;

/** A node that was just switched on. */
export function beginning(node: string, since: number): NodeProgress {
  return {
    node,
    phase: "booting",
    done: 0,
    of: null,
    running: [],
    since,
    idle: null,
    ended: null,
    lastLine: "",
    failure: null,
    failedChecks: [],
  };
}

/** When an event was written, in ms since 1970; null where its time cannot be read. */
export function timeOf(event: RunnerEvent): number | null {
  const time = typeof event.time === "number" ? event.time * 1000 : Date.parse(event.time);
  return Number.isFinite(time) ? time : null;
}

/** The lines of an event's output, the last 20 of them. */
export function tailOf(event: RunnerEvent): readonly string[] {
  const { tail } = event;
  const lines = typeof tail === "string" ? tail.split("\n") : (tail ?? []);
  return lines.filter((line) => line.trim() !== "").slice(-tailLines);
}

function place(event: RunnerEvent): string | null {
  return event.from === undefined || event.from === "-" ? null : event.from;
}

function failureOf(event: RunnerEvent): NodeFailure {
  return {
    step: event.step ?? null,
    name: event.name ?? null,
    from: place(event),
    message: event.message ?? "failed",
    tail: tailOf(event),
  };
}

/** The state after an event. */
export function afterEvent(progress: NodeProgress, event: RunnerEvent): NodeProgress {
  const { step } = event;
  const time = timeOf(event);
  const others = progress.running.filter((other) => other.step !== step);
  switch (event.event) {
    case "run-start":
      return {
        ...progress,
        phase: "running",
        done: 0,
        running: [],
        idle: time,
        ended: null,
        lastLine: "",
        failure: null,
        failedChecks: [],
      };
    case "step-start": {
      const begun = { step: step ?? "", name: event.name ?? step ?? "", from: place(event), since: time };
      return {
        ...progress,
        phase: "running",
        of: event.m ?? progress.of,
        running: [...others, begun],
        lastLine: "",
      };
    }
    case "step-retry":
      return { ...progress, lastLine: event.message ?? progress.lastLine };
    case "reboot":
      return { ...progress, phase: "rebooting", running: [], lastLine: "as packages asked for it" };
    case "ready":
      return { ...progress, phase: "ready", ended: time, running: [], lastLine: "" };
    case "failed":
      return { ...progress, phase: "failed", ended: time, running: [], failure: failureOf(event) };
    default: {
      // Whatever else names a step is its end.
      if (step === undefined) return progress;
      const failedChecks =
        event.event === "check-fail" ? [...progress.failedChecks, failureOf(event)] : progress.failedChecks;
      const ended = others.length < progress.running.length ? 1 : 0;
      return {
        ...progress,
        done: progress.done + ended,
        running: others,
        idle: time,
        failedChecks,
        lastLine: event.message ?? "",
      };
    }
  }
}

/**
 * The state after a look at the machine. A machine that is off or dead has failed, whatever its runner said last:
 * also one that was READY, as others may still wait for it.
 * @param tail the last lines of its console
 */
export function afterLook(
  progress: NodeProgress,
  state: MachineState,
  tail: readonly string[],
  now: number,
): NodeProgress {
  if (progress.phase === "failed") return progress;
  if (state.power === "dead" || state.power === "off") {
    const how = state.power === "dead" ? "the machine died" : "the machine switched itself off";
    const at = progress.running.at(-1);
    const failure = {
      step: at?.step ?? null,
      name: at?.name ?? null,
      from: at?.from ?? null,
      message: state.reason === "" ? how : `${how}: ${state.reason}`,
      tail: tail.slice(-tailLines),
    };
    return { ...progress, phase: "failed", ended: now, running: [], failure };
  }
  const line = tail.at(-1);
  // Once the runner speaks, its own events say more than the console.
  return progress.of === null && line !== undefined ? { ...progress, lastLine: line } : progress;
}

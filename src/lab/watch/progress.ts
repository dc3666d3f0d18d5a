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

export interface NodeProgress {
  readonly node: string;
  readonly phase: Phase;
  /** The runner's current or last step: number, count of all, name; null before the runner starts. */
  readonly n: number | null;
  readonly m: number | null;
  readonly step: string | null;
  readonly name: string | null;
  readonly from: string | null;
  /** When the current step began, in ms since 1970 by the clock of who wrote the event. */
  readonly stepSince: number | null;
  /** When the node was switched on, in ms since 1970. */
  readonly since: number;
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
    n: null,
    m: null,
    step: null,
    name: null,
    from: null,
    stepSince: null,
    since,
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

function failureOf(event: RunnerEvent): NodeFailure {
  return {
    step: event.step ?? null,
    name: event.name ?? null,
    from: event.from === undefined || event.from === "-" ? null : event.from,
    message: event.message ?? "failed",
    tail: tailOf(event),
  };
}

/** The state after an event. */
export function afterEvent(progress: NodeProgress, event: RunnerEvent): NodeProgress {
  const time = timeOf(event);
  const known = {
    ...progress,
    n: event.n ?? progress.n,
    m: event.m ?? progress.m,
    step: event.step ?? progress.step,
    name: event.name ?? progress.name,
    from: event.from ?? progress.from,
    lastLine: event.message ?? progress.lastLine,
  };
  switch (event.event) {
    case "run-start":
      return { ...progress, phase: "running", ended: null, failure: null, failedChecks: [] };
    case "step-start":
      return { ...known, phase: "running", stepSince: time, lastLine: "" };
    case "check-fail":
      return { ...known, failedChecks: [...progress.failedChecks, failureOf(event)] };
    case "reboot":
      return { ...known, phase: "rebooting", stepSince: time, lastLine: "reboots, as packages asked for it" };
    case "ready":
      return { ...progress, phase: "ready", ended: time ?? progress.ended, stepSince: null, lastLine: "" };
    case "failed":
      return { ...known, phase: "failed", ended: time, stepSince: null, failure: failureOf(event) };
    default:
      return known;
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
    const failure = {
      step: progress.step,
      name: progress.name,
      from: progress.from === "-" ? null : progress.from,
      message: state.reason === "" ? how : `${how}: ${state.reason}`,
      tail: tail.slice(-tailLines),
    };
    return { ...progress, phase: "failed", ended: now, stepSince: null, failure };
  }
  const line = tail.at(-1);
  // Once the runner speaks, its own events say more than the console.
  return progress.n === null && line !== undefined ? { ...progress, lastLine: line } : progress;
}

/** A node of a boot server as the views of a lab's nodes show it. */
import type { RunnerEvent } from "../lab/events.ts";
import { beginning, type NodeProgress } from "../lab/watch/progress.ts";
import type { Happening, Stage } from "./node-state.ts";
import type { NodeStatus } from "./status.ts";

const words: Readonly<Record<Stage, string>> = {
  waiting: "has not been heard of yet",
  netboot: "boots from the network",
  installing: "installs",
  installed: "installed; boots its disk next",
  booting: "boots",
  running: "first boot",
  rebooting: "reboots",
  ready: "READY",
  failed: "failed",
};

/** How far a node is, in the form that views take. */
export function progressOf(status: NodeStatus): NodeProgress {
  const { node, stage, doing, since } = status;
  const what =
    stage === "running" && doing !== ""
      ? doing
      : [words[stage], doing].filter((part) => part !== "").join(": ");
  const over = stage === "ready" || stage === "failed";
  const [failure] = status.failures;
  return {
    ...beginning(node, status.stages[0]?.since ?? since),
    phase: stage === "ready" || stage === "failed" || stage === "rebooting" ? stage : "running",
    done: Math.max(0, (status.step ?? 0) - (over ? 0 : 1)),
    of: status.steps,
    running: over ? [] : [{ step: "", name: what, from: status.from, since }],
    ended: over ? since : null,
    lastLine: status.lastLine,
    failure:
      stage !== "failed"
        ? null
        : { step: null, name: null, from: null, message: "failed", tail: [], ...failure },
  };
}

/** The runner's own event in something that happened, or null. */
export function runnerEventOf(happening: Happening): RunnerEvent | null {
  return happening.kind === "report" && happening.report.by === "runner" ? happening.report.event : null;
}

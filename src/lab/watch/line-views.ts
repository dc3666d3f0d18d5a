/** Views that only write lines: for logs and pipes, and for programs. */
import type { RunnerEvent } from "../events.ts";
import type { NodeProgress } from "./progress.ts";
import type { Terminal, View } from "./view.ts";
import { count, doing, doingSince, eventLine, oneLine, resultText, type SourceLine, span } from "./words.ts";

/** Ms after which a node that says nothing is mentioned all the same. */
const heartbeat = 60_000;

/**
 * A line an event, with the time since the beginning and the node's name. A node that is silent for a minute is
 * mentioned with what it does, so that a log that stands still is seen to be alive.
 */
export function plainView(out: Terminal, begin: number, source?: SourceLine): View {
  const spoken = new Map<string, number>();
  const say = (node: string, text: string, now: number): void => {
    spoken.set(node, now);
    out.write(`[${span(now - begin).padStart(6)}] ${node}: ${text}\n`);
  };
  return {
    event(event: RunnerEvent, progress: NodeProgress, now: number): void {
      const line = eventLine(event);
      if (line !== null) say(progress.node, line, now);
    },
    draw(nodes: readonly NodeProgress[], now: number): void {
      for (const state of nodes) {
        if (state.phase === "ready" || state.phase === "failed") continue;
        const last = spoken.get(state.node) ?? begin;
        if (now - last < heartbeat) continue;
        const since = doingSince(state);
        const said = state.lastLine === "" ? "" : `: ${oneLine(state.lastLine).slice(0, 200)}`;
        const place = count(state).trim();
        say(
          state.node,
          `${place}${place === "" ? "" : " "}still ${doing(state)}, ${span(now - since)}${said}`,
          now,
        );
      }
    },
    note(line: string): void {
      out.write(`${line}\n`);
    },
    close(result, now): void {
      out.write(resultText(result, now, source));
    },
  };
}

/**
 * JSON lines: the runner's events as they are, and the lab's own, whose names begin with `lab-`: `lab-note`, and
 * `lab-end` with the outcome and every node's state.
 */
export function jsonView(out: Terminal): View {
  const write = (value: object): void => void out.write(`${JSON.stringify(value)}\n`);
  const stamp = (ms: number): string => new Date(ms).toISOString();
  return {
    event: (event) => write(event),
    draw: () => undefined,
    note: (message) => write({ event: "lab-note", message }),
    close(result, now): void {
      write({
        time: stamp(now),
        event: "lab-end",
        outcome: result.outcome,
        failed: result.failed,
        nodes: result.nodes.map((state) => ({
          ...state,
          since: stamp(state.since),
          ended: state.ended === null ? null : stamp(state.ended),
          running: state.running.map((step) => ({
            ...step,
            since: step.since === null ? null : stamp(step.since),
          })),
        })),
      });
    },
  };
}

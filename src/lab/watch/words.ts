/** How a wait is put into words: durations, lines, a failure, the table at the end. */
import type { RunnerEvent } from "../events.ts";
import type { NodeFailure, NodeProgress } from "./progress.ts";
import type { WatchResult } from "./view.ts";

/** Gives the text of a line of the sources by its `file:line`, or null when it cannot be had. */
export type SourceLine = (from: string) => string | null;

/** A time span as people read it: `12s`, `3m05s`, `1h02m`. */
export function span(ms: number): string {
  const all = Math.max(0, Math.round(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  if (all < 60) return `${all}s`;
  if (all < 3600) return `${Math.floor(all / 60)}m${two(all % 60)}s`;
  return `${Math.floor(all / 3600)}h${two(Math.floor((all % 3600) / 60))}m`;
}

/** A text on one line, without what would move the cursor or colour the terminal of who reads it. */
export function oneLine(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
      .replace(/\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()][A-Z0-9]/g, "")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
      .replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, " ")
      .trim()
  );
}

/** `12/87`: the step it is at, of all, padded to the width of the count; empty before the runner starts. */
export function count({ done, of, running, phase }: NodeProgress): string {
  if (of === null) return "";
  const at = phase === "ready" ? of : Math.min(of, done + (running.length > 0 ? 1 : 0));
  return `${String(at).padStart(String(of).length)}/${of}`;
}

/** What the node does now, in a few words. */
export function doing({ phase, running, failure }: NodeProgress): string {
  if (phase === "ready") return "READY";
  if (phase === "booting" || phase === "rebooting") return phase;
  if (phase === "failed") return `FAILED ${oneLine(failure?.name ?? failure?.step ?? "")}`.trim();
  const last = running.at(-1);
  if (last === undefined) return "between two steps";
  return oneLine(last.name) + (running.length > 1 ? ` (and ${running.length - 1} more)` : "");
}

/** Since when it does that, in ms since 1970. */
export function doingSince({ phase, running, since, idle }: NodeProgress): number {
  return running.at(-1)?.since ?? (phase === "running" ? idle : null) ?? since;
}

/** An event as a line, or null for one that needs none. */
export function eventLine(event: RunnerEvent): string | null {
  const place = event.n === undefined ? "" : `${event.n}/${event.m ?? "?"}`;
  const took = event.seconds === undefined ? "" : `(${span(event.seconds * 1000)})`;
  const failed = event.event === "step-fail" || event.event === "check-fail" || event.event === "failed";
  const word: Readonly<Partial<Record<RunnerEvent["event"], string>>> = {
    "run-start": "the runner starts",
    "step-ok": "ok",
    "check-ok": "ok",
    "step-skip": "same",
    "step-retry": "again",
    "step-fail": "FAIL",
    "step-stop": "given up",
    "check-fail": "FAIL",
    reboot: "reboots",
    ready: "READY",
    failed: "FAILED",
  };
  const said = word[event.event];
  if (said === undefined) return null;
  const what = oneLine(event.name ?? event.step ?? "");
  const why = oneLine(event.message ?? "");
  const from = failed && event.from !== undefined && event.from !== "-" ? `from ${event.from}` : "";
  const head = [place, said, what, took].filter((part) => part !== "").join(" ");
  const rest = [from, why].filter((part) => part !== "").join(": ");
  return rest === "" ? head : `${head}: ${rest}`;
}

/** What a failure looks like: step, source line with its text, reason, last output. */
export function failureText(node: string, failure: NodeFailure, source: SourceLine = () => null): string {
  const what = failure.step === null ? "" : ` at ${oneLine(failure.name ?? failure.step)} (${failure.step})`;
  const lines = [`${node} FAILED${what}`, `  ${oneLine(failure.message)}`];
  if (failure.from !== null) {
    lines.push(`  asked for by ${failure.from}`);
    const text = source(failure.from);
    if (text !== null) lines.push(`    ${failure.from.split(":").at(-1)} | ${oneLine(text)}`);
  }
  if (failure.tail.length > 0) {
    const last = failure.tail.length === 1 ? "its last line" : `its last ${failure.tail.length} lines`;
    lines.push(`  ${last}:`, ...failure.tail.map((line) => `  | ${oneLine(line).slice(0, 300)}`));
  }
  return `${lines.join("\n")}\n`;
}

/** The end of a wait in words: all failures, or why it ended and where each node stands. */
export function resultText(result: WatchResult, now: number, source?: SourceLine): string {
  if (result.outcome === "ready") {
    return result.nodes
      .map(({ node, since, ended }) => `${node} READY after ${span((ended ?? now) - since)}\n`)
      .join("");
  }
  const failed = result.nodes.filter(({ failure }) => failure !== null);
  const texts = failed.flatMap(({ node, failure, failedChecks }) =>
    // A verdict over checks lists them in one line; each has its own place and output.
    failedChecks.length > 0
      ? failedChecks.map((check) => failureText(node, check, source))
      : [failureText(node, failure!, source)],
  );
  const others = result.nodes
    .filter(({ failure }) => failure === null)
    .map((state) => {
      const where = [count(state).trim(), doing(state)].filter((part) => part !== "").join(" ");
      const since = state.phase === "ready" ? "" : ` for ${span(now - doingSince(state))}`;
      const said = state.phase === "ready" || state.lastLine === "" ? "" : `: ${oneLine(state.lastLine)}`;
      return `${state.node} ${where}${since}${said}\n`;
    });
  const head = {
    failed: "",
    timeout: "time is up; nobody failed, but not every node is READY\n",
    interrupted: "interrupted; the nodes go on\n",
  }[result.outcome];
  return [head, ...texts, ...others].join("");
}

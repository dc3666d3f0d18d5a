/** The event log of the first-boot runner: one JSON object a line. */

/** Kinds of events, in the order of a life. */
export type EventKind =
  | "run-start"
  | "step-start"
  | "step-ok"
  | "step-skip"
  | "step-retry"
  | "step-fail"
  | "step-stop"
  | "check-ok"
  | "check-fail"
  | "reboot"
  | "ready"
  | "failed";

export interface RunnerEvent {
  readonly time: string | number;
  readonly event: EventKind;
  readonly node: string;
  readonly generation: number;
  readonly step?: string;
  readonly name?: string;
  /** `file:line` of what asked for the step. */
  readonly from?: string;
  readonly n?: number;
  readonly m?: number;
  readonly seconds?: number;
  readonly message?: string;
  /** The last lines that the step printed. */
  readonly tail?: string | readonly string[];
}

/** Where the runner writes it. */
export const eventLog = "/var/lib/seedsmith/state/events.jsonl";

/**
 * Reads what was appended to the log. A last line that is still being written, or that a power cut tore, is
 * left for the next time.
 * @returns the events and how many bytes of the text they took
 */
export function readEvents(text: Buffer): { events: RunnerEvent[]; bytes: number } {
  const bytes = text.lastIndexOf(10) + 1;
  const events: RunnerEvent[] = [];
  for (const line of text.subarray(0, bytes).toString("utf8").split("\n")) {
    try {
      const value: unknown = JSON.parse(line);
      if (typeof value === "object" && value !== null && "event" in value) events.push(value as RunnerEvent);
    } catch {
      // A torn line that later ones were appended to.
    }
  }
  return { events, bytes };
}

/** The verdict that stands at the end of a log: that of its last run, or null while that goes on. */
export function lastVerdict(events: readonly RunnerEvent[]): RunnerEvent | null {
  const last = events.findLast(
    ({ event }) => event === "ready" || event === "failed" || event === "run-start",
  );
  return last === undefined || last.event === "run-start" ? null : last;
}

/** An event in a few words, for progress lines. */
export function inWords(event: RunnerEvent): string {
  const count = event.n === undefined ? "" : ` ${event.n}/${event.m ?? "?"}`;
  const what = event.name ?? event.step ?? "";
  const from = event.event.endsWith("fail") || event.event === "failed" ? (event.from ?? "") : "";
  return [event.event + count, what, from, event.message ?? ""].filter((part) => part !== "").join(" ");
}

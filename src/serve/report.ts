/** What machines report about themselves, in the forms that their programs send, read into one. */
import type { EventKind, RunnerEvent } from "../lab/events.ts";
import { oneLine } from "../lab/watch/words.ts";

/** What a program on a machine says. All texts are short and on one line, whatever was sent. */
export type Report =
  | {
      readonly by: "installer" | "cloud-init";
      readonly type: "start" | "finish";
      /** The program's own name for what it does, such as `subiquity/Install/install`. */
      readonly name: string;
      readonly description: string;
      readonly result: "SUCCESS" | "WARN" | "FAIL" | null;
    }
  /** `installed`: the system is on the disk, and the next boot should be from there. */
  | { readonly by: "installer"; readonly type: "started" | "installed" | "failed"; readonly message: string }
  | {
      readonly by: "runner";
      readonly event: RunnerEvent;
      /** Which log of the node it is in, and where: what was sent twice is counted once. Null when not said. */
      readonly log: string | null;
      readonly at: number | null;
    };

/** Events that one request may bring. */
export const eventsAtOnce = 100;

const textLimit = 300;
const tailLines = 20;

function text(value: unknown, limit = textLimit): string {
  return typeof value === "string" ? oneLine(value.slice(0, 4 * limit)).slice(0, limit) : "";
}

function object(value: unknown): Readonly<Record<string, unknown>> | null {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : null;
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 && value <= 1e9
    ? value
    : undefined;
}

const runnerEvents: ReadonlySet<unknown> = new Set<EventKind>([
  "run-start",
  "step-start",
  "step-ok",
  "step-skip",
  "step-retry",
  "step-fail",
  "step-stop",
  "check-ok",
  "check-fail",
  "reboot",
  "ready",
  "failed",
]);

function runnerEvent(value: Readonly<Record<string, unknown>>, node: string): RunnerEvent | null {
  if (!runnerEvents.has(value.event) || typeof value.time !== "string") return null;
  const { n, m, seconds, generation } = value;
  const tail = (typeof value.tail === "string" ? value.tail : "")
    .slice(-12_000)
    .split("\n")
    .map((line) => text(line, 500))
    .filter((line) => line !== "")
    .slice(-tailLines);
  const some = (name: string, given: unknown): object => (text(given) === "" ? {} : { [name]: text(given) });
  const number = (name: string, given: unknown): object =>
    count(given) === undefined ? {} : { [name]: count(given) };
  return {
    time: text(value.time, 40),
    event: value.event as EventKind,
    // Who says it is known by other means; what it says of that does not count.
    node,
    generation: count(generation) ?? 0,
    ...some("step", value.step),
    ...some("name", value.name),
    ...some("from", value.from),
    ...number("n", n),
    ...number("m", m),
    ...number("seconds", seconds),
    ...some("message", value.message),
    ...(tail.length === 0 ? {} : { tail }),
  };
}

/** What an installer says in a word of our own; `failed` is a word of the runner's too, which gives a time. */
const installerWords = ["started", "installed", "failed"] as const;
const results: readonly unknown[] = ["SUCCESS", "WARN", "FAIL"];

function one(value: unknown, node: string, log: string | null): Report | null {
  const given = object(value);
  if (given === null) return null;
  const said = installerWords.find((word) => word === given.event);
  if (said !== undefined && given.time === undefined)
    return { by: "installer", type: said, message: text(given.message) };
  if (given.event !== undefined) {
    const event = runnerEvent(given, node);
    return event === null ? null : { by: "runner", event, log, at: count(given.at) ?? null };
  }
  const type = given.event_type;
  const name = text(given.name);
  if ((type !== "start" && type !== "finish") || name === "") return null;
  return {
    // cloud-init's own word for itself; curtin and subiquity say `curtin`.
    by: given.origin === "cloudinit" ? "cloud-init" : "installer",
    type,
    name,
    description: text(given.description),
    result: results.includes(given.result) ? (given.result as "SUCCESS") : null,
  };
}

/**
 * Reads the body of a report.
 *
 * Three programs send three forms: Ubuntu's installer and curtin `{name, description, event_type, result, ...}`,
 * cloud-init the same with the origin `cloudinit`, and the first-boot runner `{log, events: [...]}` with its own
 * events. Our own commands of an installation say `{"event": "started"}`, `installed` or `failed`, with a `message`.
 * @param body JSON
 * @returns null when it is none of these; of a list, all must be
 */
export function readReport(body: string, node: string): readonly Report[] | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  const given = object(value);
  const list = given !== null && Array.isArray(given.events) ? given.events : [value];
  if (list.length > eventsAtOnce) return null;
  const log = given === null ? "" : text(given.log, 60);
  const reports = list.map((item) => one(item, node, log === "" ? null : log));
  return reports.some((report) => report === null) ? null : (reports as Report[]);
}

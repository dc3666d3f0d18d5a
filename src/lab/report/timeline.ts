/** What nodes spent their first boot on, on one time axis. Pure: from records, with no clock of its own. */
import type { RunnerEvent } from "../events.ts";
import { timeOf } from "../watch/progress.ts";
import type { BootRecord } from "./boot-record.ts";

/**
 * What a stretch of time was spent on. Where several things ran side by side, the instant counts for the one that
 * comes first here.
 */
export const spanKinds = [
  "download",
  "unpack",
  "configure",
  "packages",
  "files",
  "step",
  "unit",
  "ready",
  "check",
  "wait",
  "reboot",
  "cloud-init",
  "boot",
] as const;

export type SpanKind = (typeof spanKinds)[number];

/** What a kind of work is called in tables and legends. */
export const kindTitles: Readonly<Record<SpanKind, string>> = {
  boot: "firmware, kernel, system",
  "cloud-init": "cloud-init",
  download: "apt: lists and downloads",
  unpack: "dpkg: unpacking",
  configure: "dpkg: maintainer scripts",
  packages: "apt: other",
  files: "files, own checks",
  step: "steps",
  unit: "units",
  ready: "readiness",
  check: "checks",
  wait: "waits for other nodes",
  reboot: "reboot",
};

/** Times are seconds from the zero of the axis. */
export interface Span {
  readonly kind: SpanKind;
  readonly name: string;
  /** Id of the runner's step, or null. */
  readonly step: string | null;
  /** `file:line` of what asked for it, or null. */
  readonly from: string | null;
  readonly start: number;
  readonly end: number;
  readonly result: "ok" | "failed" | "unfinished";
}

/** A thing that took time, all its spans together. */
export interface Item {
  readonly node: string;
  readonly kind: SpanKind;
  readonly name: string;
  readonly step: string | null;
  readonly from: string | null;
  readonly seconds: number;
}

export interface NodeTimeline {
  readonly node: string;
  readonly verdict: "ready" | "failed" | "unfinished";
  /** When it was switched on, or the first that is known of it. */
  readonly start: number;
  /** When the verdict fell, or the last that is known. */
  readonly end: number;
  /** In the order of their beginnings; they overlap where things ran side by side. */
  readonly spans: readonly Span[];
  /** Seconds by kind; each instant counts once, so with `unaccounted` they sum up to the node's time. */
  readonly spent: Readonly<Record<SpanKind | "unaccounted", number>>;
  /**
   * Share of the node's time that is neither apt's fetching nor dpkg's unpacking, 0 to 1. Maintainer scripts, and what
   * else apt does, are in it.
   */
  readonly besidesUnpacking: number;
  /** Seconds of all work on packages: fetching, unpacking, maintainer scripts, and what else apt does. */
  readonly packages: number;
}

/** A package and the seconds that dpkg spent on it, on the node where that was the most. */
export interface PackageTime {
  readonly node: string;
  readonly package: string;
  readonly unpack: number;
  readonly configure: number;
}

export interface Timeline {
  /** The zero of the axis, in ms since 1970. */
  readonly zero: number;
  /** Length of the axis in seconds. */
  readonly length: number;
  readonly nodes: readonly NodeTimeline[];
  /** The longest items of all nodes, longest first. */
  readonly longest: readonly Item[];
  readonly packages: readonly PackageTime[];
}

/** The steps that the runner brings itself. */
const ownSteps: Readonly<Record<string, SpanKind>> = {
  "apt-update": "download",
  "apt-download": "download",
  "apt-install": "packages",
  "apt-archives": "packages",
  "apt-names": "packages",
  "apt-repair": "packages",
  preflight: "files",
  directories: "files",
  files: "files",
  "held-services": "unit",
  reboot: "reboot",
  modes: "check",
};

function kindOf(event: RunnerEvent, record: BootRecord): SpanKind {
  const id = event.step ?? "";
  const action = record.actions[id];
  if (action !== undefined) return action.kind;
  const own = ownSteps[id];
  if (own !== undefined) return own;
  if (event.event === "check-ok" || event.event === "check-fail") return "check";
  return id.startsWith("wait/") ? "wait" : id.startsWith("apt-") ? "packages" : "step";
}

interface Raw extends Omit<Span, "start" | "end"> {
  /** Ms since 1970. */
  readonly start: number;
  readonly end: number;
}

/** Spans of the runner's steps, and of reboots, in ms since 1970. */
function stepSpans(record: BootRecord): Raw[] {
  const spans: Raw[] = [];
  const open = new Map<string, { event: RunnerEvent; start: number }>();
  let before = 0;
  let down: { start: number; event: RunnerEvent } | null = null;
  const close = (id: string, end: number, result: Span["result"], last?: RunnerEvent): void => {
    const begun = open.get(id);
    open.delete(id);
    if (begun === undefined) return;
    const { event, start } = begun;
    const kind = kindOf(last ?? event, record);
    spans.push({
      kind,
      name: event.name ?? id,
      step: id,
      from: event.from ?? null,
      start,
      end: Math.max(start, end),
      result,
    });
  };
  const closeAll = (end: number, result: Span["result"]): void => {
    for (const id of [...open.keys()]) close(id, end, result);
  };
  const comeUp = (end: number, result: Span["result"]): void => {
    if (down === null) return;
    const { start } = down;
    spans.push({ kind: "reboot", name: "reboot", step: "reboot", from: null, start, end, result });
    down = null;
  };
  for (const event of record.events) {
    const time = timeOf(event);
    if (time === null) continue;
    switch (event.event) {
      case "run-start":
        // A run that was killed says nothing of its end; the last that it said is the best that is known.
        closeAll(before, "unfinished");
        comeUp(time, "ok");
        break;
      case "step-start":
        open.set(event.step ?? "", { event, start: time });
        break;
      case "step-retry":
        break;
      case "reboot":
        closeAll(time, "ok");
        down = { start: time, event };
        break;
      case "ready":
      case "failed":
        closeAll(time, event.event === "ready" ? "ok" : "failed");
        break;
      default:
        if (event.step !== undefined)
          close(event.step, time, event.event.endsWith("-fail") ? "failed" : "ok", event);
    }
    before = time;
  }
  const end = record.phase === "failed" ? (record.ended ?? record.gathered) : record.gathered;
  closeAll(end, record.phase === "failed" ? "failed" : "unfinished");
  comeUp(end, "unfinished");
  return spans;
}

/** Splits a transaction into what apt fetches before dpkg's first work, dpkg's work, and the rest, apt's own. */
function splitTransaction(span: Raw, record: BootRecord): Raw[] {
  const inside = record.dpkg.filter(({ start, end }) => end > span.start && start < span.end);
  const first = inside[0];
  if (first === undefined) return [span];
  const parts: Raw[] = [];
  // Whole seconds of dpkg's log may begin just before the step.
  const clip = (time: number): number => Math.min(span.end, Math.max(span.start, time));
  const add = (kind: SpanKind, name: string, start: number, end: number): void => {
    const last = parts.at(-1);
    if (clip(end) <= clip(start)) return;
    if (last !== undefined && last.kind === kind && last.end >= clip(start))
      parts[parts.length - 1] = { ...last, end: clip(end) };
    else parts.push({ ...span, kind, name, start: clip(start), end: clip(end) });
  };
  const rest = "dependencies, triggers of apt";
  add("download", "download of packages", span.start, first.start);
  let at = first.start;
  for (const { kind, start, end } of inside) {
    add("packages", rest, at, start);
    const unpacking = kind === "unpack" || kind === "remove";
    add(unpacking ? "unpack" : "configure", unpacking ? "unpacking" : "maintainer scripts", start, end);
    at = end;
  }
  add("packages", rest, at, span.end);
  return parts;
}

/** What happened before the runner's first event: the system comes up, and cloud-init's stages. */
function earlySpans(record: BootRecord, verdict: number): Raw[] {
  const firstEvent = record.events.map(timeOf).find((time) => time !== null) ?? verdict;
  const spans: Raw[] = [];
  const base = { step: null, from: null, result: "ok" } as const;
  const named = record.cloudInit.filter(({ name }) => !name.includes("/"));
  const first = named.filter(({ start }) => start < firstEvent);
  let at = record.poweredOn;
  for (const { name, start, end } of first) {
    if (at !== null && start > at)
      spans.push({ ...base, kind: "boot", name: "the system comes up", start: at, end: start });
    // cloud-init's last stage waits for the runner: what it spends on that is not its own.
    const until = Math.min(end ?? firstEvent, firstEvent);
    const modules = record.cloudInit.filter(
      (one) =>
        one.name.startsWith(`${name}/`) && one.start >= start && one.end !== null && one.end <= firstEvent,
    );
    const longest = modules.sort((a, b) => b.end! - b.start - (a.end! - a.start))[0];
    const seconds = longest === undefined ? 0 : (longest.end! - longest.start) / 1000;
    const most =
      longest === undefined || seconds < 0.5
        ? ""
        : `; ${longest.name.split("/")[1]!.replace(/^config-/, "")} ${seconds.toFixed(1)} s of it`;
    spans.push({ ...base, kind: "cloud-init", name: `${name}${most}`, start, end: Math.max(start, until) });
    at = Math.max(at ?? 0, until);
  }
  if (at !== null && firstEvent > at)
    spans.push({ ...base, kind: "boot", name: "the system comes up", start: at, end: firstEvent });
  return spans;
}

/** Seconds by kind between two times, each instant counted once, for the kind that comes first in `spanKinds`. */
function spentOn(spans: readonly Span[], start: number, end: number): NodeTimeline["spent"] {
  const spent = Object.fromEntries([...spanKinds, "unaccounted"].map((kind) => [kind, 0])) as Record<
    SpanKind | "unaccounted",
    number
  >;
  const marks = [...new Set([start, end, ...spans.flatMap((span) => [span.start, span.end])])]
    .filter((time) => time >= start && time <= end)
    .sort((a, b) => a - b);
  for (const [index, from] of marks.entries()) {
    const to = marks[index + 1];
    if (to === undefined) break;
    const under = new Set(
      spans.filter((span) => span.start <= from && span.end >= to).map(({ kind }) => kind),
    );
    spent[spanKinds.find((kind) => under.has(kind)) ?? "unaccounted"] += to - from;
  }
  return spent;
}

function nodeTimeline(record: BootRecord, zero: number): NodeTimeline {
  const last = record.events.findLast(({ event }) => event === "ready" || event === "failed");
  const verdict =
    record.phase === "ready" || record.phase === "failed"
      ? (record.ended ?? (last === undefined ? null : timeOf(last)) ?? record.gathered)
      : record.gathered;
  const raw = [
    ...earlySpans(record, verdict),
    ...stepSpans(record).flatMap((span) =>
      span.step === "apt-install" || span.step === "apt-repair" ? splitTransaction(span, record) : [span],
    ),
  ]
    // Checks that were run again later are no part of the first boot.
    .filter((span) => span.start <= verdict)
    .sort((a, b) => a.start - b.start);
  const relative = (time: number): number => Math.max(0, Math.round(time - zero) / 1000);
  const spans: Span[] = raw.map((span) => ({
    ...span,
    start: relative(span.start),
    end: relative(span.end),
  }));
  const start = relative(record.poweredOn ?? raw[0]?.start ?? verdict);
  const end = Math.max(start, relative(verdict));
  const spent = spentOn(spans, start, end);
  const total = end - start;
  return {
    node: record.node,
    verdict: record.phase === "ready" || record.phase === "failed" ? record.phase : "unfinished",
    start,
    end,
    spans,
    spent,
    besidesUnpacking: total === 0 ? 0 : 1 - (spent.download + spent.unpack) / total,
    packages: spent.download + spent.unpack + spent.configure + spent.packages,
  };
}

/** The spans of a node that are one thing, together: a transaction's pieces, a step that was run again. */
function itemsOf({ node, spans }: NodeTimeline): Item[] {
  const items = new Map<string, Item>();
  for (const { kind, name, step, from, start, end } of spans) {
    const key = [kind, step ?? name, kind === "boot" ? "" : name].join("\n");
    const known = items.get(key);
    const seconds = Math.round(((known?.seconds ?? 0) + end - start) * 1000) / 1000;
    items.set(key, { node, kind, name, step, from, seconds });
  }
  return [...items.values()];
}

function packageTimes(records: readonly BootRecord[]): PackageTime[] {
  const all = new Map<string, PackageTime>();
  for (const record of records) {
    const own = new Map<string, PackageTime>();
    for (const { kind, package: name, start, end } of record.dpkg) {
      const known = own.get(name) ?? { node: record.node, package: name, unpack: 0, configure: 0 };
      const seconds = (end - start) / 1000;
      own.set(
        name,
        kind === "unpack" || kind === "remove"
          ? { ...known, unpack: known.unpack + seconds }
          : { ...known, configure: known.configure + seconds },
      );
    }
    for (const [name, time] of own) {
      const most = all.get(name);
      if (most === undefined || time.unpack + time.configure > most.unpack + most.configure)
        all.set(name, time);
    }
  }
  return [...all.values()].sort((a, b) => b.unpack + b.configure - (a.unpack + a.configure));
}

/**
 * Puts all nodes on one axis. Its zero is when the first was switched on, else the first that is known of any.
 * @param records in the order in which nodes are to be shown
 */
export function timeline(records: readonly BootRecord[]): Timeline {
  const firsts = records.flatMap((record) => [
    ...(record.poweredOn === null ? [] : [record.poweredOn]),
    ...record.cloudInit.slice(0, 1).map(({ start }) => start),
    ...record.events.slice(0, 1).flatMap((event) => timeOf(event) ?? []),
  ]);
  const zero = firsts.length > 0 ? Math.min(...firsts) : Math.min(...records.map(({ gathered }) => gathered));
  const nodes = records.map((record) => nodeTimeline(record, zero));
  return {
    zero,
    length: Math.max(0, ...nodes.map(({ end }) => end)),
    nodes,
    longest: nodes.flatMap(itemsOf).sort((a, b) => b.seconds - a.seconds),
    packages: packageTimes(records),
  };
}

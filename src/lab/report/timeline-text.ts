/** A timeline as a person reads it in a terminal. */
import { oneLine, span } from "../watch/words.ts";
import {
  type Item,
  kindTitles,
  type NodeTimeline,
  type Span,
  type SpanKind,
  spanKinds,
  type Timeline,
} from "./timeline.ts";

/** A letter a kind, for the axis. */
const letters: Readonly<Record<SpanKind, string>> = {
  boot: "b",
  "cloud-init": "i",
  download: "D",
  unpack: "U",
  configure: "C",
  packages: "a",
  files: "f",
  step: "s",
  unit: "u",
  ready: "r",
  check: "k",
  wait: "-",
  reboot: "R",
};

/** Seconds as people read them, with a tenth below ten: `0.4s`, `12s`, `3m05s`, `1h02m`. */
export function took(seconds: number): string {
  const value = Math.max(0, seconds);
  return value < 9.95 ? `${value.toFixed(1)}s` : span(value * 1000);
}

/** The distance of an axis's ticks: the smallest round one that gives at most `most` of them. */
export function tickEvery(length: number, most: number): number {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200];
  return steps.find((step) => length / step <= most) ?? 86_400 * Math.ceil(length / 86_400 / most);
}

const percent = (share: number): string => `${Math.round(share * 100)}%`;

/** Verdicts as they are shown. */
export const verdictWords = { ready: "READY", failed: "FAILED", unfinished: "not READY yet" } as const;

/** All nodes as one row of letters each, on one axis. */
function axis(found: Timeline, width: number): string[] {
  const names = Math.max(...found.nodes.map(({ node }) => node.length));
  const scale = found.length / width || 1;
  const every = tickEvery(found.length, Math.max(1, Math.floor(width / 12)));
  const marks: string[] = [];
  let ruler = "";
  for (let tick = 0; tick <= found.length; tick += every) {
    const at = Math.round(tick / scale);
    if (at < ruler.length || at + 6 > width + 6) continue;
    ruler = `${ruler.padEnd(at)}${
      tick === 0
        ? "0"
        : took(tick)
            .replace(/(?<=\d[mh])00[sm]$/, "")
            .replace(".0s", "s")
    } `;
    marks.push(ruler);
  }
  const used = new Set<SpanKind>();
  const rows = found.nodes.map(({ node, spans, start, end, verdict }) => {
    let row = "";
    for (let column = 0; column < width; column += 1) {
      const from = column * scale;
      const to = from + scale;
      if (to <= start || from >= end) {
        row += " ";
        continue;
      }
      // The kind that takes most of the column.
      const share = new Map<SpanKind, number>();
      for (const span of spans) {
        const part = Math.min(span.end, to) - Math.max(span.start, from);
        if (part > 0) share.set(span.kind, (share.get(span.kind) ?? 0) + part);
      }
      const most = [...share].sort((a, b) => b[1] - a[1])[0]?.[0];
      if (most !== undefined) used.add(most);
      row += most === undefined ? "." : letters[most];
    }
    return `${node.padEnd(names)}  ${row.trimEnd()}${verdict === "ready" ? "|" : verdict === "failed" ? "X" : ""}`;
  });
  const legend = spanKinds
    .filter((kind) => used.has(kind))
    .map((kind) => `${letters[kind]} ${kindTitles[kind]}`);
  return [
    `${" ".repeat(names)}  ${ruler.trimEnd()}`,
    ...rows,
    "",
    ...wrap([...legend, "| READY", "X failed"], 100),
  ];
}

function wrap(words: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length + 3 <= width)
      lines[lines.length - 1] = `${last}   ${word}`;
    else lines.push(word);
  }
  return lines;
}

/** A table whose columns are as wide as they need; those of numbers are aligned to the right. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[],
): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, index) => Math.max(...all.map((row) => (row[index] ?? "").length)));
  return all.map((row) =>
    row
      .map((cell, index) =>
        right.includes(index) ? cell.padStart(widths[index]!) : cell.padEnd(widths[index]!),
      )
      .join("  ")
      .trimEnd(),
  );
}

const described = ({ name, from }: { readonly name: string; readonly from: string | null }): string =>
  oneLine(name) + (from === null ? "" : `  (${from})`);

/** Where the time of each node went. */
function shares(nodes: readonly NodeTimeline[]): string[] {
  const kinds = spanKinds.filter((kind) => nodes.some(({ spent }) => spent[kind] >= 0.05)).toReversed();
  const short: Readonly<Record<SpanKind, string>> = {
    ...kindTitles,
    boot: "system",
    download: "download",
    unpack: "unpack",
    configure: "scripts",
    packages: "apt",
    files: "files",
    wait: "waits",
  };
  return table(
    ["node", "verdict", "after", ...kinds.map((kind) => short[kind]), "idle", "not download or unpack"],
    nodes.map(({ node, verdict, start, end, spent, besidesUnpacking }) => [
      node,
      verdictWords[verdict],
      took(end - start),
      ...kinds.map((kind) => took(spent[kind])),
      took(spent.unaccounted),
      percent(besidesUnpacking),
    ]),
    Array.from({ length: kinds.length + 3 }, (_, index) => index + 2),
  );
}

function nodeTable({ node, verdict, start, end, spans }: NodeTimeline): string[] {
  const total = end - start;
  // A transaction's many pieces are one line each as long as they say something.
  const long = (span: Span): boolean =>
    span.end - span.start >= Math.max(0.5, total / 500) || span.result !== "ok";
  const shown = spans.filter(long);
  const rest = spans.filter((span) => !long(span));
  const seconds = rest.reduce((sum, span) => sum + span.end - span.start, 0);
  const rows = shown.map((span) => [
    took(span.start),
    took(span.end - span.start),
    total === 0 ? "" : percent((span.end - span.start) / total),
    kindTitles[span.kind],
    described(span) + (span.result === "ok" ? "" : `  ${span.result.toUpperCase()}`),
  ]);
  const more = rest.length === 0 ? [] : [`and ${rest.length} shorter ones, ${took(seconds)} together`];
  return [
    `${node}: ${verdictWords[verdict]} after ${took(total)}`,
    ...table(["at", "took", "share", "on", "what"], rows, [0, 1, 2]).map((line) => `  ${line}`),
    ...more.map((line) => `  ${line}`),
  ];
}

function longest(items: readonly Item[], count: number): string[] {
  return table(
    ["", "took", "node", "on", "what"],
    items
      .slice(0, count)
      .map((item, index) => [
        `${index + 1}.`,
        took(item.seconds),
        item.node,
        kindTitles[item.kind],
        described(item),
      ]),
    [0, 1],
  );
}

/**
 * The whole timeline as text.
 * @param width columns for the axis's rows
 * @param count how many of the longest items are listed
 */
export function timelineText(found: Timeline, width = 72, count = 10): string {
  if (found.nodes.length === 0) return "no node has booted yet\n";
  const slow = found.packages.filter((one) => one.unpack + one.configure >= 1).slice(0, 5);
  const lines = [
    ...axis(found, width),
    "",
    "Where the time went",
    ...shares(found.nodes),
    "",
    "The longest items",
    ...longest(found.longest, count),
    ...(slow.length === 0
      ? []
      : [
          "",
          "The slowest packages (dpkg's log has whole seconds)",
          ...table(
            ["node", "package", "unpack", "scripts"],
            slow.map((one) => [one.node, one.package, took(one.unpack), took(one.configure)]),
            [2, 3],
          ),
        ]),
    ...found.nodes.flatMap((node) => ["", ...nodeTable(node)]),
  ];
  return `${lines.join("\n")}\n`;
}

/** What a benchmark says: one line of the table. */
export interface Row {
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  readonly verdict: "ok" | "NOT MET" | "skipped";
}

/** A figure that may not be above its limit. */
export function atMost(what: string, limit: number, unit: string, value: number, detail = ""): Row {
  return {
    what,
    target: `at most ${limit} ${unit}`,
    measured: `${round(value)} ${unit}${detail === "" ? "" : ` (${detail})`}`,
    verdict: value <= limit ? "ok" : "NOT MET",
  };
}

/** A figure that may not be below its limit. */
export function atLeast(what: string, limit: number, unit: string, value: number, detail = ""): Row {
  return {
    what,
    target: `at least ${limit} ${unit}`,
    measured: `${round(value)} ${unit}${detail === "" ? "" : ` (${detail})`}`,
    verdict: value >= limit ? "ok" : "NOT MET",
  };
}

/** A figure that could not be taken, and why. */
export function skipped(what: string, target: string, reason: string): Row {
  return { what, target, measured: reason, verdict: "skipped" };
}

/** Something that either holds or does not. */
export function holds(what: string, target: string, measured: string, ok: boolean): Row {
  return { what, target, measured, verdict: ok ? "ok" : "NOT MET" };
}

/** Three digits are all that a measurement on a busy machine is worth. */
export function round(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** The middle of some figures; of an even number, the mean of the two in the middle. Throws for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  if (upper === undefined || lower === undefined) throw new RangeError("no figures");
  return (upper + lower) / 2;
}

/** The table as aligned text, ready for docs/benchmarks.md. */
export function formatTable(rows: readonly Row[]): string {
  const cells = [
    ["What", "Target", "Measured", ""],
    ...rows.map((row) => [row.what, row.target, row.measured, row.verdict]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(3, ...cells.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |\n`;
  const [head = [], ...body] = cells;
  return line(head) + line(widths.map((width) => "-".repeat(width))) + body.map(line).join("");
}

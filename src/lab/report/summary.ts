/** The end of a test: a line a node. */
import { oneLine } from "../watch/words.ts";
import type { BootRecord } from "./boot-record.ts";
import { type Item, kindTitles, type NodeTimeline, timeline } from "./timeline.ts";
import { table, took, verdictWords } from "./timeline-text.ts";

/** How a node did, in short. */
export interface NodeSummary {
  readonly node: string;
  readonly verdict: NodeTimeline["verdict"];
  /** From being switched on to the verdict. */
  readonly seconds: number;
  /** Seconds of it that went into packages: fetching, unpacking, their maintainer scripts, and what else apt does. */
  readonly packages: number;
  /** The share that was neither fetching nor unpacking packages, 0 to 1; their scripts are in it. */
  readonly besidesUnpacking: number;
  /** What took longest; null where nothing is known. */
  readonly longest: Item | null;
}

/** How each node did, in the order of the records. */
export function summary(records: readonly BootRecord[]): readonly NodeSummary[] {
  if (records.length === 0) return [];
  const { nodes, longest } = timeline(records);
  return nodes.map(({ node, verdict, start, end, packages, besidesUnpacking }) => ({
    node,
    verdict,
    seconds: Math.round((end - start) * 1000) / 1000,
    packages: Math.round(packages * 1000) / 1000,
    besidesUnpacking,
    longest: longest.find((item) => item.node === node) ?? null,
  }));
}

/** The same as a table. */
export function summaryText(nodes: readonly NodeSummary[]): string {
  if (nodes.length === 0) return "";
  const rows = nodes.map(({ node, verdict, seconds, packages, besidesUnpacking, longest }) => {
    const from = longest?.from == null ? "" : ` (${longest.from})`;
    return [
      node,
      verdictWords[verdict],
      took(seconds),
      took(packages),
      `${Math.round(besidesUnpacking * 100)}%`,
      longest === null ? "" : took(longest.seconds),
      longest === null ? "" : `${kindTitles[longest.kind]}: ${oneLine(longest.name)}${from}`,
    ];
  });
  const lines = table(
    ["node", "verdict", "after", "packages", "not download or unpack", "longest", ""],
    rows,
    [2, 3, 4, 5],
  );
  return `${lines.join("\n")}\n`;
}

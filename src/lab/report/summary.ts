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
  /** The share of that which was neither fetching nor unpacking packages, 0 to 1. */
  readonly besidesPackages: number;
  /** What took longest; null where nothing is known. */
  readonly longest: Item | null;
}

/** How each node did, in the order of the records. */
export function summary(records: readonly BootRecord[]): readonly NodeSummary[] {
  if (records.length === 0) return [];
  const { nodes, longest } = timeline(records);
  return nodes.map(({ node, verdict, start, end, besidesPackages }) => ({
    node,
    verdict,
    seconds: Math.round((end - start) * 1000) / 1000,
    besidesPackages,
    longest: longest.find((item) => item.node === node) ?? null,
  }));
}

/** The same as a table. */
export function summaryText(nodes: readonly NodeSummary[]): string {
  if (nodes.length === 0) return "";
  const rows = nodes.map(({ node, verdict, seconds, besidesPackages, longest }) => {
    const from = longest?.from == null ? "" : ` (${longest.from})`;
    return [
      node,
      verdictWords[verdict],
      took(seconds),
      `${Math.round(besidesPackages * 100)}%`,
      longest === null ? "" : took(longest.seconds),
      longest === null ? "" : `${kindTitles[longest.kind]}: ${oneLine(longest.name)}${from}`,
    ];
  });
  const lines = table(["node", "verdict", "after", "not packages", "longest", ""], rows, [2, 3, 4]);
  return `${lines.join("\n")}\n`;
}

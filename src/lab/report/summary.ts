/** The end of a test in a table: a line a node. */
import { oneLine } from "../watch/words.ts";
import type { BootRecord } from "./boot-record.ts";
import { kindTitles, timeline } from "./timeline.ts";
import { table, took, verdictWords } from "./timeline-text.ts";

/**
 * Node, verdict, the time to it, the share of that which was neither fetching nor unpacking packages, and what took
 * longest.
 * @param records in the order in which they are to be shown
 */
export function summaryText(records: readonly BootRecord[]): string {
  if (records.length === 0) return "";
  const found = timeline(records);
  const rows = found.nodes.map(({ node, verdict, start, end, besidesPackages }) => {
    const most = found.longest.find((item) => item.node === node);
    const from = most?.from == null ? "" : ` (${most.from})`;
    return [
      node,
      verdictWords[verdict],
      took(end - start),
      `${Math.round(besidesPackages * 100)}%`,
      most === undefined ? "" : took(most.seconds),
      most === undefined ? "" : `${kindTitles[most.kind]}: ${oneLine(most.name)}${from}`,
    ];
  });
  const lines = table(["node", "verdict", "after", "not packages", "longest", ""], rows, [2, 3, 4]);
  return `${lines.join("\n")}\n`;
}

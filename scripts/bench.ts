/**
 * `npm run bench [-- --boot] [NAME...]`: measures what docs/benchmarks.md promises, and prints target and measured
 * side by side. Every figure is a ratio or a median taken in this one run. Exit code 1 when a target is not met.
 * NAME is one of cold, iso, nodes; --boot adds the first boot, which needs root and minutes.
 */
import { parseArgs } from "node:util";
import { bootAgainstGuide } from "./bench/boot.ts";
import { coldStart } from "./bench/cold.ts";
import { isoImages } from "./bench/iso.ts";
import { manyNodes } from "./bench/nodes.ts";
import { formatTable, type Row } from "./bench/table.ts";

const { values, positionals } = parseArgs({
  options: { boot: { type: "boolean", default: false } },
  allowPositionals: true,
});
const all: Record<string, () => Row[] | Promise<Row[]>> = {
  cold: coldStart,
  iso: isoImages,
  nodes: manyNodes,
};
const unknown = positionals.find((name) => !Object.hasOwn(all, name));
if (unknown !== undefined) {
  console.error(`there is no benchmark "${unknown}"; there are ${Object.keys(all).join(", ")}`);
  process.exit(2);
}
const chosen = positionals.length > 0 ? positionals : Object.keys(all);
const rows: Row[] = [];
for (const name of chosen) rows.push(...((await all[name]?.()) ?? []));
if (values.boot) rows.push(...(await bootAgainstGuide()));
process.stdout.write(formatTable(rows));
process.exitCode = rows.some((row) => row.verdict === "NOT MET") ? 1 : 0;

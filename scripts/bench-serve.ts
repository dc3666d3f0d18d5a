/**
 * `npm run bench:serve [-- --seconds N]`: the boot server under a thousand nodes, beside nginx with the same files in the
 * same run. Needs Debian's wrk and nginx; no root. Everything stays on loopback.
 */
import { parseArgs } from "node:util";
import { bootServer } from "./bench/serve.ts";
import { formatTable } from "./bench/table.ts";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "5" } } });
const rows = await bootServer(Number(values.seconds));
process.stdout.write(formatTable(rows));
process.exitCode = rows.some((row) => row.verdict === "NOT MET") ? 1 : 0;

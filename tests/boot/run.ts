/**
 * `npm run test:boot [-- [--jobs N] [PATTERN]]`: runs every `*.boot.ts` of this folder: tests that boot machines. Needs
 * root and the packages of scripts/boot-packages; says so and exits with 3 where they are missing. Several files run
 * side by side, each in a process of its own: see `runBeside`. `cluster` is only run when it is asked for.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { hostObstacles } from "../../src/lab/host.ts";
import { runFiles } from "../support/runner.ts";
import { bootFiles, runBeside } from "./beside.ts";
import { base, closeLabs, followMachines, sweep } from "./lab.ts";

const { values, positionals } = parseArgs({
  options: {
    jobs: { type: "string", default: String(availableParallelism() + 1) },
    file: { type: "string" },
  },
  allowPositionals: true,
});
const jobs = Number(values.jobs);
if (!Number.isInteger(jobs) || jobs < 1) {
  console.error("usage: npm run test:boot [-- [--jobs N] [PATTERN]]");
  process.exit(2);
}
const obstacles = hostObstacles({ mmdebstrap: "mmdebstrap" });
if (obstacles.length > 0) {
  for (const { message, hint } of obstacles) console.error(`test:boot: ${message} (${hint})`);
  console.error("test:boot: scripts/boot-packages installs what is missing on Debian");
  process.exit(3);
}
const files = values.file === undefined ? bootFiles(positionals[0]) : [values.file];
if (values.file === undefined) {
  await sweep();
  await base();
}
if (files.length > 1) process.exit(await runBeside(files, jobs));

for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.once(name, () => {
    console.error(`test:boot: ${name}: taking the labs down`);
    closeLabs().finally(() => process.exit(name === "SIGINT" ? 130 : 143));
  });
}
followMachines();
await runFiles((file) => files.includes(file), /(?:)/);
// Whatever a broken test has left running must not keep the run from ending.
await closeLabs();
process.exit();

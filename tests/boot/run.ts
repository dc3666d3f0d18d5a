/**
 * `npm run test:boot [PATTERN]`: runs every `*.boot.ts` of this folder: tests that boot machines. Needs root
 * and the packages of scripts/boot-packages; says so and exits with 3 where they are missing.
 */
import { hostObstacles } from "../../src/lab/host.ts";
import { runFiles } from "../support/runner.ts";
import { base, closeLabs, followMachines, sweep } from "./lab.ts";

const obstacles = hostObstacles({ mmdebstrap: "mmdebstrap" });
if (obstacles.length > 0) {
  for (const { message, hint } of obstacles) console.error(`test:boot: ${message} (${hint})`);
  console.error("test:boot: scripts/boot-packages installs what is missing on Debian");
  process.exit(3);
}
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.once(name, () => {
    console.error(`test:boot: ${name}: taking the labs down`);
    closeLabs().finally(() => process.exit(name === "SIGINT" ? 130 : 143));
  });
}
await sweep();
await base();
followMachines();
await runFiles((file) => /^boot\/[^/]*\.boot\.ts$/.test(file), new RegExp(process.argv[2] ?? ""));
// Whatever a broken test has left running must not keep the run from ending.
await closeLabs();
process.exit();

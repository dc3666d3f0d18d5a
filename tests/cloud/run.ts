/**
 * `npm run test:cloud [-- PATTERN]`: boots a controller and a compute node from rendered seeds, and starts instances on
 * them as a user would. Takes about ten minutes, 8 GiB of memory and 10 GB of disk. The other files (`order`, `faults`,
 * `sites`, `installed`) run when the pattern names them; `-- .` runs all, one after the other. Needs root and the packages of
 * scripts/boot-packages; says so and exits with 3 where they are missing.
 */
import { hostObstacles, installed } from "../../src/lab/host.ts";
import { base, closeLabs, followMachines, sweep } from "../boot/lab.ts";
import { runFiles } from "../support/runner.ts";

const obstacles = [...hostObstacles({ mmdebstrap: "mmdebstrap" })].map(
  ({ message, hint }) => `${message} (${hint})`,
);
for (const tool of ["mformat", "syslinux", "apt-get", "dpkg-deb"])
  if (!installed(tool)) obstacles.push(`${tool} is missing (apt-get install mtools syslinux)`);
if (obstacles.length > 0) {
  for (const obstacle of obstacles) console.error(`test:cloud: ${obstacle}`);
  console.error("test:cloud: scripts/boot-packages installs what is missing on Debian");
  process.exit(3);
}
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.once(name, () => {
    console.error(`test:cloud: ${name}: taking the labs down`);
    closeLabs().finally(() => process.exit(name === "SIGINT" ? 130 : 143));
  });
}
await sweep();
await base();
followMachines();
await runFiles((file) => /^cloud\/[^/]*\.cloud\.ts$/.test(file), new RegExp(process.argv[2] ?? "instances"));
await closeLabs();
process.exit();

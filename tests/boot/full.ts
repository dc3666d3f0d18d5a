/**
 * `npm run test:boot:full`: controller and compute in qemu, from nothing to a green verdict, by the command that
 * people use. Without the processor's help it takes an hour or so, and is not part of what every change is
 * tested with. Arguments are handed on to `seedsmith test`.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { testsFolder } from "../support/runner.ts";
import { cache } from "./lab.ts";
import { Workspace } from "./rendered.ts";

const workspace = new Workspace();
// Enough of each, and no more: two machines share whatever this host has.
for (const [node, size] of [
  ["con01", "{ cpus: 2, memory: 6G, disk: 20G }"],
  ["com01", "{ cpus: 2, memory: 4G, disk: 20G }"],
] as const)
  workspace.edit(`  ${node}:\n`, `  ${node}:\n    size: ${size}\n`);
const program = join(testsFolder, "..", "dist", "cli.js");
if (!existsSync(program)) throw new Error("dist/ is missing: npm run build");
const report = join(cache, "full", "junit.xml");
const began = Date.now();
const child = spawn(
  process.execPath,
  [program, "test", "--driver", "qemu", "--report", report, ...process.argv.slice(2)],
  {
    cwd: workspace.folder,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, SEEDSMITH_CACHE: cache },
  },
);
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => child.kill(name));
child.on("exit", (status) => {
  const minutes = ((Date.now() - began) / 60_000).toFixed(1);
  console.error(`test:boot:full: status ${status} after ${minutes} min; report: ${report}`);
  // A lab that was asked to stay needs its site.
  if (process.argv.includes("--keep")) console.error(`test:boot:full: the site is in ${workspace.folder}`);
  else workspace.remove();
  process.exitCode = status ?? 1;
});

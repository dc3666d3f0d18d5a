/**
 * `npm run lab -- VERB ...`: builds the program and runs `seedsmith lab VERB ...` with it, in the folder where npm was
 * called. `npm run lab -- test ...` is `seedsmith test ...`.
 */
import { join } from "node:path";
import { $ } from "zx";

const root = join(import.meta.dirname, "..");
const [verb, ...rest] = process.argv.slice(2);
await $({ cwd: root, quiet: true })`npm run --silent build`;
const words = verb === "test" ? ["test", ...rest] : ["lab", ...(verb === undefined ? [] : [verb]), ...rest];
const done = await $({
  cwd: process.env["INIT_CWD"] ?? process.cwd(),
  stdio: "inherit",
  nothrow: true,
})`${process.execPath} ${join(root, "dist", "cli.js")} ${words}`;
process.exitCode = done.exitCode ?? 1;

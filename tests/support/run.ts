/**
 * `npm test [PATTERN]`: runs every `*.test.ts` below tests/, groups of them side by side (see beside.ts). PATTERN is a
 * regular expression over the files' paths. The tests that boot machines are a tier of their own, `npm run test:boot`.
 *
 * `--files FILE...` runs these, by their path below tests/, in this process.
 */
import { availableParallelism } from "node:os";
import { groups, runGroups } from "./beside.ts";
import { runFiles, testFiles } from "./runner.ts";

const isTest = (file: string): boolean => file.endsWith(".test.ts");
const [first = "", ...rest] = process.argv.slice(2);
if (first === "--files") await runFiles((file) => rest.includes(file), /(?:)/);
else {
  const pattern = new RegExp(first);
  const all = groups(testFiles(isTest, pattern));
  if (all.length < 2) await runFiles(isTest, pattern);
  else {
    const self = [process.execPath, ...process.execArgv, import.meta.filename, "--files"];
    // Some tests wait, for a server's answer or another process, and leave their core to others.
    process.exitCode = await runGroups(all, availableParallelism() + 1, self);
  }
}

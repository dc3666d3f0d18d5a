/**
 * `npm test [PATTERN]`: runs every `*.test.ts` below tests/ except the boot tests, in one process, by uvu.
 * Refuses a file that defines no suite. PATTERN is a regular expression over the files' paths.
 */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const shared = globalThis as typeof globalThis & { UVU_DEFER: number; UVU_INDEX: number; UVU_QUEUE: unknown[][] };
// uvu looks at UVU_DEFER once, when it is imported: set, a suite's run() queues instead of starting at once.
shared.UVU_DEFER = 1;
const uvu = await import("uvu");
const support = await import("./suite.ts");

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const pattern = new RegExp(process.argv[2] ?? "");
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".test.ts") && !file.startsWith("boot/") && pattern.test(file))
  .sort();

const empty: string[] = [];
shared.UVU_QUEUE.length = 0;
for (const [index, file] of files.entries()) {
  shared.UVU_INDEX = index;
  shared.UVU_QUEUE.push([file]);
  const before = support.suites;
  await import(pathToFileURL(join(root, file)).href);
  if (support.suites === before) empty.push(file);
}
await uvu.exec(false);
for (const file of empty) console.error(`${file} defines no suite: a test file must call suite()`);
if (files.length === 0) console.error(`no test file matches ${pattern}`);
if (empty.length > 0 || files.length === 0) process.exitCode = 1;

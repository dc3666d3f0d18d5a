/** Runs test files by uvu, in one process; shared by the tiers. */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const shared = globalThis as typeof globalThis & {
  UVU_DEFER: number;
  UVU_INDEX: number;
  UVU_QUEUE: unknown[][];
};

/** The folder of all tests. */
export const testsFolder: string = join(dirname(fileURLToPath(import.meta.url)), "..");

/**
 * Runs those test files below tests/ that `belongs` takes and `pattern` fits, and sets the exit code. Refuses
 * a file that defines no suite, and a pattern that fits no file.
 * @param belongs told a path relative to tests/
 */
export async function runFiles(belongs: (file: string) => boolean, pattern: RegExp): Promise<void> {
  // uvu looks at UVU_DEFER once, when it is imported: set, a suite's run() queues instead of starting at once.
  shared.UVU_DEFER = 1;
  const uvu = await import("uvu");
  const support = await import("./suite.ts");
  const files = readdirSync(testsFolder, { recursive: true, encoding: "utf8" })
    .filter((file) => belongs(file) && pattern.test(file))
    .sort();

  const empty: string[] = [];
  shared.UVU_QUEUE.length = 0;
  for (const [index, file] of files.entries()) {
    shared.UVU_INDEX = index;
    shared.UVU_QUEUE.push([file]);
    const before = support.suites;
    await import(pathToFileURL(join(testsFolder, file)).href);
    if (support.suites === before) empty.push(file);
  }
  await uvu.exec(false);
  for (const file of empty) console.error(`${file} defines no suite: a test file must call suite()`);
  if (files.length === 0) console.error(`no test file matches ${pattern}`);
  if (empty.length > 0 || files.length === 0) process.exitCode = 1;
}

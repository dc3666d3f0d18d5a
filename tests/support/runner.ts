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
 * The test files that `belongs` takes and `pattern` fits, by their path below tests/, sorted.
 * @param belongs told a path relative to tests/
 */
export function testFiles(belongs: (file: string) => boolean, pattern: RegExp): string[] {
  return readdirSync(testsFolder, { recursive: true, encoding: "utf8" })
    .map((file) => file.replaceAll("\\", "/"))
    .filter((file) => belongs(file) && pattern.test(file))
    .sort();
}

/**
 * Runs those test files below tests/ that `belongs` takes and `pattern` fits, and sets the exit code. Refuses
 * a file that defines no suite or no test, and a pattern that fits no file.
 * @param belongs told a path relative to tests/
 */
export async function runFiles(belongs: (file: string) => boolean, pattern: RegExp): Promise<void> {
  // uvu looks at UVU_DEFER once, when it is imported: set, a suite's run() queues instead of starting at once.
  shared.UVU_DEFER = 1;
  const uvu = await import("uvu");
  const { defined } = await import("./suite.ts");
  const files = testFiles(belongs, pattern);

  const empty: string[] = [];
  shared.UVU_QUEUE.length = 0;
  for (const [index, file] of files.entries()) {
    shared.UVU_INDEX = index;
    shared.UVU_QUEUE.push([file]);
    const before = { ...defined };
    await import(pathToFileURL(join(testsFolder, file)).href);
    if (defined.suites === before.suites || defined.tests === before.tests) empty.push(file);
  }
  await uvu.exec(false);
  for (const file of empty)
    console.error(`${file} defines no test: a test file must call suite(), with tests in it`);
  if (files.length === 0) console.error(`no test file matches ${pattern}`);
  if (empty.length > 0 || files.length === 0) process.exitCode = 1;
}

/** Test files side by side: groups of them, each in a process of its own. */
import { spawn } from "node:child_process";
import { type Ended, formatTotals, sum, totalsOf } from "./totals.ts";

/**
 * Files that take long: each is a group of its own. Those that take longest come first, so that nothing is waited for
 * alone at the end.
 */
const long: readonly string[] = [
  "misspell.test.ts",
  "guest/guest.test.ts",
  "docs.test.ts",
  "write/output.test.ts",
  "cli.test.ts",
  "components/scripts.test.ts",
];

/**
 * Divides files into groups, by their names alone: a group's files run in one process one after the other, so what
 * runs together, and in which order, is the same in every run, however fast the machine is.
 */
export function groups(files: readonly string[]): string[][] {
  const byFolder = new Map<string, string[]>();
  for (const file of files) {
    const name = long.includes(file) ? file : (/^([^/]+)\//.exec(file)?.[1] ?? "");
    const group = byFolder.get(name);
    if (group === undefined) byFolder.set(name, [file]);
    else group.push(file);
  }
  const place = ([file = ""]: readonly string[]): number => (long.indexOf(file) + 1 || long.length + 1) - 1;
  return [...byFolder.values()].sort((a, b) => place(a) - place(b) || b.length - a.length);
}

/** What begins the report of a test that failed, as uvu writes it. */
const failure = /^ *FAIL +(.+)$/gm;

/**
 * Runs groups of files, `jobs` at once. What a group printed follows whole when it has ended; the names of the tests
 * that failed and the totals of all come last.
 * @param argv a command that runs the files that are given to it
 * @returns the exit code: 0 when every group's is
 */
export async function runGroups(
  all: readonly (readonly string[])[],
  jobs: number,
  argv: readonly string[],
): Promise<number> {
  const begin = Date.now();
  const queue = [...all];
  const ends: (Ended & { readonly files: readonly string[] })[] = [];
  const run = (files: readonly string[]): Promise<void> => {
    const child = spawn(argv[0] as string, [...argv.slice(1), ...files], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output: string[] = [];
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => output.push(text));
    return new Promise((resolve) => {
      child.on("error", (error) => output.push(error.message));
      child.on("close", (code, signal) => {
        const ended = { files, status: code ?? signal ?? "no exit code", output: output.join("") };
        ends.push(ended);
        // Its own totals are in the sum.
        console.log(
          totalsOf(ended.output) === null
            ? `${ended.output.trimEnd()}\n\n${files.join(", ")} ended without totals (${ended.status})\n`
            : ended.output.replace(/\n *Total: *\d+\n[\s\S]*?Duration: .*\n\n*/, "\n").trimEnd(),
        );
        resolve();
      });
    });
  };
  const place = async (): Promise<void> => {
    for (let files = queue.shift(); files !== undefined; files = queue.shift()) await run(files);
  };
  await Promise.all(Array.from({ length: jobs }, place));
  const totals = sum(ends);
  for (const { files, status, output } of ends) {
    if (status === 0) continue;
    const names = [...output.matchAll(failure)].map(([, name]) => `  ${name}`);
    console.log(`\nred (${status}): ${files.join(", ")}\n${names.join("\n")}`);
  }
  console.log(formatTotals(totals, Date.now() - begin));
  const green = ends.length === all.length && ends.every(({ status }) => status === 0);
  return green && totals.total > 0 && totals.passed === totals.total ? 0 : 1;
}

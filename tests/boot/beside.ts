/** Files of boot tests side by side: each in a process of its own, their output kept apart, their totals added up. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { createInterface } from "node:readline";
import { type Ended, formatTotals, sum } from "../support/totals.ts";
import { say } from "./lab.ts";

/** Files that sleep nearly all their time: they begin at once and take none of the places. */
const sleepers: readonly string[] = ["boot/late.boot.ts"];

/** Files that take longest: they begin first, so that nothing is waited for alone at the end. */
const longest: readonly string[] = ["boot/pxe.boot.ts", "boot/qemu.boot.ts"];

/** Files that only run when a pattern asks for them: what they boot takes more than a machine for tests has to spare. */
const asked: readonly string[] = ["boot/cluster.boot.ts", "boot/openvswitch.boot.ts", "boot/storage.boot.ts"];

/** The files of this folder that fit, by their path below tests/; without a pattern all but those to be asked for. */
export function bootFiles(pattern?: string): string[] {
  const wanted = new RegExp(pattern ?? "");
  return readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith(".boot.ts"))
    .map((name) => `boot/${name}`)
    .filter((file) => (pattern === undefined ? !asked.includes(file) : wanted.test(file)))
    .sort((a, b) => Number(longest.includes(b)) - Number(longest.includes(a)) || (a < b ? -1 : 1));
}

/** How a file's run ended; its output is without its progress. */
interface FileEnded extends Ended {
  readonly file: string;
  readonly seconds: number;
}

/**
 * Runs files of boot tests, `jobs` at once and sleepers besides. Progress goes to standard error as it comes, each
 * line with its file's name; what a file printed follows whole when it has ended; the totals of all come last.
 * @returns the exit code: 0 when every file's is
 */
export async function runBeside(files: readonly string[], jobs: number): Promise<number> {
  const begin = Date.now();
  const running = new Set<ChildProcess>();
  let broken = false;
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      broken = true;
      console.error(`test:boot: ${name}: taking the labs down`);
      // They may have had the signal of their process group already, and then are at it.
      for (const child of running) child.kill("SIGTERM");
    });
  }
  const run = (file: string): Promise<FileEnded> => {
    const start = Date.now();
    const short = file.replace(/^boot\/|\.boot\.ts$/g, "");
    const argv = ["--import", "tsx", "tests/boot/run.ts", "--file", file];
    const child = spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "pipe"] });
    running.add(child);
    const output: string[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk.toString()));
    createInterface({ input: child.stderr }).on("line", (line) =>
      console.error(`${short.padEnd(14)} ${line}`),
    );
    return new Promise((resolve) => {
      child.on("error", (error) => output.push(error.message));
      child.on("close", (code, signal) => {
        running.delete(child);
        const ended: FileEnded = {
          file,
          status: code ?? signal ?? "no exit code",
          seconds: Math.round((Date.now() - start) / 1000),
          output: output.join(""),
        };
        console.log(
          `== ${file}: ${ended.seconds} s, ${ended.status === 0 ? "green" : `red (${ended.status})`}`,
        );
        console.log(ended.output.trimEnd());
        resolve(ended);
      });
    });
  };
  const queue = files.filter((file) => !sleepers.includes(file));
  say(`${files.length} files, ${Math.min(jobs, queue.length)} at once`);
  const ends: FileEnded[] = [];
  const place = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined && !broken; file = queue.shift())
      ends.push(await run(file));
  };
  await Promise.all([
    ...files.filter((file) => sleepers.includes(file)).map(async (file) => void ends.push(await run(file))),
    ...Array.from({ length: jobs }, place),
  ]);
  const totals = sum(ends);
  for (const { file, status, seconds } of ends)
    say(`${file}: ${seconds} s${status === 0 ? "" : `, red (${status})`}`);
  console.log(formatTotals(totals, Date.now() - begin));
  if (broken) return 130;
  return ends.length === files.length &&
    ends.every(({ status }) => status === 0) &&
    totals.passed === totals.total
    ? 0
    : 1;
}

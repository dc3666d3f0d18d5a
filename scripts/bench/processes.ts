/** Runs programs and says what they took. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's folder. */
export const packageRoot: string = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const cli: string = join(packageRoot, "dist", "cli.js");

/**
 * Runs a program to its end.
 * @returns milliseconds from start to end
 * @throws when it cannot be run or fails
 */
export function timed(command: string, args: readonly string[], cwd?: string): number {
  const start = performance.now();
  const { status, error, stderr } = spawnSync(command, args, {
    stdio: ["ignore", "ignore", "pipe"],
    encoding: "utf8",
    ...(cwd === undefined ? {} : { cwd }),
  });
  const took = performance.now() - start;
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}: ${stderr}`);
  return took;
}

/** Whether a program can be run here. */
export function isInstalled(command: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${command}`], { stdio: "ignore" }).status === 0;
}

/** Runs an action in a folder of its own, which is deleted afterwards. */
export async function inFolder<T>(action: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-bench-"));
  try {
    return await action(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

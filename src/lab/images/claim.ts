/** Work on something in the cache that is one process's at a time. */
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { LabError, sleep } from "../command.ts";
import { alive, type ProcessName, processName } from "../host.ts";

/** Whose such a file is; null where it is gone, or cannot be read. */
function holderOf(path: string): ProcessName | null {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ProcessName;
  } catch {
    return null;
  }
}

/**
 * Takes a file that stands for some work, for this process. Whoever has it removes it when the work is done; what a
 * process has left that is gone counts for nothing.
 * @returns null, or the process that is at it
 */
export function claim(path: string): ProcessName | null {
  const passing = `${path}.${process.pid}`;
  writeFileSync(passing, JSON.stringify(processName(process.pid)));
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        // Written before it has its name, so that nobody reads half of it.
        linkSync(passing, path);
        return null;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const holder = holderOf(path);
      if (holder !== null && alive(holder)) return holder;
      rmSync(path, { force: true });
    }
    throw new LabError(`${path} cannot be taken: others take it again and again`, "try again");
  } finally {
    rmSync(passing, { force: true });
  }
}

/** Removes such a file if the process is gone that has it. */
export function clearClaim(path: string): void {
  const holder = holderOf(path);
  if (holder !== null && !alive(holder)) rmSync(path, { force: true });
}

/**
 * Makes what processes side by side want alike, once.
 * @param lock a file that stands for the work
 * @param there what has been made, or null
 * @param waits told once of the process that is at it
 * @param pause seconds between looks
 */
export async function alone<T>(
  lock: string,
  there: () => T | null,
  make: () => Promise<T>,
  waits: (pid: number) => void,
  pause = 1,
): Promise<T> {
  for (let waited = false; ; waited = true) {
    const holder = claim(lock);
    if (holder === null) break;
    if (!waited) waits(holder.pid);
    await sleep(pause);
  }
  try {
    return there() ?? (await make());
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Folders that were, or hold, root file systems: what is mounted below them, and deleting them safely. */
import { readFileSync } from "node:fs";
import { LabError, must } from "./command.ts";

/** The mount points at or below a path, the latest first: the order in which they can be unmounted. */
export function mountsBelow(path: string): string[] {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    // The kernel writes blanks and backslashes in paths as \ooo.
    .map((line) =>
      (line.split(" ")[4] ?? "").replaceAll(/\\(\d{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    );
  return points.filter((point) => point === path || point.startsWith(`${path}/`)).reverse();
}

/**
 * Deletes a folder with all in it, never through a mount point: below a root's /dev or /proc lies the host's.
 * @throws LabError when something is mounted there
 */
export async function removeTree(path: string): Promise<void> {
  const mounted = mountsBelow(path);
  if (mounted.length > 0)
    throw new LabError(`not deleted, for something is mounted there: ${mounted.join(", ")}`);
  await must(["rm", "-rf", "--one-file-system", "--", path]);
}

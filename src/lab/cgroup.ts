/**
 * Control groups of machines. The init of a machine makes a group for each of its units, named like the unit, below the
 * group that systemd-nspawn was started in. Two machines started in one group would make and remove each other's: a
 * service then ends with "Failed at step CGROUP", or is waited for although it has ended.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { LabError, patience, poll } from "./command.ts";
import { processName, signal } from "./host.ts";

/**
 * Where this process has its groups, in the hierarchies that systemd uses: that of version 2, and the named one of hosts
 * that have both.
 * @param groups text of /proc/self/cgroup
 * @param mounts text of /proc/self/mountinfo
 */
export function ownGroups(groups: string, mounts: string): string[] {
  const found: string[] = [];
  for (const line of mounts.split("\n")) {
    const [head = "", tail = ""] = line.split(" - ");
    const [, , , root, point] = head.split(" ");
    const [type, , options = ""] = tail.split(" ");
    const prefix =
      type === "cgroup2" ? "0::" : options.split(",").includes("name=systemd") ? "name=systemd:" : null;
    if (type === undefined || !type.startsWith("cgroup") || prefix === null || point === undefined) continue;
    const own = groups.split("\n").find((group) => group.replace(/^[1-9]\d*:/, "").startsWith(prefix));
    const path = own?.replace(/^[1-9]\d*:/, "").slice(prefix.length);
    // A path outside of what is mounted cannot be reached from here.
    if (path !== undefined && root === "/" && !path.startsWith("/..")) found.push(join(point, path));
  }
  return found;
}

/** The folders of a group for a machine, one a hierarchy. */
export function groupFolders(name: string): string[] {
  const read = (path: string) => readFileSync(path, "utf8");
  return ownGroups(read("/proc/self/cgroup"), read("/proc/self/mountinfo")).map((own) => join(own, name));
}

/** Makes a group in every hierarchy that lets us. @returns the folders to enter; none where the host lets us not */
export function makeGroups(folders: readonly string[]): string[] {
  return folders.filter((folder) => {
    try {
      mkdirSync(folder, { recursive: true });
      return true;
    } catch {
      return false;
    }
  });
}

function removeEmpty(folder: string): boolean {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) removeEmpty(join(folder, entry.name));
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}

/** The processes of a group and of all groups below it. */
function processesIn(folder: string): number[] {
  try {
    const own = readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
    const below = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...own, ...below.flatMap((entry) => processesIn(join(folder, entry.name)))];
  } catch {
    // Another hand removes it at this moment.
    return [];
  }
}

/**
 * Removes a group with all below it, and ends what is in it still: a machine whose init was killed may leave a process
 * that writes to a disk, and that goes when its writing is done.
 * @throws LabError when a process in it does not end
 */
export async function removeGroup(folder: string): Promise<void> {
  const removed = await poll(
    patience,
    () => {
      if (removeEmpty(folder)) return true;
      for (const pid of processesIn(folder)) {
        const known = processName(pid);
        if (known !== null) signal(known, "SIGKILL");
      }
      return null;
    },
    0.2,
  );
  if (removed !== null) return;
  const left = processesIn(folder)
    .map((pid) => `${pid}${commandOf(pid)}`)
    .join(", ");
  throw new LabError(
    `the control group ${folder} cannot be removed after ${patience} s: ${left === "" ? "the kernel keeps it" : `in it are the processes ${left}`}`,
  );
}

function commandOf(pid: number): string {
  try {
    return ` (${readFileSync(`/proc/${pid}/comm`, "utf8").trim()})`;
  } catch {
    return "";
  }
}

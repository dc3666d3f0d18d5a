/**
 * Control groups of machines. The init of a machine makes a group for each of its units, named like the unit, below the
 * group that systemd-nspawn was started in. Two machines started in one group would make and remove each other's: a
 * service then ends with "Failed at step CGROUP", or is waited for although it has ended.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { LabError, poll } from "./command.ts";

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

/**
 * Removes a group with all below it.
 * @throws LabError when there are processes in it still
 */
export async function removeGroup(folder: string): Promise<void> {
  if ((await poll(5, () => (removeEmpty(folder) ? true : null), 0.2)) === null)
    throw new LabError(`the control group ${folder} cannot be removed: there are processes in it`);
}

/** What labs leave on the host: looked at before and after. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { groupFolders } from "../../src/lab/cgroup.ts";
import { run as hostCommand, must, poll } from "../../src/lab/command.ts";
import { ledgerFile } from "../../src/lab/ledger.ts";

/** The command lines of all processes that have one. */
export function processes(): string[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      } catch {
        return "";
      }
    })
    .filter((line) => line !== "");
}

/**
 * What there is on the host, one thing a line: links, tables of nftables, mounts, processes, control groups, names that
 * tools of labs make, and all files below some folders.
 */
export async function snapshot(folders: readonly string[]): Promise<string[]> {
  const links = (await must(["ip", "-o", "-br", "link"])).split("\n").map((line) => line.split(/[ @]/)[0]);
  const tables = (await must(["nft", "list", "tables"])).split("\n");
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4]);
  const places = ["/run/netns", "/run/systemd/nspawn/propagate", tmpdir(), ...groupFolders("x").map(dirname)];
  const names = places.flatMap((folder) =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [],
  );
  // Not into the machines' roots, which are mounts.
  const found = await Promise.all(folders.map((folder) => hostCommand(["find", folder, "-xdev"])));
  const files = found.flatMap(({ stdout }) => stdout.split("\n"));
  return [...links, ...tables, ...mounts, ...names, ...processes(), ...files]
    .filter((line) => line !== undefined && line !== "")
    .map(String)
    .sort();
}

/**
 * The lines that a snapshot has beyond another one, of this test's labs alone, for others' run beside them.
 * @param marks what every name has that is ours: folders, and the labs' ids
 */
export function beyond(
  after: readonly string[],
  before: readonly string[],
  marks: readonly string[],
): string[] {
  return after.filter((line) => !before.includes(line) && marks.some((mark) => line.includes(mark)));
}

/**
 * What labs have left: nothing, as soon as nothing is there. What has been told to end may need a moment for it, and
 * on a busy host that is long.
 */
export async function left(
  folders: readonly string[],
  before: readonly string[],
  marks: readonly string[],
): Promise<string[]> {
  let found: string[] = [];
  await poll(
    180,
    async () => {
      found = beyond(await snapshot(folders), before, marks);
      return found.length === 0 ? true : null;
    },
    0.5,
  );
  return found;
}

/** The id of the lab in a folder, which is part of every name on the host; null where its ledger is not. */
export function idOf(folder: string): string | null {
  try {
    const [first = ""] = readFileSync(join(folder, ledgerFile), "utf8").split("\n");
    return (JSON.parse(first) as { id: string }).id;
  } catch {
    return null;
  }
}

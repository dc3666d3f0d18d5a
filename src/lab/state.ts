/** A lab's state file: what there is to know of it for whoever comes later, as the command that made it is gone. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LabError } from "./command.ts";
import type { LabDescription } from "./driver.ts";
import { alive, bootId, type ProcessName } from "./host.ts";
import { hostLinkPrefix, ledgerFile } from "./ledger.ts";

export interface LabState {
  readonly format: 1;
  readonly lab: LabDescription;
  /** Absolute path of the site file, or null for the built-in example. */
  readonly siteFile: string | null;
  /** How the driver runs, in the words of its inspection. */
  readonly how: string;
  readonly slowness: number;
  /** What a person must know to read the verdict rightly, such as another target than the site's. */
  readonly notices: readonly string[];
  /** In which bytes or facts the machines differ from production. */
  readonly differences: readonly string[];
  /** Milliseconds since 1970. */
  readonly began: number;
  /** The boot of the host that it belongs to: another one has left nothing of it but files. */
  readonly boot: string;
  /** The command that makes it, or waits for it; null when that came to its end in order. */
  readonly owner: ProcessName | null;
  /** `making`: networks and disks; `up`: its machines were switched on. */
  readonly phase: "making" | "up";
}

/** The name of the file in a lab's folder. */
export const stateFile = "state.json";

/** The folder of a site's lab. @param out the output folder, such as `build` */
export function labFolderOf(out: string, site: string): string {
  return join(out, site, "lab");
}

/** Writes a lab's state, whole or not at all; it is readable by its owner only. */
export function writeState(state: LabState): void {
  const { folder } = state.lab;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, stateFile);
  writeFileSync(`${path}.new`, `${JSON.stringify(state, null, 1)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/**
 * Reads the state of the lab in a folder.
 * @returns null when there is none
 * @throws LabError when there is one that cannot be read
 */
export function readState(folder: string): LabState | null {
  const path = join(folder, stateFile);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return null;
    throw new LabError(
      `${path} cannot be read: ${(error as Error).message}`,
      "labs of root are root's to see",
    );
  }
  try {
    const state = JSON.parse(text) as LabState;
    if (state.format === 1) return state;
  } catch {}
  throw new LabError(
    `${path} is damaged, or of another version of seedsmith`,
    "seedsmith lab down takes down what its ledger lists",
  );
}

/** Whether a lab stands in a folder, or something is left of one that has to be taken down. */
export function stands(folder: string): boolean {
  return [stateFile, ledgerFile].some((name) => existsSync(join(folder, name)));
}

/** The folders below an output folder in which a lab stands, or in which what `is` looks for does. */
export function findLabs(out: string, is: (folder: string) => boolean = stands): string[] {
  if (!existsSync(out)) return [];
  return readdirSync(out)
    .sort()
    .map((site) => labFolderOf(out, site))
    .filter(is);
}

/** An id that nothing on this host is named by. */
export function freshId(): string {
  for (;;) {
    const id = randomBytes(3).toString("hex");
    const names = [`/run/netns/seedsmith-${id}`, `/sys/class/net/${hostLinkPrefix}${id}`];
    if (!names.some((name) => existsSync(name))) return id;
  }
}

/** Whether the command that was making the lab was killed at it, or the host has been booted since. */
export function abandoned(state: LabState): string | null {
  if (state.boot !== bootId()) return "the host was booted since";
  if (state.owner !== null && !alive(state.owner))
    return `process ${state.owner.pid}, which was ${state.phase === "making" ? "making it" : "waiting for it"}, is gone`;
  return null;
}

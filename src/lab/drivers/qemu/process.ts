/**
 * qemu as a process that outlives the command that started it. A shell waits for it and writes down how it
 * ended, for nobody else of ours may be there then.
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { LabError, patience, poll } from "../../command.ts";
import { alive, type ProcessName, processName, signal } from "../../host.ts";
import type { Ledger } from "../../ledger.ts";
import { toolEnvironment } from "../../tools.ts";

interface Running {
  readonly shell: ProcessName;
  readonly qemu: ProcessName;
}

/** It begins when it is told to, so that none runs that no ledger knows: whoever is killed before tells nothing. */
export const shell = `read -r word || exit
"$@" </dev/null &
echo $! >pid.new && mv pid.new pid
exec 2>/dev/null
wait $!
echo $? >exit.new && mv exit.new exit`;

function names(folder: string): Running | null {
  try {
    return JSON.parse(readFileSync(join(folder, "process.json"), "utf8")) as Running;
  } catch {
    return null;
  }
}

/** The last lines that qemu itself printed. */
export function said(folder: string): string {
  try {
    return readFileSync(join(folder, "qemu.log"), "utf8").trimEnd().split("\n").slice(-6).join("\n");
  } catch {
    return "";
  }
}

/** The qemu of a folder while it runs, else null. */
export function running(folder: string): ProcessName | null {
  const found = names(folder);
  if (found === null) return null;
  return alive(found.qemu) || alive(found.shell) ? found.qemu : null;
}

/**
 * Starts a qemu whose files lie in a folder.
 * @throws LabError with what it printed when it ends at once, or when the lab is being taken down
 */
export async function launch(argv: readonly string[], folder: string, ledger: Ledger): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of ["pid", "exit", "stopped", "process.json"]) rmSync(join(folder, name), { force: true });
  const log = openSync(join(folder, "qemu.log"), "w", 0o600);
  const child = spawn("sh", ["-c", shell, "sh", ...argv], {
    cwd: folder,
    // Neither a terminal's Ctrl-C nor the end of this process ends it.
    detached: true,
    stdio: ["pipe", log, log],
    env: { ...toolEnvironment(), LC_ALL: "C" },
  });
  closeSync(log);
  const failed = new Promise<string>((resolve) =>
    child.on("error", (error) => resolve(`sh cannot be started: ${error.message}`)),
  );
  const own = child.pid === undefined ? null : processName(child.pid);
  child.unref();
  // Of a shell that is gone the log tells.
  child.stdin?.on("error", () => {});
  if (own === null) throw new LabError(await failed);
  try {
    // With qemu, whose number only the shell knows for a moment.
    ledger.note({ kind: "process", process: own, group: true });
    // Whoever takes the lab down says so first and then reads who is to be ended: one of us sees the other.
    if (ledger.closing) throw new LabError(`the lab in ${ledger.folder} is being taken down`);
    child.stdin?.end("begin\n");
  } catch (error) {
    child.stdin?.destroy();
    throw error;
  }
  const path = join(folder, "pid");
  const told = await poll(patience, () => (existsSync(path) || !alive(own) ? true : null), 0.02);
  const qemu = told !== null && existsSync(path) ? processName(Number(readFileSync(path, "utf8"))) : null;
  if (qemu === null) throw new LabError(`qemu does not start: ${said(folder)}`);
  ledger.note({ kind: "process", process: qemu });
  writeFileSync(join(folder, "process.json.new"), JSON.stringify({ shell: own, qemu }), { mode: 0o600 });
  renameSync(join(folder, "process.json.new"), join(folder, "process.json"));
}

/** How the qemu of a folder did. */
export type Ending =
  | { readonly kind: "never" }
  | { readonly kind: "running" }
  /** The machine was switched off, by itself or by us. */
  | { readonly kind: "off" }
  | { readonly kind: "died"; readonly reason: string };

const signals: Readonly<Record<number, string>> = {
  9: "SIGKILL",
  6: "SIGABRT",
  11: "SIGSEGV",
  15: "SIGTERM",
};

/** How it does, or did. */
export function ending(folder: string): Ending {
  if (running(folder) !== null) return { kind: "running" };
  if (existsSync(join(folder, "stopped"))) return { kind: "off" };
  if (names(folder) === null) return { kind: "never" };
  let status: number | null = null;
  try {
    status = Number(readFileSync(join(folder, "exit"), "utf8"));
  } catch {}
  if (status === 0) return { kind: "off" };
  const words = said(folder);
  const tail = words === "" ? "" : `: ${words}`;
  if (status === null) return { kind: "died", reason: `qemu is gone without a word${tail}` };
  return status > 128
    ? {
        kind: "died",
        reason: `qemu was ended by ${signals[status - 128] ?? `signal ${status - 128}`}${tail}`,
      }
    : { kind: "died", reason: `qemu ended with status ${status}${tail}` };
}

/** Ends it at once, so that it counts as switched off. @throws LabError when it does not end */
export async function stop(folder: string): Promise<void> {
  const found = names(folder);
  if (found === null || running(folder) === null) return;
  writeFileSync(join(folder, "stopped"), "");
  signal(found.qemu, "SIGKILL");
  const gone = await poll(patience, () => (running(folder) === null ? true : null), 0.05);
  if (gone === null) throw new LabError(`qemu, process ${found.qemu.pid}, does not end`);
}

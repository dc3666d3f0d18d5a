/** One process at a time, also after a kill or a power cut, when another process may have the old one's number. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** Names the process beyond its number, or null where the system does not tell. */
  readonly life: string | null;
}

/** This boot, and when in it the process began. */
function lifeOf(pid: number): string | null {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return `${boot} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
  } catch {
    return null;
  }
}

function lives({ pid, host, life }: Holder): boolean {
  if (host !== hostname()) return true;
  if (life !== null) return lifeOf(pid) === life;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Takes a lock file.
 * @returns how to give it back, or who holds it
 */
export function takeLock(path: string): { readonly free: () => void } | { readonly holder: string } {
  const own: Holder = { pid: process.pid, host: hostname(), life: lifeOf(process.pid) };
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(path, `${JSON.stringify(own)}\n`, { flag: "wx", mode: 0o600 });
      return { free: () => rmSync(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    let holder: Holder | null = null;
    try {
      holder = JSON.parse(readFileSync(path, "utf8")) as Holder;
    } catch {
      // Killed between making and filling it.
    }
    if (holder !== null && lives(holder)) return { holder: `process ${holder.pid} on ${holder.host}` };
    if (attempt > 0) return { holder: "another process" };
    rmSync(path, { force: true });
  }
}

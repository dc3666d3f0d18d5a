/** What the machine that runs a lab must offer, and what of it a lab needs to know. */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { LabError } from "./command.ts";
import type { Obstacle } from "./obstacle.ts";

/** The tools of a running lab and the Debian package of each. */
const tools: Readonly<Record<string, string>> = {
  "systemd-nspawn": "systemd-container",
  ip: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  sysctl: "procps",
  mount: "mount",
  umount: "mount",
};

/** Whether a program is in PATH. */
export function installed(tool: string, path: string = process.env.PATH ?? ""): boolean {
  for (const folder of path.split(delimiter)) {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {}
  }
  return false;
}

/**
 * Why nspawn labs cannot run here.
 * @param also further tools that are needed, with their Debian packages
 * @returns what to do about each; empty when they can
 */
export function hostObstacles(also: Readonly<Record<string, string>> = {}): Obstacle[] {
  if (process.platform !== "linux")
    return [{ message: "nspawn labs need Linux", hint: "choose another driver: --driver qemu" }];
  const found: Obstacle[] = [];
  if (process.getuid?.() !== 0)
    found.push({
      message: "nspawn labs need root: they make network namespaces and mounts",
      hint: "run it with sudo, or choose a driver that needs no root: --driver qemu",
    });
  const missing = Object.entries({ ...tools, ...also }).filter(([tool]) => !installed(tool));
  if (missing.length > 0) {
    const packages = [...new Set(missing.map(([, name]) => name))].join(" ");
    found.push({
      message: `not installed: ${missing.map(([tool]) => tool).join(", ")}`,
      hint: `apt-get install ${packages}`,
    });
  }
  if (!readFileSync("/proc/filesystems", "utf8").includes("overlay"))
    found.push({
      message: "the kernel has no overlay file system",
      hint: "modprobe overlay, or another kernel; or choose --driver qemu",
    });
  return found;
}

/** @throws LabError when nspawn labs cannot run here */
export function requireHost(also: Readonly<Record<string, string>> = {}): void {
  const obstacles = hostObstacles(also);
  if (obstacles.length > 0)
    throw new LabError(
      obstacles.map(({ message }) => message).join("; "),
      obstacles.map(({ hint }) => hint).join("; "),
    );
}

function nameservers(file: string): string[] {
  if (!existsSync(file)) return [];
  return [...readFileSync(file, "utf8").matchAll(/^nameserver\s+([0-9.]+)\s*$/gm)].map((match) => match[1]!);
}

/**
 * The IPv4 name server this machine itself asks, or null.
 *
 * systemd-resolved's stub answers nobody else, so behind it its upstream is taken.
 */
export function hostResolver(): string | null {
  const own = nameservers("/etc/resolv.conf");
  const asked = own.some((address) => address.startsWith("127.0.0.53"))
    ? nameservers("/run/systemd/resolve/resolv.conf")
    : own;
  return asked[0] ?? own[0] ?? null;
}

/**
 * When a process began (in clock ticks since boot, where Linux tells them): with its number a name that is never used twice.
 * @returns null when there is no such process (a zombie is none)
 */
export function processStart(pid: number): string | null {
  if (process.platform !== "linux") {
    const ps = spawnSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" });
    return ps.status === 0 ? ps.stdout.trim() || null : null;
  }
  try {
    // The command name in parentheses may hold blanks and parentheses, so count from the last one.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** MiB that new processes may take without swapping, or null where the kernel does not tell. */
export function availableMemory(): number | null {
  try {
    const found = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8"));
    return found === null ? null : Math.floor(Number(found[1]) / 1024);
  } catch {
    return null;
  }
}

/** Names this boot of the host; constant where the kernel does not tell. */
export function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "unknown";
  }
}

/** A process that cannot be confused with a later one of the same number. */
export interface ProcessName {
  readonly pid: number;
  readonly start: string;
}

/** Names a running process, or gives null when it is gone. */
export function processName(pid: number): ProcessName | null {
  const start = processStart(pid);
  return start === null ? null : { pid, start };
}

/** Whether it still runs. */
export function alive(name: ProcessName): boolean {
  return processStart(name.pid) === name.start;
}

/**
 * Sends a signal, unless the process is gone.
 * @param group whether it leads a process group, all of which is meant
 */
export function signal(name: ProcessName, which: NodeJS.Signals, group = false): void {
  if (!alive(name)) return;
  try {
    process.kill(group ? -name.pid : name.pid, which);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

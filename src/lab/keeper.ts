/**
 * The keeper of a machine: a process of its own, in a session of its own, that runs systemd-nspawn and starts it
 * again when the guest reboots, long after the command that switched the machine on is gone. It lives as long as
 * the machine is on, and tells in a file how that does.
 */
import { spawn } from "node:child_process";
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { groupFolders, makeGroups } from "./cgroup.ts";
import { must, patience, poll, run } from "./command.ts";
import { alive, type ProcessName, processName, signal } from "./host.ts";
import { Ledger, type Made, undoMade } from "./ledger.ts";
import { type Port, Router, type Segment } from "./router.ts";

/** What a keeper is told, as a file in its machine's folder. */
export interface Charge {
  /** The lab's folder. */
  readonly lab: string;
  readonly segments: readonly Segment[];
  /** The machine's network namespace, made anew for each boot. */
  readonly namespace: string;
  /** Begins the names of the router's ends of the machine's cables. */
  readonly prefix: string;
  readonly ports: readonly Port[];
  /** The arguments of systemd-nspawn. */
  readonly argv: readonly string[];
  /** What nspawn leaves behind where /run is not memory. */
  readonly leftovers: string;
}

/**
 * How the machine does. `off`: shut down by itself or in order. `dead`: nspawn ended without having been asked to;
 * `reason` tells more.
 */
export interface Power {
  readonly state: "off" | "running" | "restarting" | "dead";
  readonly reason: string;
  /** How often it was started, the guest's own reboots included. */
  readonly boots: number;
  readonly keeper: ProcessName | null;
  readonly nspawn: ProcessName | null;
  /** The machine's process 1; null until it has taken over from nspawn's own code. */
  readonly leader: ProcessName | null;
}

/** Names of files in a machine's folder. */
export const machineFiles = {
  charge: "charge.json",
  power: "power.json",
  console: "console.log",
  keeperLog: "keeper.log",
  /** While it is there the machine's end is no death, and a reboot is not followed. */
  stop: "stop",
} as const;

/** nspawn's exit status when the machine asks for a reboot. */
const rebootStatus = 133;

/** Reads how a machine does. @returns null before its first start */
export function readPower(folder: string): Power | null {
  try {
    return JSON.parse(readFileSync(join(folder, machineFiles.power), "utf8")) as Power;
  } catch {
    return null;
  }
}

/** nspawn ends by itself once its machine is dead. */
function nspawnProcess(process: ProcessName): Made {
  return { kind: "process", process, grace: 5 };
}

/** nspawn's child that is process 1 in the machine, as soon as its init has taken over from nspawn's own code. */
async function findLeader(namespace: string, nspawn: ProcessName): Promise<ProcessName | null> {
  const found = await run(["ip", "netns", "pids", namespace]);
  for (const pid of found.stdout.split("\n").filter(Boolean).map(Number)) {
    const named = processName(pid);
    let status = "";
    try {
      status = readFileSync(`/proc/${pid}/status`, "utf8");
    } catch {
      continue;
    }
    const field = (pattern: RegExp) => pattern.exec(status)?.[1];
    const name = field(/^Name:\t(.*)/m) ?? "";
    const started = name !== "systemd-nspawn" && !name.startsWith("(");
    const ours = Number(field(/^PPid:\t(\d+)/m)) === nspawn.pid && field(/^NSpid:\t.*\t(\d+)$/m) === "1";
    if (ours && started) return named;
  }
  return null;
}

/** Enters the control groups that come before `--`, then becomes systemd-nspawn with what comes after. */
const enterAndBoot = `until [ "$1" = -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec systemd-nspawn "$@"`;

class Keeper {
  readonly #folder: string;
  readonly #charge: Charge;
  readonly #ledger: Ledger;
  readonly #self: ProcessName;
  #boots: number;

  constructor(folder: string) {
    this.#folder = folder;
    this.#charge = JSON.parse(readFileSync(join(folder, machineFiles.charge), "utf8")) as Charge;
    this.#ledger = Ledger.open(this.#charge.lab);
    const self = processName(process.pid);
    if (self === null) throw new Error("a process that does not know itself");
    this.#self = self;
    this.#boots = readPower(folder)?.boots ?? 0;
  }

  async keep(): Promise<void> {
    const made: Made = { kind: "keeper", process: this.#self };
    this.#ledger.note(made);
    // Whoever takes the lab down says so first and then reads who is to be ended: one of us sees the other.
    if (this.#ledger.closing) return;
    let last: Power | null = null;
    try {
      do {
        last = await this.#boot();
      } while (last.state === "restarting");
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      last = this.#tell({
        state: "dead",
        reason: this.#boots > 1 ? `does not come back: ${reason}` : reason,
      });
    }
    // No keeper in the ledger is one that ended: its machine's last word must be there before.
    this.#ledger.strike(made);
  }

  get #stopping(): boolean {
    return existsSync(join(this.#folder, machineFiles.stop));
  }

  /** One boot, from the cables to nspawn's end. */
  async #boot(): Promise<Power> {
    const { namespace, prefix, ports, leftovers, argv, segments } = this.#charge;
    if (this.#stopping) return this.#tell({ state: "off" });
    const net: Made = { kind: "namespace", name: namespace };
    // A fresh one for each boot: what a guest leaves in it (bridges, rules) would not survive power off either.
    await undoMade(net);
    this.#ledger.note(net);
    await must(["ip", "netns", "add", namespace]);
    await Router.open(this.#ledger, segments).plug(namespace, prefix, ports);
    this.#ledger.note({ kind: "folder", path: leftovers });
    const folders = groupFolders(namespace);
    for (const path of folders) {
      await undoMade({ kind: "cgroup", path });
      this.#ledger.note({ kind: "cgroup", path });
    }
    const groups = makeGroups(folders);

    const console = openSync(join(this.#folder, machineFiles.console), "a", 0o600);
    const child = spawn("sh", ["-c", enterAndBoot, "sh", ...groups, "--", ...argv], {
      detached: true,
      stdio: ["ignore", console, console],
      env: { PATH: process.env.PATH, SYSTEMD_NSPAWN_API_VFS_WRITABLE: "network" },
    });
    closeSync(console);
    const ended = new Promise<{ status: number | null; how: string }>((resolve) => {
      child.on("error", (error) => resolve({ status: null, how: `systemd-nspawn: ${error.message}` }));
      child.on("exit", (status, killedBy) =>
        resolve({ status, how: `systemd-nspawn ended with ${killedBy ?? `status ${status}`}` }),
      );
    });
    this.#boots += 1;
    const nspawn = child.pid === undefined ? null : processName(child.pid);
    if (nspawn !== null) {
      this.#ledger.note(nspawnProcess(nspawn));
      this.#tell({ state: "running", nspawn });
      const leader = await Promise.race([
        poll(patience, async () =>
          alive(nspawn) ? await findLeader(namespace, nspawn) : ({ over: true } as const),
        ),
        ended.then(() => ({ over: true }) as const),
      ]);
      if (leader === null) {
        signal(nspawn, "SIGKILL");
        await ended;
        this.#ledger.strike(nspawnProcess(nspawn));
        return this.#tell({ state: "dead", reason: `no init process in it after ${patience} s` });
      }
      if (!("over" in leader)) this.#tell({ state: "running", nspawn, leader });
    }
    const { status, how } = await ended;
    if (nspawn !== null) this.#ledger.strike(nspawnProcess(nspawn));
    if (status === 0 || this.#stopping) return this.#tell({ state: "off" });
    if (status === rebootStatus) return this.#tell({ state: "restarting" });
    return this.#tell({ state: "dead", reason: how });
  }

  #tell(power: Partial<Power> & Pick<Power, "state">): Power {
    const whole: Power = {
      reason: "",
      boots: this.#boots,
      keeper: this.#self,
      nspawn: null,
      leader: null,
      ...power,
    };
    const path = join(this.#folder, machineFiles.power);
    writeFileSync(`${path}.new`, `${JSON.stringify(whole)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    return whole;
  }
}

/**
 * Keeps the machine in a folder until it is off.
 * @param folder with its charge
 */
export async function keep(folder: string): Promise<void> {
  // A terminal that goes away, or Ctrl-C in it, is not meant for the machine.
  for (const name of ["SIGHUP", "SIGINT"] as const) process.on(name, () => undefined);
  try {
    await new Keeper(folder).keep();
  } catch (error) {
    // A lab that was taken down meanwhile has no folder to write to, and needs no word.
    try {
      appendFileSync(
        join(folder, machineFiles.keeperLog),
        `${error instanceof Error ? error.stack : String(error)}\n`,
        { mode: 0o600 },
      );
    } catch {}
    process.exitCode = 1;
  }
}

/** Forgets the wish that the machine stops. */
export function unstop(folder: string): void {
  rmSync(join(folder, machineFiles.stop), { force: true });
}

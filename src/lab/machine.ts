/**
 * One machine: systemd-nspawn on an overlay of a base root, with a NoCloud seed laid where cloud-init looks.
 *
 * What such a machine lacks of a real one: no kernel, boot loader and disks of its own; no udev, so interfaces
 * are not renamed (they are made with their final names); time is the host's and cannot be set.
 */
import { spawn } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BaseRoot } from "./base-root.ts";
import { type Finished, LabError, must, patience, poll, type RunOptions, run, sleep } from "./command.ts";
import { consoleTail, plain } from "./console.ts";
import { eventLog, inWords, lastVerdict, type RunnerEvent, readEvents } from "./events.ts";
import { alive, type ProcessName, signal } from "./host.ts";
import { type Charge, machineFiles, type Power, readPower, unstop } from "./keeper.ts";
import { type Ledger, undoMade } from "./ledger.ts";
import { keepPackages, offerPackages } from "./package-cache.ts";
import type { Port, Router } from "./router.ts";
import type { Seed } from "./seed.ts";
import { mountsBelow, removeTree } from "./tree.ts";

/** A machine but for its disk. */
export interface MachineParts {
  /** Its name in the lab; the seed gives it its host name. */
  readonly name: string;
  readonly ports: readonly Port[];
  /** Capabilities beyond nspawn's own set and CAP_NET_ADMIN. */
  readonly capabilities?: readonly string[];
  /** Paths of the host that the machine sees at the same place (`/dev/kvm`). */
  readonly binds?: readonly string[];
}

export interface MachineOptions extends MachineParts {
  readonly seed: Seed;
}

/** What a machine needs of its lab. */
export interface Surroundings {
  readonly ledger: Ledger;
  readonly router: Router;
  /** Tells the machines of a lab apart in the names of links. */
  readonly index: number;
  /** Folder of downloaded packages, or null for none. */
  readonly packages: string | null;
}

/** As `Power` has it; `off` also before the first start. */
export type MachineState = Power["state"];

/** How first boot ended. */
export interface Verdict {
  /** `failed`: said so by the runner, or cloud-init ended without one; `died`: the machine is not running. */
  readonly outcome: "ready" | "failed" | "died" | "timeout";
  /** Seconds of waiting. */
  readonly seconds: number;
  /** The runner's last word, if it had one. */
  readonly event: RunnerEvent | null;
  /** One line for a person. */
  readonly reason: string;
}

export interface VerdictOptions {
  /** Seconds. */
  readonly timeout: number;
  /** Consider only what the runner says from now on, as after a power cycle of a machine that had failed. */
  readonly newOnly?: boolean;
  readonly onEvent?: (event: RunnerEvent) => void;
}

/** cloud-init's own result of this boot. */
export interface CloudInitResult {
  readonly datasource: string | null;
  readonly errors: readonly string[];
}

const guestEnvironment = [
  "HOME=/root",
  "LANG=C.UTF-8",
  "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  "TERM=dumb",
];

/** The command line of a keeper: of the built program, or from sources as this process runs them. */
function keeperCommand(folder: string): { argv: string[]; cwd: string } {
  const here = fileURLToPath(import.meta.url);
  const home = dirname(here);
  return here.endsWith(".ts")
    ? {
        argv: [process.execPath, ...process.execArgv, join(home, "keep.ts"), folder],
        cwd: join(home, "..", ".."),
      }
    : { argv: [process.execPath, join(home, "keep.js"), folder], cwd: "/" };
}

/**
 * A machine of a lab, made by `Lab.addMachine()`. It has no state of its own in this process: all is read from its
 * folder, so that whoever opens it later sees the same.
 */
export class Machine {
  readonly name: string;
  /** Host folder with its writable layer, console log and so on. */
  readonly folder: string;
  /** Host path of its root while the machine exists (without /run and /tmp, which are memory). */
  readonly root: string;
  readonly #options: MachineParts;
  readonly #around: Surroundings;
  readonly #upper: string;
  readonly #namespace: string;
  readonly #unique: string;
  #lastEvent: RunnerEvent | null = null;

  constructor(options: MachineParts, around: Surroundings) {
    if (!/^[a-z0-9][a-z0-9-]{0,40}$/.test(options.name))
      throw new LabError(`no name for a machine: ${options.name}`);
    this.name = options.name;
    this.#options = options;
    this.#around = around;
    this.folder = join(around.ledger.folder, "machines", options.name);
    this.root = join(this.folder, "root");
    this.#upper = join(this.folder, "upper");
    this.#unique = `${options.name}-${around.ledger.id}`;
    this.#namespace = `seedsmith-${around.ledger.id}-${options.name}`;
  }

  get #power(): Power | null {
    return readPower(this.folder);
  }

  get #stopping(): boolean {
    return existsSync(join(this.folder, machineFiles.stop));
  }

  get state(): MachineState {
    const power = this.#power;
    if (power === null || power.state === "off" || power.state === "dead") return power?.state ?? "off";
    if (power.keeper !== null && alive(power.keeper)) return power.state;
    // Somebody killed its keeper. The machine may well go on, but a reboot would be its end.
    if (power.leader !== null && alive(power.leader)) return "running";
    return this.#stopping ? "off" : "dead";
  }

  /** Why it is dead; empty otherwise. */
  get reason(): string {
    if (this.state !== "dead") return "";
    return this.#power?.reason || "the process that kept it was killed";
  }

  /** How often it was started, the guest's own reboots included. */
  get boots(): number {
    return this.#power?.boots ?? 0;
  }

  get #leader(): ProcessName | null {
    return this.#power?.leader ?? null;
  }

  /** What the machine printed on its console, over all boots. */
  get consoleLog(): string {
    return join(this.folder, machineFiles.console);
  }

  /** Makes its disk: an empty layer over the base root, with the seed. */
  async create(base: BaseRoot, seed: Seed): Promise<void> {
    const { ledger, packages } = this.#around;
    const work = join(this.folder, "work");
    for (const path of [this.#upper, work, this.root]) mkdirSync(path, { recursive: true, mode: 0o755 });
    if (packages !== null) offerPackages(packages, this.#upper);
    ledger.note({ kind: "mount", path: this.root });
    await must([
      "mount",
      "-t",
      "overlay",
      "-o",
      `lowerdir=${base.path},upperdir=${this.#upper},workdir=${work}`,
      "overlay",
      this.root,
    ]);
    this.laySeed(seed);
  }

  /** Puts a seed in place of the present one; cloud-init reads it at the next boot. */
  laySeed(seed: Seed): void {
    const folder = join(this.root, "var/lib/cloud/seed/nocloud");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const [name, content] of Object.entries(seed))
      writeFileSync(join(folder, name), content, { mode: 0o600 });
  }

  /**
   * Switches it on.
   * @throws LabError with the end of the console when it does not come up at all
   */
  async start(): Promise<void> {
    if (this.state === "running" || this.state === "restarting")
      throw new LabError(`${this.name} is on already`);
    const { ledger, router, index } = this.#around;
    const charge: Charge = {
      lab: ledger.folder,
      segments: router.segments,
      namespace: this.#namespace,
      prefix: `m${index}`,
      ports: this.#options.ports,
      leftovers: this.#leftovers,
      argv: [
        `--directory=${this.root}`,
        `--machine=${this.#unique}`,
        "--boot",
        "--quiet",
        "--register=no",
        "--keep-unit",
        // With "pipe" there is no /dev/console in the machine, and what units log there is lost.
        "--console=read-only",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        // A namespace prepared before is the one way to give interfaces their name and address before boot. nspawn
        // then does not know that it is private: it has to be told to leave CAP_NET_ADMIN and /proc/sys/net.
        `--network-namespace-path=/run/netns/${this.#namespace}`,
        `--capability=${["CAP_NET_ADMIN", ...(this.#options.capabilities ?? [])].join(",")}`,
        ...(this.#options.binds ?? []).map((path) => `--bind=${path}`),
      ],
    };
    writeFileSync(join(this.folder, machineFiles.charge), `${JSON.stringify(charge, null, 1)}\n`, {
      mode: 0o600,
    });
    unstop(this.folder);
    const before = this.boots;
    const { argv, cwd } = keeperCommand(this.folder);
    const [program = "", ...args] = argv;
    const log = openSync(join(this.folder, machineFiles.keeperLog), "a", 0o600);
    const keeper = spawn(program, args, { cwd, detached: true, stdio: ["ignore", log, log] });
    closeSync(log);
    let over = false;
    const ended = new Promise<void>((resolve) => {
      const end = (): void => {
        over = true;
        resolve();
      };
      keeper.on("exit", end).on("error", end);
    });
    // It outlives this process, and this process need not wait for it.
    keeper.unref();
    const up = (): true | null => {
      const power = this.#power;
      if (power === null || power.keeper?.pid !== keeper.pid || power.boots <= before) return null;
      return power.leader !== null || power.state === "restarting" ? true : null;
    };
    await Promise.race([poll(2 * patience, () => (over ? true : up())), ended]);
    if (up() === null) {
      throw new LabError(
        `${this.name} does not start: ${this.reason || "no init process"}\n${this.consoleTail(8).join("\n")}`,
      );
    }
  }

  get #leftovers(): string {
    return `/run/systemd/nspawn/propagate/${this.#unique}`;
  }

  /** From here on its end is no death, and a reboot is not followed. */
  #stop(): void {
    if (existsSync(this.folder)) writeFileSync(join(this.folder, machineFiles.stop), "");
  }

  /**
   * Shuts it down in order.
   * @param timeout seconds; then it is killed
   * @returns whether it went down by itself
   */
  async powerOff(timeout = 3 * patience): Promise<boolean> {
    this.#stop();
    await this.#settle();
    const nspawn = this.#power?.nspawn ?? null;
    if (nspawn === null || !alive(nspawn)) return await this.#waitOff(patience);
    signal(nspawn, "SIGTERM");
    if (await this.#waitOff(timeout)) return true;
    await this.kill();
    return false;
  }

  /** Cuts its power: every process in it ends at once, nothing is written back. */
  async kill(): Promise<void> {
    this.#stop();
    await this.#settle();
    // Killing nspawn would leave the machine running without it; killing the machine ends nspawn.
    if (this.#leader !== null) signal(this.#leader, "SIGKILL");
    if (await this.#waitOff(patience)) return;
    const nspawn = this.#power?.nspawn ?? null;
    if (nspawn !== null) signal(nspawn, "SIGKILL");
    if (!(await this.#waitOff(patience))) throw new LabError(`${this.name} cannot be killed`);
  }

  /** Waits until it is either off or has an init process that can be told to stop. */
  async #settle(): Promise<void> {
    await poll(patience + 5, () => {
      const power = this.#power;
      if (power === null || power.keeper === null || !alive(power.keeper)) return true;
      return power.state === "restarting" || (power.state === "running" && power.leader === null)
        ? null
        : true;
    });
  }

  /** Waits until neither the machine nor its keeper is there any more. */
  async #waitOff(timeout: number): Promise<boolean> {
    const gone = (name: ProcessName | null | undefined) => name == null || !alive(name);
    return (
      (await poll(timeout, () => {
        const power = this.#power;
        return gone(power?.keeper) && gone(power?.nspawn) && gone(power?.leader) ? true : null;
      })) === true
    );
  }

  /** Off and on again, in order. */
  async powerCycle(timeout = 3 * patience): Promise<void> {
    await this.powerOff(timeout);
    await this.start();
  }

  /** Reboots it from inside and waits until it is on its way up again. */
  async reboot(timeout = 5 * patience): Promise<void> {
    const before = this.boots;
    await this.exec(["systemctl", "reboot"]);
    const up = await poll(timeout, () =>
      this.state === "dead" || (this.boots > before && this.#leader !== null) ? true : null,
    );
    if (up === null || this.state === "dead")
      throw new LabError(
        `${this.name} does not reboot: ${this.reason || `still the same boot after ${timeout} s`}`,
      );
  }

  /**
   * The command line that runs a command in the machine as root.
   * @throws LabError when it is not on
   */
  entering(argv: readonly string[], env: Readonly<Record<string, string>> = {}): string[] {
    const leader = this.#leader;
    if (leader === null || !alive(leader)) throw new LabError(`${this.name} is not on`);
    const into = ["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"];
    const given = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    return [
      ...["nsenter", `--target=${leader.pid}`, ...into, "env", "-i", ...guestEnvironment, ...given],
      ...argv,
    ];
  }

  /**
   * Runs a command in the machine as root.
   * @returns its status and output
   * @throws LabError when the machine is not on, or after `timeout` seconds (60 unless told)
   */
  async exec(
    argv: readonly string[],
    options: Omit<RunOptions, "cwd" | "env"> & { readonly env?: Readonly<Record<string, string>> } = {},
  ): Promise<Finished> {
    const { env, timeout = 60, ...rest } = options;
    // Ended from inside: killing nsenter would leave the command running in the machine.
    const limited = ["timeout", "--kill-after=5", String(timeout), ...argv];
    const done = await run(this.entering(limited, env), { ...rest, timeout: timeout + 15 });
    if (done.status === 124) throw new LabError(`${this.name}: no end after ${timeout} s: ${argv.join(" ")}`);
    return done;
  }

  /** As `exec`, for commands that have to succeed. @returns stdout @throws LabError when one does not */
  async must(argv: readonly string[], options: Parameters<Machine["exec"]>[1] = {}): Promise<string> {
    const done = await this.exec(argv, options);
    if (done.status !== 0) {
      throw new LabError(
        `${this.name}: ${argv.join(" ")}: ${done.signal ?? `status ${done.status}`}\n${done.stderr.trim() || done.stdout.trim()}`,
      );
    }
    return done.stdout;
  }

  /** A file of the machine, or null; also when the machine is off, save below /run and /tmp. */
  readFile(path: string): string | null {
    const leader = this.#leader;
    const root = leader !== null && alive(leader) ? `/proc/${leader.pid}/root` : this.root;
    try {
      return readFileSync(join(root, path), "utf8");
    } catch {
      return null;
    }
  }

  /** The last lines of the console, without colours. */
  consoleTail(lines: number): string[] {
    return consoleTail(this.consoleLog, lines);
  }

  /** In a few words: the runner's last event, or how far the machine is without one. */
  progress(): string {
    if (this.state !== "running") return this.state;
    return this.#lastEvent === null
      ? (this.consoleTail(1)[0]?.trim().slice(0, 90) ?? "")
      : inWords(this.#lastEvent);
  }

  /** All events of the runner so far. */
  events(): RunnerEvent[] {
    const path = join(this.root, eventLog);
    return existsSync(path) ? readEvents(readFileSync(path)).events : [];
  }

  /**
   * Waits for the runner's verdict, through reboots of the guest. Ends at once when the machine dies or shuts
   * itself down, and soon when cloud-init has come to its end without a runner.
   */
  async waitVerdict(options: VerdictOptions): Promise<Verdict> {
    const begin = Date.now();
    const path = join(this.root, eventLog);
    const seen: RunnerEvent[] = [];
    let offset = options.newOnly === true && existsSync(path) ? statSync(path).size : 0;
    let orphaned = 0;
    const verdict = (outcome: Verdict["outcome"], event: RunnerEvent | null, reason: string): Verdict => ({
      outcome,
      seconds: (Date.now() - begin) / 1000,
      event,
      reason,
    });
    for (;;) {
      // Its state before the log: what it wrote before it died is then still read.
      const state = this.state;
      // The runner's state may be deleted at any time, the log with it.
      if (existsSync(path) && statSync(path).size < offset) offset = 0;
      const { events, bytes } = readEvents(readFrom(path, offset));
      offset += bytes;
      for (const event of events) {
        seen.push(event);
        this.#lastEvent = event;
        options.onEvent?.(event);
      }
      const last = lastVerdict(seen);
      if (last !== null) return verdict(last.event === "ready" ? "ready" : "failed", last, inWords(last));
      if (state === "dead" || state === "off")
        return verdict("died", null, `${this.name} is ${state}: ${this.reason || "it shut itself down"}`);
      const result = state === "running" && seen.length === 0 ? this.cloudInit() : null;
      // cloud-init's end and the runner's first word may come in either order, but not far apart.
      orphaned = result === null ? 0 : orphaned + 1;
      if (orphaned > 60)
        return verdict(
          "failed",
          null,
          `cloud-init ended without starting the runner: ${result?.errors.join("; ") || "no errors"}`,
        );
      if (Date.now() - begin > options.timeout * 1000) {
        return verdict("timeout", null, `no verdict after ${options.timeout} s; last: ${this.progress()}`);
      }
      await sleep(0.25);
    }
  }

  /** cloud-init's result of this boot, or null while it has none. */
  cloudInit(): CloudInitResult | null {
    const text = this.readFile("/run/cloud-init/result.json");
    if (text === null) return null;
    try {
      const value = JSON.parse(text) as { v1?: { datasource?: string | null; errors?: string[] } };
      return { datasource: value.v1?.datasource ?? null, errors: value.v1?.errors ?? [] };
    } catch {
      return null;
    }
  }

  /**
   * Waits until cloud-init has done all it does in this boot.
   * @throws LabError when the machine dies before, or after `timeout` seconds
   */
  async waitCloudInit(timeout: number): Promise<CloudInitResult> {
    const end = Date.now() + timeout * 1000;
    for (;;) {
      const state = this.state;
      const result = state === "running" ? this.cloudInit() : null;
      if (result !== null) return result;
      const trouble =
        state === "dead" || state === "off"
          ? `${state}: ${this.reason}`
          : Date.now() > end
            ? `no end of cloud-init after ${timeout} s`
            : null;
      if (trouble !== null)
        throw new LabError(`${this.name} is ${trouble}\n${this.consoleTail(12).join("\n")}`);
      await sleep(0.25);
    }
  }

  /**
   * The journal of its boots, whether it is on or off.
   * @param args for journalctl, such as `["-u", "ssh"]`
   */
  async journal(args: readonly string[] = []): Promise<string> {
    const folder = join(this.root, "var/log/journal");
    return (await run(["journalctl", "--no-pager", `--directory=${folder}`, ...args])).stdout;
  }

  /** Copies what tells of its life into a folder: console, journal, cloud-init's and the runner's logs. */
  async collect(folder: string): Promise<void> {
    mkdirSync(folder, { recursive: true });
    if (existsSync(this.consoleLog))
      writeFileSync(join(folder, "console.log"), plain(readFileSync(this.consoleLog, "utf8")));
    for (const path of ["/var/log/cloud-init.log", "/var/log/cloud-init-output.log", eventLog]) {
      const source = join(this.root, path);
      if (existsSync(source)) copyFileSync(source, join(folder, path.split("/").at(-1)!));
    }
    writeFileSync(join(folder, "journal.txt"), await this.journal(["-o", "short-iso"]));
  }

  /** Ends the machine and deletes its disk; its downloaded packages are kept for others. */
  async remove(): Promise<void> {
    await this.kill();
    const { ledger, packages } = this.#around;
    if (packages !== null && existsSync(this.#upper)) keepPackages(packages, this.#upper);
    for (const made of [
      { kind: "mount", path: this.root },
      { kind: "namespace", name: this.#namespace },
      { kind: "folder", path: this.#leftovers },
    ] as const) {
      await undoMade(made);
      ledger.strike(made);
    }
    if (mountsBelow(this.folder).length === 0) await removeTree(this.folder);
  }
}

function readFrom(path: string, offset: number): Buffer {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return Buffer.alloc(0);
  }
  try {
    const size = statSync(path).size - offset;
    if (size <= 0) return Buffer.alloc(0);
    const buffer = Buffer.alloc(size);
    return buffer.subarray(0, readSync(file, buffer, 0, size, offset));
  } finally {
    closeSync(file);
  }
}

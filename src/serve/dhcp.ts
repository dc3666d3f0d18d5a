/** The DHCP and TFTP server beside the boot server: dnsmasq itself, started, watched and ended. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";

export interface SupervisedOptions {
  /** For messages, such as `dnsmasq`. */
  readonly name: string;
  readonly argv: readonly string[];
  /** Remembers the process, so that one that outlived a kill of its supervisor is found. */
  readonly pidFile: string;
  readonly note: (line: string) => void;
  /** Called with each line that it prints. */
  readonly line?: (line: string) => void;
  /** Ms between its death and its next start; more with each death in a row. */
  readonly pause?: number;
  /** Ms that it must live for its death not to count as one in a row. */
  readonly steady?: number;
  /** Deaths in a row after which it is left dead. */
  readonly deaths?: number;
}

/** How a supervised process does. */
export type Health = "starting" | "running" | "dead" | "ended";

/** A process that is started again when it dies. Its deaths are said, and the last of them stays to be seen. */
export class Supervised {
  readonly #options: SupervisedOptions;
  #child: ChildProcess | null = null;
  #health: Health = "starting";
  #why = "";
  #deaths = 0;
  #timer: NodeJS.Timeout | null = null;
  readonly #said: string[] = [];

  constructor(options: SupervisedOptions) {
    this.#options = options;
  }

  get health(): Health {
    return this.#health;
  }

  /** Why it is dead, or died last; empty before. */
  get why(): string {
    return this.#why;
  }

  /** The lines that it printed last. */
  get said(): readonly string[] {
    return this.#said;
  }

  /** Ends what an earlier supervisor left behind, and starts it. */
  start(): void {
    this.#endLeftover();
    this.#spawn();
  }

  /** Ends it; resolves when it is gone. */
  async end(): Promise<void> {
    this.#health = "ended";
    if (this.#timer !== null) clearTimeout(this.#timer);
    const child = this.#child;
    if (child !== null && child.exitCode === null && child.signalCode === null) {
      await new Promise<void>((done) => {
        const hard = setTimeout(() => child.kill("SIGKILL"), 3000);
        child.once("close", () => {
          clearTimeout(hard);
          done();
        });
        child.kill("SIGTERM");
      });
    }
    rmSync(this.#options.pidFile, { force: true });
  }

  #spawn(): void {
    const { argv, pidFile, steady = 10_000 } = this.#options;
    const [program = "", ...args] = argv;
    const began = performance.now();
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], cwd: "/" });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (text: string) => {
        const lines = (rest + text).split("\n");
        rest = (lines.pop() ?? "").slice(-2000);
        for (const line of lines) this.#heard(line);
      });
      stream.on("end", () => {
        if (rest !== "") this.#heard(rest);
      });
    }
    child.once("spawn", () => {
      if (this.#health !== "ended") this.#health = "running";
      if (child.pid !== undefined)
        writeFileSync(pidFile, `${child.pid}\n${argv.join("\0")}\n`, { mode: 0o600 });
    });
    let over = false;
    const died = (how: string): void => {
      if (over || this.#health === "ended") return;
      over = true;
      this.#deaths = performance.now() - began > steady ? 1 : this.#deaths + 1;
      this.#died(how);
    };
    child.once("error", (error: NodeJS.ErrnoException) =>
      died(error.code === "ENOENT" ? `${program} is not installed` : error.message),
    );
    child.once("close", (status, signal) => {
      const last = this.#said.at(-1);
      died(`${signal ?? `exit status ${status}`}${last === undefined ? "" : `: ${last}`}`);
    });
  }

  #heard(line: string): void {
    if (line.trim() === "") return;
    this.#said.push(line.slice(0, 500));
    if (this.#said.length > 20) this.#said.shift();
    this.#options.line?.(line);
  }

  #died(how: string): void {
    const { name, note, pause = 1000, deaths = 5 } = this.#options;
    this.#health = "dead";
    this.#why = how;
    if (this.#deaths >= deaths) {
      note(`${name} has died ${this.#deaths} times in a row, and is left dead: ${how}`);
      return;
    }
    const wait = pause * 2 ** (this.#deaths - 1);
    note(`${name} died (${how}); it is started again in ${Math.ceil(wait / 1000)} s`);
    this.#timer = setTimeout(() => this.#spawn(), wait);
  }

  /** A supervisor that was killed could not end its child, which still has its ports. */
  #endLeftover(): void {
    const { name, pidFile, note } = this.#options;
    try {
      const [pid = "", command = ""] = readFileSync(pidFile, "utf8").split("\n");
      // Another process may have its number by now.
      if (command === "" || readFileSync(`/proc/${pid}/cmdline`, "utf8") !== `${command}\0`) return;
      process.kill(Number(pid), "SIGKILL");
      note(`ended a ${name} that an earlier run had left`);
      for (let look = 0; look < 100; look++) {
        readFileSync(`/proc/${pid}/cmdline`);
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
        if (readFileSync(`/proc/${pid}/cmdline`, "utf8") === "") return;
      }
    } catch {
      // There is none.
    }
  }
}

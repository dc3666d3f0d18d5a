/** The site of this folder, rendered and served on a segment of its own, and the machines that are switched on there. */
import type { ChildProcess } from "node:child_process";
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { must } from "../../src/lab/command.ts";
import type { NodeDetails, SiteStatus } from "../../src/serve/status.ts";
import { Machine, type MachineChoice } from "./machine.ts";
import { Segment } from "./segment.ts";
import { standIn } from "./stand-in.ts";

const repository = join(import.meta.dirname, "..", "..");
const cli = join(repository, "dist", "cli.js");
/** Where the stand-in and packages are kept between runs. */
const cache = process.env["SEEDSMITH_CACHE"] ?? join(repository, ".cache");
const address = "10.61.0.250";

/** How often the server is asked how a node does, in ms. */
const beat = 2000;

export class ServedSite {
  readonly #folder: string;
  readonly #segment: Segment;
  readonly #server: ChildProcess;
  readonly #machines: Machine[] = [];
  readonly #progress: (line: string) => void;
  #ended = false;

  private constructor(
    folder: string,
    segment: Segment,
    server: ChildProcess,
    progress: (line: string) => void,
  ) {
    this.#folder = folder;
    this.#segment = segment;
    this.#server = server;
    this.#progress = progress;
  }

  /**
   * Renders the site, brings its assets, and serves it with DHCP.
   * @param nodes the nodes that are rendered and served: the others' loaders are not needed then
   */
  static async up(progress: (line: string) => void): Promise<ServedSite> {
    const made = await standIn(cache, progress);
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-pxe-"));
    cpSync(join(import.meta.dirname, "site"), folder, { recursive: true });
    symlinkSync(dirname(made.kernel), join(folder, "stand-in"));
    const env = { ...process.env, SEEDSMITH_CACHE: cache };
    for (const command of [["render"], ["pxe", "assets"]])
      await must([process.execPath, cli, ...command], { cwd: folder, env, timeout: 600 });
    const segment = new Segment(`${address}/24`);
    await segment.up(folder);
    const log = openSync(join(folder, "serve.log"), "a");
    const server = segment.start([process.execPath, cli, "serve", "--dhcp"], { cwd: folder, log });
    closeSync(log);
    const site = new ServedSite(folder, segment, server, progress);
    process.once("exit", () => site.#kill());
    const begin = Date.now();
    while ((await site.status().catch(() => null)) === null) {
      if (server.exitCode !== null || Date.now() - begin > 600_000)
        throw new Error(`the boot server does not answer:\n${site.log()}`);
      await pause(500);
    }
    progress(`the boot server answers on ${segment.namespace}`);
    return site;
  }

  async #get<T>(path: string): Promise<T> {
    const argv = [
      "curl",
      "--silent",
      "--show-error",
      "--fail",
      "--max-time",
      "20",
      `http://${address}${path}`,
    ];
    return JSON.parse(await this.#segment.run(argv)) as T;
  }

  /** The status page's data. */
  async status(): Promise<SiteStatus> {
    return await this.#get("/status.json");
  }

  /** The same of one node, with what happened to it. */
  async details(node: string): Promise<NodeDetails> {
    return await this.#get(`/status/nodes/${node}.json`);
  }

  /** What server, DHCP and TFTP have said. */
  log(): string {
    return readFileSync(join(this.#folder, "serve.log"), "utf8");
  }

  /** Switches a machine with an empty disk on. */
  async start(choice: MachineChoice): Promise<Machine> {
    const machine = new Machine(choice, this.#folder, this.#segment);
    this.#machines.push(machine);
    await machine.start();
    return machine;
  }

  /**
   * Waits until something is seen, and says each stage that a node comes to.
   * @param patience ms
   * @throws Error with the ends of all logs when it is not seen in time, or cannot be any more
   */
  async until<T>(
    what: string,
    machine: Machine,
    node: string | null,
    patience: number,
    seen: (status: SiteStatus) => T | null,
  ): Promise<T> {
    const begin = Date.now();
    let stage = "";
    for (;;) {
      // On a busy host one answer may not come in time; what matters is whether they come.
      const status = await this.status().catch(() => null);
      const known = status?.nodes.find((one) => one.node === node);
      if (known !== undefined && known.stage !== stage) {
        stage = known.stage;
        this.#progress(`${Math.round((Date.now() - begin) / 1000)} s: ${stage}`);
      }
      const found = status === null ? null : seen(status);
      if (found !== null) return found;
      const late = Date.now() - begin > patience;
      if (late || !machine.on || this.#server.exitCode !== null || stage === "failed")
        throw new Error(
          [
            `${machine.name} did not come to ${what}: ${late ? "too late" : machine.on ? `it is ${stage}` : "it is off"}`,
            `console:\n${machine.console().slice(-6000)}`,
            `server:\n${this.log().slice(-4000)}`,
            `state:\n${JSON.stringify(known, null, 1)}`,
          ].join("\n"),
        );
      await pause(beat);
    }
  }

  /** What can still be done when this process is broken off. */
  #kill(): void {
    if (this.#ended) return;
    this.#segment.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Ends all of it. With SEEDSMITH_KEEP set to a folder, consoles and logs are left there. */
  async down(): Promise<void> {
    for (const machine of this.#machines) machine.stop();
    const ended = new Promise((done) => this.#server.once("close", done));
    if (this.#server.exitCode === null && this.#server.kill("SIGTERM")) await ended;
    await this.#segment.down();
    this.#ended = true;
    const keep = process.env["SEEDSMITH_KEEP"];
    if (keep !== undefined) {
      mkdirSync(keep, { recursive: true });
      cpSync(join(this.#folder, "serve.log"), join(keep, `${this.#machines[0]?.name ?? "none"}.serve.log`));
      for (const machine of this.#machines) machine.keep(keep);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function pause(ms: number): Promise<void> {
  await new Promise((done) => setTimeout(done, ms));
}

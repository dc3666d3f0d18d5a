/**
 * A virtual machine beside a lab's containers, on the same networks: for nodes that need a kernel of their own (device
 * mapper, openvswitch), while the others run at native speed.
 */
import { createHash } from "node:crypto";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Finished, LabError, must, poll, run } from "../../src/lab/command.ts";
import { type Cable, diskCommand, machineArguments } from "../../src/lab/drivers/qemu/arguments.ts";
import { controlling } from "../../src/lab/drivers/qemu/control.ts";
import { launch, running, stop } from "../../src/lab/drivers/qemu/process.ts";
import { makeKey, remoteCommand, type Way } from "../../src/lab/drivers/qemu/ssh.ts";
import { eventLog, inWords, lastVerdict, type RunnerEvent, readEvents } from "../../src/lab/events.ts";
import { obtainImage } from "../../src/lab/images/obtain.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { Ledger } from "../../src/lab/ledger.ts";
import { cache, say } from "./lab.ts";

export interface VirtualOptions {
  readonly name: string;
  /** The folder of its rendered seed. */
  readonly seed: string;
  /** Its management address. */
  readonly address: string;
  /** Network and MAC address of each card. */
  readonly cards: readonly { readonly segment: string; readonly mac: string }[];
  readonly cpus: number;
  /** MiB. */
  readonly memory: number;
  /** GiB of the system's disk. */
  readonly disk: number;
  /** More disks, empty: `/dev/disk/by-id/virtio-<serial>`, GiB. */
  readonly data?: Readonly<Record<string, number>>;
}

/** A node as a qemu machine on the lab's bridges. It goes with the lab. */
export class Virtual {
  readonly name: string;
  readonly folder: string;
  readonly #lab: Lab;
  readonly #options: VirtualOptions;
  readonly #taps: readonly string[];

  private constructor(lab: Lab, options: VirtualOptions) {
    this.name = options.name;
    this.folder = join(lab.folder, "virtual", options.name);
    this.#lab = lab;
    this.#options = options;
    const tag = createHash("sha256").update(options.name).digest("hex").slice(0, 6);
    this.#taps = options.cards.map((_, index) => `v${tag}n${index}`);
  }

  /** Makes the machine's disks and cables, switched off. */
  static async make(lab: Lab, options: VirtualOptions): Promise<Virtual> {
    const machine = new Virtual(lab, options);
    mkdirSync(machine.folder, { recursive: true, mode: 0o700 });
    const image = await obtainImage(
      { name: "debian-12", family: "debian", version: "12", codename: "bookworm" },
      cache,
      (line) => say(`image: ${line}`),
    );
    await must(diskCommand(join(machine.folder, "disk.qcow2"), image, options.disk));
    for (const [serial, size] of Object.entries(options.data ?? {}))
      await must([
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        join(machine.folder, `${serial}.qcow2`),
        `${size}G`,
      ]);
    copyFileSync(join(options.seed, "seed.iso"), join(machine.folder, "seed.iso"));
    chmodSync(join(machine.folder, "seed.iso"), 0o600);
    await makeKey(machine.folder, `seedsmith lab ${lab.id}`);
    const lines = options.cards.flatMap(({ segment }, index) => {
      const bridge = lab.router.segments.findIndex(({ name }) => name === segment);
      if (bridge < 0) throw new LabError(`the lab has no segment ${segment}`);
      return [
        `tuntap add ${machine.#taps[index]} mode tap`,
        `link set ${machine.#taps[index]} master br${bridge} up`,
      ];
    });
    await must(["ip", "-n", lab.router.namespace, "-batch", "-"], { stdin: `${lines.join("\n")}\n` });
    return machine;
  }

  get console(): string {
    return join(this.folder, "console.log");
  }

  get #control(): string {
    return join(this.folder, "q");
  }

  get on(): boolean {
    return running(this.folder) !== null;
  }

  /** Switches it on. */
  async start(): Promise<void> {
    const { cards, cpus, memory, data = {} } = this.#options;
    const argv = machineArguments({
      title: `seedsmith-${this.#lab.id}-${this.name}`,
      accelerator: "tcg",
      cpus,
      memory,
      firmware: null,
      disk: join(this.folder, "disk.qcow2"),
      seed: join(this.folder, "seed.iso"),
      console: this.console,
      control: this.#control,
      interfaces: cards.map(({ mac }, index) => {
        const cable: Cable = { kind: "tap", name: this.#taps[index] as string };
        return { mac, cable };
      }),
      credentials: { "ssh.authorized_keys.root": readFileSync(join(this.folder, "key.pub"), "utf8") },
    });
    const disks = Object.keys(data).flatMap((serial) => [
      "-drive",
      `if=none,id=${serial},format=qcow2,file=${join(this.folder, `${serial}.qcow2`)}`,
      "-device",
      `virtio-blk-pci,drive=${serial},serial=${serial}`,
    ]);
    await launch(this.#lab.router.command([...argv, ...disks]), this.folder, Ledger.open(this.#lab.folder));
  }

  get #way(): Way {
    return {
      within: this.#lab.router.command([]),
      host: this.#options.address,
      port: 22,
      user: "root",
      key: join(this.folder, "key"),
      known: join(this.folder, "known_hosts"),
      shared: join(this.folder, "s"),
    };
  }

  /** Runs a command as root. @param timeout seconds */
  async exec(argv: readonly string[], timeout = 120): Promise<Finished> {
    return await run(remoteCommand(this.#way, argv), { timeout });
  }

  /** Runs a command that has to succeed. @returns what it printed */
  async must(argv: readonly string[], timeout = 120): Promise<string> {
    const done = await this.exec(argv, timeout);
    if (done.status !== 0)
      throw new LabError(
        `${this.name}: ${argv.join(" ")}: status ${done.status}\n${done.stdout}${done.stderr}`,
      );
    return done.stdout.trim();
  }

  /** All events of the runner so far; none while it cannot be reached. */
  async events(): Promise<readonly RunnerEvent[]> {
    const done = await this.exec(["cat", eventLog], 90).catch(() => null);
    return done === null || done.status !== 0 ? [] : readEvents(Buffer.from(done.stdout)).events;
  }

  /** Waits for the first boot's verdict. @param timeout seconds @returns it, or null when time ran out or it died */
  async verdict(timeout: number): Promise<RunnerEvent | null> {
    let told = "";
    const found = await poll(
      timeout,
      async () => {
        if (!this.on) return "dead" as const;
        const events = await this.events();
        const last = events.at(-1);
        const line = last === undefined ? "" : inWords(last).slice(0, 100);
        if (line !== told && line !== "") say(`${this.name}: ${line}`);
        told = line;
        return lastVerdict(events);
      },
      5,
    );
    return found === "dead" ? null : found;
  }

  /** Presses the power button until it is off. @returns false when it had to be killed */
  async powerOff(timeout = 300): Promise<boolean> {
    await run(["ssh", "-o", `ControlPath=${this.#way.shared}`, "-O", "exit", "x"], { timeout: 10 }).catch(
      () => {},
    );
    const off = await poll(
      timeout,
      async () => {
        if (!this.on) return true;
        if (existsSync(this.#control))
          await controlling(this.#control, (qemu) => qemu.run("system_powerdown")).catch(() => {});
        return null;
      },
      5,
    );
    if (off !== true) await stop(this.folder);
    return off === true;
  }

  /** Cuts the power. */
  async kill(): Promise<void> {
    await stop(this.folder);
  }
}

/** A lab: a router with segments, and machines plugged into them. */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { BaseRoot } from "./base-root.ts";
import { type Finished, LabError, type RunOptions, run } from "./command.ts";
import { requireHost } from "./host.ts";
import { destroyLab, Ledger, labFolder } from "./ledger.ts";
import { Machine, type MachineOptions } from "./machine.ts";
import { Router, type Segment } from "./router.ts";

export interface LabOptions {
  /** Cache folder; the lab's state and the machines' disks lie there too. Not on an overlay file system. */
  readonly cache: string;
  readonly base: BaseRoot;
  /** Up to 8 characters of a-z and 0-9; made up when left out. */
  readonly id?: string;
  /** Keep downloaded packages for later machines; true unless told. */
  readonly keepPackages?: boolean;
}

export class Lab {
  readonly id: string;
  readonly folder: string;
  readonly router: Router;
  readonly #options: LabOptions;
  readonly #ledger: Ledger;
  readonly #machines: Machine[] = [];

  private constructor(options: LabOptions, ledger: Ledger, router: Router) {
    this.id = ledger.id;
    this.folder = ledger.folder;
    this.router = router;
    this.#options = options;
    this.#ledger = ledger;
  }

  /**
   * Makes a lab without segments and machines.
   * @throws LabError when this host cannot run one
   */
  static async create(options: LabOptions): Promise<Lab> {
    requireHost();
    const id = options.id ?? randomBytes(3).toString("hex");
    if (!/^[a-z0-9]{1,8}$/.test(id))
      throw new LabError(`no id for a lab: ${id}`, "up to 8 characters of a-z and 0-9");
    mkdirSync(options.cache, { recursive: true });
    const ledger = Ledger.begin(id, labFolder(options.cache, id));
    try {
      return new Lab(options, ledger, await Router.create(ledger));
    } catch (error) {
      await destroyLab(options.cache, id);
      throw error;
    }
  }

  get machines(): readonly Machine[] {
    return this.#machines;
  }

  /** Adds a network. */
  async addSegment(segment: Segment): Promise<void> {
    await this.router.addSegment(segment);
  }

  /** Adds a machine, with its disk and seed, switched off. */
  async addMachine(options: MachineOptions): Promise<Machine> {
    if (this.#machines.some(({ name }) => name === options.name))
      throw new LabError(`the lab has a machine ${options.name} already`);
    const { base, cache, keepPackages } = this.#options;
    const packages =
      keepPackages === false ? null : join(cache, "packages", `debian-${base.release}-${base.architecture}`);
    const machine = new Machine(options, {
      ledger: this.#ledger,
      router: this.router,
      base,
      index: this.#machines.length,
      packages,
    });
    this.#machines.push(machine);
    await machine.create();
    return machine;
  }

  /** Runs a command on the lab's router: what somebody outside of the machines, on their networks, would see. */
  async outside(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
    return await run(this.router.command(argv), { timeout: 60, ...options });
  }

  /** Copies all machines' logs into a folder, one below it for each. */
  async collect(folder: string): Promise<void> {
    for (const machine of this.#machines) await machine.collect(join(folder, machine.name));
  }

  /** Lets it stand when this process ends, for a person to look at; `destroyLab` takes it down later. */
  leaveStanding(): void {
    this.#ledger.disown();
  }

  /** Ends everything and leaves nothing behind but downloaded packages. May be called twice. */
  async destroy(): Promise<void> {
    for (const machine of this.#machines.splice(0)) await machine.remove();
    await destroyLab(this.#options.cache, this.id);
  }
}

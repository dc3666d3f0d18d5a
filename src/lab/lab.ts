/** A lab: a router with segments, and machines plugged into them. */
import { randomBytes } from "node:crypto";
import { arch } from "node:os";
import { join } from "node:path";
import type { BaseRoot } from "./base-root.ts";
import { type Finished, LabError, type RunOptions, run } from "./command.ts";
import { requireHost } from "./host.ts";
import { destroyLab, Ledger, labFolder } from "./ledger.ts";
import { Machine, type MachineOptions, type MachineParts } from "./machine.ts";
import { Router, type Segment } from "./router.ts";

export interface LabOptions {
  /** Cache folder. Not on an overlay file system, when the lab's own folder is below it. */
  readonly cache: string;
  /** What machines are made of for which nothing else is named. */
  readonly base?: BaseRoot;
  /** Up to 8 characters of a-z and 0-9; made up when left out. */
  readonly id?: string;
  /** Keep downloaded packages for later machines; true unless told. */
  readonly keepPackages?: boolean;
}

/** A machine of a lab that stands. */
export interface OpenMachine extends MachineParts {
  /** Code name of its system's release. */
  readonly release: string;
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
   * Makes a lab without segments and machines, in a folder of the cache.
   * @throws LabError when this host cannot run one
   */
  static async create(options: LabOptions): Promise<Lab> {
    requireHost();
    const id = options.id ?? randomBytes(3).toString("hex");
    if (!/^[a-z0-9]{1,8}$/.test(id))
      throw new LabError(`no id for a lab: ${id}`, "up to 8 characters of a-z and 0-9");
    const ledger = Ledger.begin(id, labFolder(options.cache, id));
    try {
      return await Lab.in(ledger, options);
    } catch (error) {
      await destroyLab(options.cache, id);
      throw error;
    }
  }

  /** Where packages of a release are kept between machines. @param release its code name */
  static packages(cache: string, release: string): string {
    return join(cache, "packages", `debian-${release}-${arch()}`);
  }

  /** Makes a lab in the folder of a ledger that was just begun; undoing it is left to the caller. */
  static async in(ledger: Ledger, options: LabOptions): Promise<Lab> {
    return new Lab(options, ledger, await Router.create(ledger));
  }

  /**
   * The lab that stands in a folder, as another process made it.
   * @param segments in the order in which they were added, as are the machines
   * @throws LabError when there is none
   */
  static open(
    folder: string,
    cache: string,
    segments: readonly Segment[],
    machines: readonly OpenMachine[],
  ): Lab {
    const ledger = Ledger.open(folder);
    const lab = new Lab({ cache }, ledger, Router.open(ledger, segments));
    for (const { release, ...parts } of machines) lab.#machine(parts, Lab.packages(cache, release));
    return lab;
  }

  get machines(): readonly Machine[] {
    return this.#machines;
  }

  /** Adds a network. */
  async addSegment(segment: Segment): Promise<void> {
    await this.router.addSegment(segment);
  }

  /**
   * Adds a machine, with its disk and seed, switched off.
   * @param base what it is made of; the lab's own unless told
   */
  async addMachine(options: MachineOptions, base = this.#options.base): Promise<Machine> {
    if (base === undefined) throw new Error("a machine is made of a base root");
    const { cache, keepPackages } = this.#options;
    const machine = this.#machine(options, keepPackages === false ? null : Lab.packages(cache, base.release));
    await machine.create(base, options.seed);
    return machine;
  }

  #machine(parts: MachineParts, packages: string | null): Machine {
    if (this.#machines.some(({ name }) => name === parts.name))
      throw new LabError(`the lab has a machine ${parts.name} already`);
    const machine = new Machine(parts, {
      ledger: this.#ledger,
      router: this.router,
      index: this.#machines.length,
      packages,
    });
    this.#machines.push(machine);
    return machine;
  }

  /** A machine by its name. @throws LabError when the lab has none of that name */
  machine(name: string): Machine {
    const found = this.#machines.find((machine) => machine.name === name);
    if (found === undefined) throw new LabError(`the lab has no machine ${name}`);
    return found;
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

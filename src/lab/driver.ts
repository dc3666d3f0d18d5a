/**
 * What every kind of lab offers. A driver is one file that exports a `Driver`, listed in drivers.ts.
 *
 * All functions take the lab as a value that was read from its folder, never an object of an earlier call: the
 * process that made a lab is usually gone when somebody asks how it does, and may have been killed.
 */
import type { Finished, RunOptions } from "./command.ts";
import type { RunnerEvent } from "./events.ts";
import type { Ledger } from "./ledger.ts";
import type { Obstacle } from "./obstacle.ts";

export type { Obstacle } from "./obstacle.ts";

/** A network of the site, as the machines of a lab are joined by it. */
export interface LabNetwork {
  readonly name: string;
  /** IPv4 network with prefix, such as `10.0.0.0/24`. */
  readonly cidr: string;
  /** Address that the lab answers for on this network, or null: then the network has no way out. */
  readonly gateway: string | null;
}

/** The operating system that a machine boots: what a driver needs to know of a file of targets/. */
export interface LabTarget {
  /** Such as `debian-12`. */
  readonly name: string;
  /** `debian` or `ubuntu`. */
  readonly family: string;
  readonly version: string;
  /** Such as `bookworm`. */
  readonly codename: string;
  /** Where its official cloud image is published, and the list with its digest; left out where no place is known. */
  readonly image?: { readonly url: string; readonly digests: string };
}

/** A node of the site, as a machine of a lab. */
export interface LabMachine {
  readonly name: string;
  /** Name of its target, such as `debian-12`; one of the description's `targets`. */
  readonly target: string;
  /** Absolute path of the folder with its rendered seed; a driver hands over these bytes and no others. */
  readonly seed: string;
  readonly cpus: number;
  /** MiB. */
  readonly memory: number;
  /** GiB. */
  readonly disk: number;
  readonly firmware: "bios" | "uefi";
  /** Its address on the management network, or null. */
  readonly address: string | null;
  /** Who can log in by ssh: the site's first user that has a key, or null. */
  readonly user: string | null;
  /** In the order of the site. `name` is what the machine ends up calling it. */
  readonly interfaces: readonly {
    readonly network: string;
    readonly name: string;
    readonly mac: string;
    /** Without prefix, or null when it has none. */
    readonly address: string | null;
  }[];
}

/** A lab as it stands in its state file. */
export interface LabDescription {
  /** Up to 8 characters of a-z and 0-9, unique on this host. */
  readonly id: string;
  readonly driver: string;
  readonly site: string;
  /** Absolute path of the lab's folder, `build/<site>/lab`. */
  readonly folder: string;
  /** Absolute path of what labs share: images, base roots, packages. */
  readonly cache: string;
  readonly networks: readonly LabNetwork[];
  readonly targets: readonly LabTarget[];
  /**
   * Addresses outside of the lab that machines need (name server, package mirrors) although they are inside of a
   * network of the site. Empty for a driver that does not promise to reach them (`reachesHidden`).
   */
  readonly hidden: readonly string[];
  readonly machines: readonly LabMachine[];
}

/** What a driver finds out about this host. */
export interface Inspection {
  /** Empty when it can run here. */
  readonly obstacles: readonly Obstacle[];
  /** How it would run, in a few words that are printed: `TCG, as a guest under KVM did not start in 20 s`. */
  readonly how: string;
  /** How much slower than on metal its processors are, to lengthen timeouts by; 1 is native. */
  readonly slowness: number;
}

/** How a machine does, as its driver sees it from outside. */
export interface MachineState {
  readonly power: "running" | "restarting" | "off" | "dead";
  /** Why it is dead, else empty. */
  readonly reason: string;
}

/** Options of a command inside of a machine. */
export type ExecOptions = Omit<RunOptions, "cwd">;

export interface Driver {
  readonly name: string;
  /** One line for help texts. */
  readonly summary: string;
  /**
   * Finds out whether it can run here; never guesses from a device node what only a boot proves.
   * @param cache where it may keep what took long to find out
   */
  inspect(cache: string): Promise<Inspection>;
  /**
   * Whether a system of this target can be had here: in the cache, fetched or built. Looks, and makes nothing.
   * @returns what is in the way, or null
   */
  obtainable(target: LabTarget, cache: string): Promise<Obstacle | null>;
  /** Which of these modules the kernel of its machines lacks, as far as is known before they run. */
  lacks(modules: readonly string[]): readonly string[];
  /** Whether its machines reach outside addresses that are inside of a network of the site (`hidden`). */
  readonly reachesHidden: boolean;
  /** MiB of the host's memory that a machine takes for certain, to compare with what the host has. */
  memory(machine: LabMachine): number;
  /** In which bytes or facts a machine differs from production, a sentence each; empty when in none. */
  differences(machine: LabMachine): readonly string[];
  /**
   * Makes networks and disks; nothing is switched on. Whatever it makes on the host is noted in the ledger first.
   * @throws LabError with a hint
   */
  create(lab: LabDescription, ledger: Ledger, progress: (line: string) => void): Promise<void>;
  /** Switches a machine on, for the first time or again; returns when it runs. It outlives this process. */
  start(lab: LabDescription, machine: string): Promise<void>;
  state(lab: LabDescription, machine: string): Promise<MachineState>;
  /**
   * Events of the runner's log from a byte offset on, and how many bytes they took.
   * @param signal tells that nobody waits for the answer any more
   */
  events(
    lab: LabDescription,
    machine: string,
    offset: number,
    signal?: AbortSignal,
  ): Promise<{ readonly events: readonly RunnerEvent[]; readonly bytes: number }>;
  /** Path of what its console printed, over all boots. */
  console(lab: LabDescription, machine: string): string;
  /** Runs a command in it as root. @throws LabError when it is not on or cannot be reached */
  exec(
    lab: LabDescription,
    machine: string,
    argv: readonly string[],
    options?: ExecOptions,
  ): Promise<Finished>;
  /**
   * The command line that runs a command in it as root, word by word, and hands on input, output and exit code.
   * @param tty whether the command gets the terminal that this process has
   * @throws LabError when it is not on or cannot be reached
   */
  entering(
    lab: LabDescription,
    machine: string,
    argv: readonly string[],
    tty: boolean,
  ): Promise<readonly string[]>;
  /** The command line by which a person logs in. */
  login(lab: LabDescription, machine: string): readonly string[];
  /** Shuts it down in order. @returns whether it went down by itself within `timeout` seconds */
  powerOff(lab: LabDescription, machine: string, timeout: number): Promise<boolean>;
  /** Cuts its power. */
  kill(lab: LabDescription, machine: string): Promise<void>;
  /** Ends everything and undoes what the ledger says; may be called on what is half made, and twice. */
  destroy(lab: LabDescription): Promise<void>;
}

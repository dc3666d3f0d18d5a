/**
 * What each node must become. The centre of the program: no output format is known here, and everything says
 * which line asked for it (`from`). Texts may have holes for secrets.
 */
import type { Position } from "../core/position.ts";
import type { Filled } from "../core/text.ts";
import type { Install, Device as ResolvedDevice } from "../resolve/model.ts";
import type { Carrier, Role } from "../validate/documents.ts";

export type Probe = { readonly timeout: number } & (
  | { readonly kind: "tcp"; readonly address: Filled }
  | { readonly kind: "http"; readonly url: Filled; readonly status: string; readonly contains: Filled | null }
  | {
      readonly kind: "run";
      readonly run: readonly Filled[];
      readonly user: string | null;
      readonly env: { readonly [name: string]: Filled };
      readonly stdin: Filled | null;
      readonly exit: number;
      readonly prints: Filled | null;
    }
  | { readonly kind: "file"; readonly path: Filled; readonly contains: Filled | null }
  | { readonly kind: "unit"; readonly unit: Filled }
);

/** Something that must come true: a wait for another node, a component's readiness, a check of the verdict. */
export interface ProbeAction {
  readonly kind: "wait" | "ready" | "check";
  readonly id: string;
  readonly name: string;
  readonly probe: Probe;
  /** Seconds. */
  readonly within: number;
  readonly hint: string | null;
  /** The node that a wait is for. */
  readonly for: string | null;
  readonly from: Position;
}

export interface Step {
  readonly kind: "step";
  readonly id: string;
  readonly name: string;
  readonly run: readonly Filled[];
  readonly user: string | null;
  readonly env: { readonly [name: string]: Filled };
  readonly stdin: Filled | null;
  readonly within: number;
  readonly hint: string | null;
  readonly unless: Probe | null;
  readonly repeatSafe: boolean;
  readonly from: Position;
}

export interface Unit {
  readonly kind: "unit";
  readonly id: string;
  readonly unit: string;
  readonly validate: Probe | null;
  readonly within: number;
  readonly from: Position;
}

export type Action = ProbeAction | Step | Unit;

/** Actions that are done one after the other. Blocks may be done side by side. */
export interface Block {
  readonly id: string;
  readonly title: string;
  /** The blocks that must be done first; those that they come after themselves are left out. */
  readonly after: readonly string[];
  readonly actions: readonly Action[];
}

export interface Change {
  readonly section: string;
  readonly key: string;
  readonly value: Filled | readonly Filled[] | null;
  readonly from: Position;
}

export interface PlannedFile {
  readonly path: string;
  readonly owner: string;
  readonly mode: string;
  readonly once: boolean;
  /** The whole content, with the place that each line came from; or changes to the packaged file. */
  readonly content:
    | { readonly kind: "whole"; readonly text: Filled; readonly lines: readonly Position[] }
    | {
        readonly kind: "changes";
        readonly format: "ini" | "oslo" | "env";
        readonly changes: readonly Change[];
      };
  readonly restarts: readonly string[];
  readonly from: Position;
}

/** A script of a component, or what one imports, verbatim. */
export interface Script {
  readonly path: string;
  readonly mode: "0755" | "0644";
  readonly text: string;
  readonly file: string;
}

/** A network device: what is made at boot. */
export type Device = ResolvedDevice extends infer One
  ? One extends ResolvedDevice
    ? Omit<One, "path"> & { readonly from: Position }
    : never
  : never;

/** The node's place in a network, whatever devices it takes; `devices` has those. */
export interface Interface {
  readonly network: string;
  readonly role: Role | null;
  /** Of the card that is this network's alone, or null. */
  readonly mac: string | null;
  /** The device that has the address; null leaves what the machine calls it. */
  readonly name: string | null;
  /** The tag under which the network lies over a link, or null. */
  readonly vlan: number | null;
  /** The first fixed address, and the prefix of its range (of the network's first one without an address). */
  readonly address: string | null;
  readonly prefix: number;
  /** All fixed addresses, with prefixes. */
  readonly addresses: readonly string[];
  /** The IPv4 default route that is written for it. */
  readonly gateway: string | null;
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly routes: readonly { readonly to: string; readonly via: string }[];
  readonly mtu: number | null;
  readonly from: Position;
}

export interface NodePlan {
  readonly site: string;
  readonly node: string;
  readonly fqdn: string | null;
  readonly profile: string;
  readonly target: {
    readonly name: string;
    readonly family: string;
    readonly version: string;
    readonly codename: string;
    /** Whether an IPv6 default route is written as `gateway6`, which is old, and not as a route. */
    readonly gateway6: boolean;
  };
  readonly generation: number;
  readonly address: string | null;
  readonly size: { readonly cpus: number; readonly memory: string };
  readonly from: Position;
  readonly hosts: readonly {
    readonly address: string;
    readonly names: readonly string[];
    readonly from: Position;
  }[];
  readonly users: readonly {
    readonly name: string;
    readonly keys: readonly string[];
    readonly sudo: boolean;
    /** The secret whose hash is the login password. */
    readonly password: string | null;
    readonly from: Position;
  }[];
  readonly interfaces: readonly Interface[];
  readonly devices: readonly Device[];
  /** In which forms the seed is made, beside its files and the ISO image. */
  readonly carriers: readonly { readonly carrier: Carrier; readonly from: Position }[];
  readonly apt: {
    readonly proxy: string | null;
    readonly mirrors: { readonly primary: string | null; readonly security: string | null };
    readonly archives: readonly {
      readonly name: string;
      readonly uri: Filled;
      readonly suite: Filled;
      readonly components: readonly string[];
      readonly keyring:
        | { readonly package: string }
        | { readonly text: string; readonly file: string }
        | null;
      readonly from: Position;
    }[];
    readonly from: Position;
  };
  readonly debconf: readonly {
    readonly package: string;
    readonly question: string;
    readonly type: string;
    readonly value: Filled;
    readonly from: Position;
  }[];
  readonly packages: readonly { readonly name: string; readonly from: Position }[];
  readonly directories: readonly {
    readonly path: string;
    readonly owner: string;
    readonly mode: string;
    readonly from: Position;
  }[];
  readonly files: readonly PlannedFile[];
  readonly scripts: readonly Script[];
  readonly ports: readonly {
    readonly port: number;
    readonly protocol: "tcp" | "udp";
    readonly from: Position;
  }[];
  readonly blocks: readonly Block[];
  readonly checks: readonly ProbeAction[];
  /** Only where the node is installed by its release's installer. */
  readonly install?: Install;
  /** Where its first boot is told, a URL; only where the site has a boot server. */
  readonly report?: string;
  readonly cloudConfig: readonly { readonly key: string; readonly value: unknown; readonly from: Position }[];
}

import type { Value } from "../core/text.ts";
import type { Loaded, Path } from "../load/marks.ts";
import type {
  ComponentDoc,
  Doc,
  NetworkDoc,
  NodeDoc,
  Nouns,
  ProfileDoc,
  SiteDoc,
  TargetDoc,
} from "../validate/documents.ts";
import type { Cidr } from "./address.ts";

/** A component of the library. */
export interface Component {
  readonly name: string;
  readonly doc: ComponentDoc;
  readonly loaded: Loaded;
  /** The folder whose files it may name. */
  readonly folder: string;
}

/** All that can be named. */
export interface Library {
  readonly components: ReadonlyMap<string, Component>;
  readonly profiles: ReadonlyMap<string, Doc<ProfileDoc>>;
  readonly targets: ReadonlyMap<string, Doc<TargetDoc>>;
  /** What exists and could not be read, as `component NAME`: reported already, so that naming it is no second problem. */
  readonly broken?: ReadonlySet<string>;
  /** The text of a file of a component's folder, or null. */
  readonly file: (folder: string, name: string) => { readonly shown: string; readonly text: string } | null;
}

export interface Network {
  readonly name: string;
  readonly doc: NetworkDoc;
  readonly cidr: Cidr;
}

export interface Interface {
  readonly network: Network;
  readonly mac: string | null;
  readonly address: string | null;
  /** The name that files may use, or null when it stays what the machine calls it. */
  readonly name: string | null;
  readonly mtu: number | null;
  readonly path: Path;
}

/** Nouns that are not a component's: of a profile, the site or a node. Later layers win over earlier ones. */
export interface Layer {
  readonly title: string;
  readonly nouns: Nouns;
  readonly loaded: Loaded;
  readonly path: Path;
  readonly rank: number;
  readonly cloudConfig: { readonly [key: string]: unknown };
}

export interface Node {
  readonly name: string;
  readonly fqdn: string | null;
  readonly index: number;
  readonly doc: NodeDoc;
  readonly path: Path;
  readonly target: TargetDoc;
  readonly profile: string;
  /** The base profile first. */
  readonly profiles: readonly Doc<ProfileDoc>[];
  readonly address: string | null;
  readonly interfaces: ReadonlyMap<string, Interface>;
  readonly generation: number;
  readonly cpus: number;
  readonly workers: number;
  /** Every component that the node runs, what is required before what requires it. */
  readonly components: readonly Component[];
  readonly options: ReadonlyMap<string, { readonly [option: string]: Value }>;
  readonly layers: readonly Layer[];
}

/** A site in which nothing is implicit. */
export interface Site {
  readonly name: string;
  readonly doc: SiteDoc;
  readonly loaded: Loaded;
  readonly networks: ReadonlyMap<string, Network>;
  readonly nodes: readonly Node[];
  readonly byName: ReadonlyMap<string, Node>;
  /** The nodes that run a component, in site order. */
  readonly groups: ReadonlyMap<string, readonly Node[]>;
  /** Seconds that a node waits for another. */
  readonly waitForNodes: number;
}

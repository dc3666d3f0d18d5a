import type { Position } from "../core/position.ts";
import type { Value } from "../core/text.ts";
import type { Data, Loaded, Path } from "../load/marks.ts";
import type {
  Carrier,
  ComponentDoc,
  DataDoc,
  DiskDoc,
  Doc,
  Firmware,
  InstallDoc,
  Loader,
  NetworkDoc,
  NodeDoc,
  Nouns,
  OsDoc,
  ProfileDoc,
  Role,
  SiteDoc,
  TargetDoc,
} from "../validate/documents.ts";
import type { Family, Range } from "./address.ts";
import type { InstallerMatch } from "./disks.ts";

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

export interface NetworkRange extends Range {
  readonly gateway: string | null;
}

export interface NetworkRoute {
  readonly to: Range;
  readonly via: string;
  readonly path: Path;
}

export interface Network {
  readonly name: string;
  readonly doc: NetworkDoc;
  /** What it is for: as the site says, or as its name says. */
  readonly role: Role | null;
  /** At least one; the management network's first is IPv4. */
  readonly ranges: readonly NetworkRange[];
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly routes: readonly NetworkRoute[];
  /** The tag by which it is told apart where it lies over a link with others. */
  readonly vlan: number | null;
  readonly mtu: number | null;
  readonly path: Path;
}

/** A fixed address of a node in one of the network's ranges. */
export interface InterfaceAddress {
  readonly text: string;
  readonly family: Family;
  readonly range: NetworkRange;
}

/** A node's place in a network. */
export interface Interface {
  readonly network: Network;
  /** Of the card that is this network's alone; null where the card is found by name, or lies under a link. */
  readonly mac: string | null;
  readonly addresses: readonly InterfaceAddress[];
  /** The first fixed address: for management the one by which the node is known, which is IPv4. */
  readonly address: string | null;
  /** The name of the device that has the address, or null when it stays what the machine calls it. */
  readonly name: string | null;
  /** The tag under which it lies over a link, or null. */
  readonly vlan: number | null;
  readonly mtu: number | null;
  readonly path: Path;
}

/** How a device gets addresses, routes and name servers. */
export interface IpConfig {
  /** With prefixes. */
  readonly addresses: readonly string[];
  readonly dhcp4: boolean;
  readonly dhcp6: boolean;
  /** Whether routers are listened for: for addresses (SLAAC) or for what DHCPv6 needs. */
  readonly acceptRa: boolean;
  /** Whether DHCP's routes and name servers are taken. */
  readonly dhcpRoutes: boolean;
  readonly dhcpDns: boolean;
  readonly routes: readonly { readonly to: string; readonly via: string }[];
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
}

interface DeviceBase {
  /** What other devices refer to it by; where they do, also its name. */
  readonly id: string;
  /** The networks that it carries, itself or in what lies over it. */
  readonly networks: readonly string[];
  /** Null for a device that is up and has no addresses. */
  readonly ip: IpConfig | null;
  readonly mtu: number | null;
  readonly path: Path;
}

/** A network device of a node, lower ones first: what is made at boot, whatever writes it down. */
export type Device =
  | (DeviceBase & {
      readonly kind: "card";
      readonly mac: string | null;
      /** The name it is given; null leaves what the machine calls it. Without a MAC address it goes by this name. */
      readonly name: string | null;
    })
  | (DeviceBase & {
      readonly kind: "bond";
      readonly members: readonly string[];
      readonly mode: "lacp" | "active-backup";
      readonly primary: string | null;
      readonly hash: string | null;
      readonly rate: string | null;
      readonly mac: string | null;
    })
  | (DeviceBase & { readonly kind: "vlan"; readonly tag: number; readonly link: string })
  | (DeviceBase & { readonly kind: "bridge"; readonly port: string; readonly mac: string | null });

/** Nouns that are not a component's: of a profile, the site or a node. Later layers win over earlier ones. */
export interface Layer {
  readonly title: string;
  readonly nouns: Nouns;
  readonly loaded: Loaded;
  readonly path: Path;
  readonly rank: number;
  readonly cloudConfig: { readonly [key: string]: unknown };
}

/** A disk that an installation takes. */
export interface InstallDisk {
  /** What the installer is asked. */
  readonly match: InstallerMatch;
  /** The disk that the facts picked; null where no facts are known. */
  readonly disk: DiskDoc | null;
  readonly from: Position;
}

/** Disks beside the system's. */
export interface InstallData {
  readonly as: DataDoc["as"];
  /** The volume group, for lvm. */
  readonly group: string | null;
  /** Where a file system is mounted; of several disks each has a number below it. */
  readonly mount: string | null;
  readonly many: boolean;
  readonly disks: readonly InstallDisk[];
  readonly from: Position;
}

/** What the release's installer is asked to do. Sizes are bytes. */
export interface Install {
  /** Version of the release, such as `22.04`. */
  readonly release: string;
  /** The oldest medium that this is for, such as `22.04.5`, and the installer's version on it. */
  readonly medium: string;
  readonly installer: string;
  readonly firmware: Firmware;
  readonly shutdown: NonNullable<InstallDoc["shutdown"]>;
  /** What the installer does when it reaches no package archive. */
  readonly withoutArchive: NonNullable<InstallDoc["without_archive"]>;
  readonly console: readonly string[];
  readonly storage:
    | {
        readonly kind: "layout";
        readonly layout: NonNullable<OsDoc["layout"]>;
        readonly filesystem: NonNullable<OsDoc["filesystem"]>;
        /** Null: all there is. */
        readonly rootSize: number | null;
        /** False: none; null: the installer's own choice. */
        readonly swap: number | false | null;
        /** The secret that the disk is encrypted with, or null. */
        readonly passphrase: string | null;
        readonly os: readonly InstallDisk[];
        readonly data: readonly InstallData[];
        readonly from: Position;
      }
    | {
        readonly kind: "actions";
        readonly actions: readonly { readonly [key: string]: Data }[];
        readonly swap: number | false | null;
        readonly from: Position;
      };
  /** Keys of autoinstall that a person wrote. */
  readonly keys: readonly { readonly key: string; readonly value: Data; readonly from: Position }[];
  readonly from: Position;
}

/** A file that machines boot, as the site says where it comes from. */
export interface BootFile {
  /** Its name below the target's folder of assets. */
  readonly name: string;
  readonly source:
    | { readonly kind: "url"; readonly url: string }
    /** From the site's folder. */
    | { readonly kind: "file"; readonly file: string };
  /** SHA-256 in lower-case hexadecimal; null where a file here is taken as it is. */
  readonly sha256: string | null;
  readonly from: Position;
}

/** What machines of a target boot to be installed. */
export interface NetInstaller {
  readonly target: string;
  readonly kernel: BootFile;
  readonly initrd: BootFile;
  readonly image: BootFile | null;
  readonly arguments: readonly string[];
  readonly from: Position;
}

/** How machines boot from the network. */
export interface Netboot {
  /** The boot server's address in the management network. */
  readonly server: string;
  readonly port: number;
  /** What URLs of the server begin with, without a slash at the end; the port is left out where it is HTTP's own. */
  readonly base: string;
  readonly dhcp: "full" | "proxy" | "none";
  /** Addresses for machines that are no nodes; null where the server gives none. */
  readonly pool: { readonly first: string; readonly last: string } | null;
  readonly loaders: { readonly [firmware in Firmware]: Loader };
  /** Seconds after which a seed is not given any more, or null. */
  readonly seedSeconds: number | null;
  /** By target. */
  readonly installers: ReadonlyMap<string, NetInstaller>;
  readonly from: Position;
}

/** By what a node's machine is known, and what it boots from the network. */
export interface NodeNetboot {
  /** Of its cards, those of the management network first. */
  readonly macs: readonly string[];
  /** What the firmware tells (SMBIOS type 1), or null. */
  readonly serial: string | null;
  /** Lower case. */
  readonly uuid: string | null;
  /** The loader that it gets in place of the site's, or null. */
  readonly loader: Loader | null;
  /** Null where nothing is known to install it: it boots its disk. */
  readonly installer: NetInstaller | null;
  readonly from: Position;
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
  /** By network. */
  readonly interfaces: ReadonlyMap<string, Interface>;
  readonly devices: readonly Device[];
  /** Forms of its seed beside the ISO image, with the place that asked for each. */
  readonly carriers: readonly { readonly carrier: Carrier; readonly path: Path }[];
  readonly generation: number;
  readonly cpus: number;
  readonly workers: number;
  /** Every component that the node runs, what is required before what requires it. */
  readonly components: readonly Component[];
  readonly options: ReadonlyMap<string, { readonly [option: string]: Value }>;
  readonly layers: readonly Layer[];
  /** Null where nobody has said it. */
  readonly firmware: Firmware | null;
  readonly console: readonly string[];
  /** Null where the node is not installed by its release's installer. */
  readonly install: Install | null;
  /** Null where the site does not say how machines boot from the network. */
  readonly netboot: NodeNetboot | null;
}

/** A site in which nothing is implicit. */
export interface Site {
  readonly name: string;
  readonly doc: SiteDoc;
  readonly loaded: Loaded;
  readonly networks: ReadonlyMap<string, Network>;
  /** The network by which the nodes reach each other; one of `networks`. */
  readonly management: Network;
  readonly nodes: readonly Node[];
  readonly byName: ReadonlyMap<string, Node>;
  /** The nodes that run a component, in site order. */
  readonly groups: ReadonlyMap<string, readonly Node[]>;
  /** Seconds that a node waits for another. */
  readonly waitForNodes: number;
  readonly netboot: Netboot | null;
}

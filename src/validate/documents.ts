/** The documents as types. validate() guarantees these shapes; src/validate/schema.ts is their source. */
import type { RecordedDisk } from "../load/inventory.ts";
import type { Data, Loaded } from "../load/marks.ts";

export type When = { readonly [name: string]: Scalar | readonly Scalar[] };
export type Scalar = string | number | boolean;

export interface ProbeDoc {
  readonly tcp?: string;
  readonly http?: string;
  readonly status?: string | number;
  readonly contains?: string;
  readonly run?: readonly Scalar[];
  readonly script?: string;
  readonly args?: readonly Scalar[];
  readonly user?: string;
  readonly env?: { readonly [name: string]: Scalar };
  readonly stdin?: string;
  readonly exit?: number;
  readonly prints?: Scalar;
  readonly file?: string;
  readonly unit?: string;
  readonly timeout?: string;
}

export interface NamedProbeDoc extends ProbeDoc {
  readonly name: string;
  readonly within?: string;
  readonly hint?: string;
  readonly when?: When;
}

export interface StepDoc {
  readonly name: string;
  readonly run?: readonly Scalar[];
  readonly script?: string;
  readonly args?: readonly Scalar[];
  readonly user?: string;
  readonly env?: { readonly [name: string]: Scalar };
  readonly stdin?: string;
  readonly within?: string;
  readonly hint?: string;
  readonly at?: "first";
  readonly unless?: ProbeDoc;
  readonly repeat?: "safe";
  readonly when?: When;
}

export interface FileDoc {
  readonly path: string;
  readonly owner?: string;
  readonly mode?: string;
  readonly once?: boolean;
  readonly template?: string;
  readonly template_file?: string;
  readonly source?: string;
  readonly format?: "ini" | "oslo" | "env";
  readonly base?: "package";
  readonly when?: When;
}

export interface ArchiveDoc {
  readonly name: string;
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  readonly keyring?: { readonly package?: string; readonly source?: string };
  readonly when?: When;
}

export interface UnitDoc {
  readonly unit: string;
  readonly validate?: ProbeDoc;
  readonly drop_in?: { readonly [section: string]: { readonly [key: string]: Scalar | readonly Scalar[] } };
  readonly within?: string;
  readonly when?: When;
}

/** What components, profiles, the site and nodes may all carry. */
export interface Nouns {
  readonly archives?: readonly ArchiveDoc[];
  readonly debconf?: readonly {
    readonly package: string;
    readonly question: string;
    readonly type: string;
    readonly value: Scalar;
    readonly when?: When;
  }[];
  readonly packages?: readonly (string | { readonly name: string; readonly when?: When })[];
  readonly directories?: readonly {
    readonly path: string;
    readonly owner?: string;
    readonly mode?: string;
    readonly when?: When;
  }[];
  readonly ports?: readonly {
    readonly port: number | string;
    readonly protocol?: "tcp" | "udp";
    readonly when?: When;
  }[];
  readonly files?: readonly FileDoc[];
  readonly settings?: readonly {
    readonly file: string;
    readonly set: { readonly [key: string]: Data };
    readonly when?: When;
  }[];
  readonly units?: readonly UnitDoc[];
  readonly before_start?: readonly StepDoc[];
  readonly after_start?: readonly StepDoc[];
  readonly ready?: readonly NamedProbeDoc[];
  readonly checks?: readonly NamedProbeDoc[];
  readonly needs?: { readonly [alias: string]: NeedDoc };
}

export interface NeedDoc {
  readonly use: string;
  readonly with?: { readonly [param: string]: Data };
  readonly when?: When;
  readonly wait?: boolean;
  readonly optional?: boolean;
}

export type OptionType =
  | "string"
  | "identifier"
  | "integer"
  | "boolean"
  | "list"
  | "map"
  | "address"
  | "cidr"
  | "pool";

export interface OptionDoc {
  readonly type: OptionType;
  readonly default?: Data;
  readonly enum?: readonly Data[];
  readonly help?: string;
}

export type SecretKind = "password" | "fernet" | "token";

/** What a component says of a secret that is its own. */
export interface SecretDoc {
  readonly kind: SecretKind;
  /** Characters that the value must not have, and why: something that reads it cannot take them. */
  readonly without?: { readonly characters: string; readonly because: string } | undefined;
}

export interface ParamDoc {
  readonly type: "string" | "identifier" | "integer" | "boolean" | "list" | "secret";
  readonly default?: Data;
  readonly of?: string;
  readonly without?: SecretDoc["without"];
}

export interface ResourceDoc {
  readonly key?: string;
  readonly params?: { readonly [name: string]: ParamDoc };
  readonly steps?: readonly StepDoc[];
  readonly ready?: ProbeDoc;
  readonly gives?: { readonly [name: string]: Scalar | { readonly [key: string]: Scalar } };
  readonly when?: When;
}

/** Something about a node that must be so; exactly one of given, inside, apart and at_most. */
export interface RuleDoc {
  readonly message: string;
  readonly hint?: string;
  /** The option that it is about: where that got its value is where a breach is reported. */
  readonly option?: string;
  readonly when?: When;
  readonly given?: string;
  readonly inside?: { readonly value: string; readonly of: string };
  readonly apart?: { readonly value: string; readonly of: string };
  readonly at_most?: { readonly value: Scalar; readonly limit: Scalar; readonly less?: number };
}

export interface ComponentDoc extends Nouns {
  readonly component: string;
  readonly summary: string;
  readonly requires?: readonly (string | { readonly use: string; readonly when?: When })[];
  readonly after?: readonly string[];
  /** Files that its scripts import: of its folder, or `component:file`. */
  readonly imports?: readonly string[];
  readonly options?: { readonly [name: string]: OptionDoc };
  readonly secrets?: { readonly [name: string]: SecretDoc };
  readonly names?: { readonly [word: string]: string | { readonly [target: string]: string } };
  readonly front?: boolean;
  readonly rules?: readonly RuleDoc[];
  readonly takes?: {
    readonly memory?: string;
    readonly disk?: string;
    readonly cpus?: number;
    /** Modules that the kernel must have. */
    readonly kernel?: readonly string[];
  };
  readonly resources?: { readonly [name: string]: ResourceDoc };
}

export type OptionValues = { readonly [component: string]: { readonly [option: string]: Data } };

export type Firmware = "uefi" | "bios";

/** Which disks are meant; all that is said must hold. */
export interface SomeDisks {
  /** A shell glob, as are model and vendor. */
  readonly serial?: string;
  readonly wwn?: string;
  readonly model?: string;
  readonly vendor?: string;
  readonly path?: string;
  readonly ssd?: boolean;
  readonly size?: "largest" | "smallest" | { readonly at_least?: string; readonly at_most?: string };
}

export interface DiskMatch extends SomeDisks {
  readonly not?: SomeDisks | readonly SomeDisks[];
}

export interface DataDoc {
  readonly as: "lvm" | "ext4" | "xfs" | "untouched";
  readonly group?: string;
  readonly mount?: string;
  readonly disk?: DiskMatch;
  readonly disks?: DiskMatch | readonly DiskMatch[];
  readonly wipe?: boolean;
}

export interface OsDoc {
  readonly layout?: "lvm" | "direct" | "raid1" | "zfs";
  readonly disk?: DiskMatch;
  readonly disks?: DiskMatch | readonly DiskMatch[];
  readonly filesystem?: "ext4" | "xfs";
  readonly size?: string;
  readonly wipe?: boolean;
}

export interface StorageDoc {
  readonly os?: OsDoc;
  readonly swap?: string | boolean;
  readonly encryption?: "luks" | "none";
  readonly data?: readonly DataDoc[];
  readonly actions?: readonly { readonly [key: string]: Data }[];
}

export interface InstallDoc {
  readonly medium?: string;
  readonly shutdown?: "poweroff" | "reboot";
  readonly without_archive?: "abort" | "offline-install" | "continue-anyway";
}

/** What a machine of metal is, and what an installation makes of its disks. */
export interface MachineDoc {
  readonly firmware?: Firmware;
  readonly console?: readonly string[];
  readonly storage?: StorageDoc;
  readonly install?: InstallDoc;
  readonly autoinstall?: { readonly [key: string]: Data };
}

/** A disk in a file of facts: as it was recorded. */
export type DiskDoc = RecordedDisk;

export interface HardwareDoc {
  readonly hardware: string;
  readonly recorded?: "lsblk" | "lshw" | "probe";
  readonly disks: readonly DiskDoc[];
}

export interface ProfileDoc extends Nouns, MachineDoc {
  readonly profile: string;
  readonly summary?: string;
  readonly extends?: string;
  readonly components?: readonly (
    | string
    | { readonly use: string; readonly with?: { readonly [option: string]: Data } }
  )[];
  readonly options?: OptionValues;
  readonly cloud_config?: { readonly [key: string]: Data };
}

/** A form in which a seed reaches a machine, beside the ISO image. */
export type Carrier = "vfat" | "config-drive" | "user-data";

export type Role = "management" | "provider" | "overlay" | "storage";

export interface NetworkDoc {
  readonly role?: Role;
  readonly cidr: string | readonly string[];
  readonly gateway?: string | readonly string[];
  readonly nameservers?: readonly string[];
  readonly search?: readonly string[];
  readonly routes?: readonly { readonly to: string; readonly via: string }[];
  readonly vlan?: number;
  readonly mtu?: number;
}

/** A card that several networks lie over, or, with members, a bond of cards. */
export interface LinkDoc {
  readonly mac?: string;
  readonly mode?: "lacp" | "active-backup";
  readonly members?: readonly string[];
  readonly primary?: string;
  readonly hash?: "layer2" | "layer2+3" | "layer3+4";
  readonly rate?: "slow" | "fast";
}

export interface InterfaceDoc {
  readonly mac?: string;
  readonly over?: string;
  readonly tagged?: boolean;
  readonly bridge?: string;
  readonly address?: string | readonly string[];
  readonly name?: string;
  readonly mtu?: number;
}

/** A file that machines boot. */
export interface BootFileDoc {
  readonly url?: string;
  /** A path from the site's folder. */
  readonly file?: string;
  readonly sha256?: string;
}

/** What takes a machine from the network to its disk. */
export interface InstallerDoc {
  readonly kernel: BootFileDoc;
  readonly initrd: BootFileDoc;
  /** The medium that the installer fetches. */
  readonly image?: BootFileDoc;
  /** Further words of the kernel's command line. */
  readonly arguments?: readonly string[];
}

export type Loader = "ipxe" | "grub" | "pxelinux";

export interface NetbootDoc {
  readonly server: string;
  readonly port?: number;
  readonly dhcp?: "full" | "proxy" | "none";
  readonly range?: string;
  readonly loaders?: { readonly bios?: Loader; readonly uefi?: Loader };
  readonly seeds?: { readonly for: string };
  readonly installers?: { readonly [target: string]: InstallerDoc };
}

export interface NodeNetbootDoc {
  readonly loader?: Loader;
  readonly serial?: string;
  readonly uuid?: string;
  readonly macs?: readonly string[];
}

export interface NodeDoc extends Nouns, MachineDoc {
  readonly profile: string;
  readonly target?: string;
  readonly generation?: number;
  readonly size?: { readonly cpus?: number; readonly memory?: string; readonly disk?: string };
  readonly carriers?: readonly Carrier[];
  readonly netboot?: NodeNetbootDoc;
  readonly links?: { readonly [name: string]: LinkDoc };
  readonly interfaces?: { readonly [network: string]: InterfaceDoc };
  readonly options?: OptionValues;
  readonly cloud_config?: { readonly [key: string]: Data };
}

export interface UserDoc {
  readonly name: string;
  readonly ssh_authorized_keys?: readonly string[];
  readonly password?: boolean;
  readonly sudo?: boolean;
}

export interface SiteDoc extends Nouns, MachineDoc {
  readonly site: string;
  readonly target: string;
  readonly domain?: string;
  readonly front?: { readonly name: string; readonly address: string };
  readonly networks: { readonly [name: string]: NetworkDoc };
  readonly access?: { readonly users?: readonly UserDoc[] };
  readonly apt?: {
    readonly proxy?: string | null;
    readonly mirrors?: { readonly primary?: string; readonly security?: string };
  };
  readonly carriers?: readonly Carrier[];
  readonly netboot?: NetbootDoc;
  readonly hosts?: "auto" | "all" | "peers";
  readonly first_boot?: { readonly wait_for_nodes?: string };
  /** What labs boot where the machines' kernel lacks a module. */
  readonly lab?: { readonly without?: { readonly [module: string]: { readonly options: OptionValues } } };
  readonly secrets?: { readonly [name: string]: SecretSource };
  readonly nodes: { readonly [name: string]: NodeDoc };
  readonly options?: OptionValues;
  readonly cloud_config?: { readonly [key: string]: Data };
}

export interface SecretSource {
  readonly env?: string;
  readonly file?: string;
  readonly command?: readonly string[];
}

export interface TargetDoc {
  readonly target: string;
  readonly family: "ubuntu" | "debian";
  readonly version: string;
  readonly codename: string;
  readonly arch?: string;
  /** Its official cloud image, and the list that has its digest. */
  readonly image?: { readonly url: string; readonly digests: string };
  readonly installer?: {
    /** The version of the installer on each medium: a tag of subiquity. */
    readonly media: { readonly [medium: string]: string };
    /** The medium that is meant where the site names none. */
    readonly medium: string;
  };
  /** Which words of network-config its readers take for it; `route`, without it. */
  readonly ipv6_default_route?: "route" | "gateway6";
}

/** A document with its positions. */
export interface Doc<T> {
  readonly doc: T;
  readonly loaded: Loaded;
}

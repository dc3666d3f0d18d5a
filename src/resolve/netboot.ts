/**
 * How machines boot from the network: the server, loaders and installers of a site, by what each node's machine is
 * known, and which node a machine is that asks.
 */
import { seconds } from "../core/duration.ts";
import type { Position } from "../core/position.ts";
import type { ProblemCode, Problems } from "../core/problem.ts";
import { suggest } from "../core/suggest.ts";
import { type Path, positionOf } from "../load/marks.ts";
import type { BootFileDoc, Doc, Firmware, InstallerDoc, Loader, SiteDoc } from "../validate/documents.ts";
import { isHostIn, parseIp, parseMac, parsePool } from "./address.ts";
import type { Claims } from "./links.ts";
import type { BootFile, Netboot, NetInstaller, Network, Node, NodeNetboot, Site } from "./model.ts";

/** What each firmware can run. PXELINUX is a program for BIOS; its UEFI relative is another one, and not offered. */
const runsOn: { readonly [loader in Loader]: readonly Firmware[] } = {
  ipxe: ["bios", "uefi"],
  grub: ["bios", "uefi"],
  pxelinux: ["bios"],
};

/** A node before it is known what it boots from the network. */
export type NodeDraft = Omit<Node, "netboot">;

/**
 * Resolves `netboot` of the site and of its nodes; problems are added.
 * @param claims addresses and cards that are taken; the cards that only `netboot` names are added
 * @returns the site's part, null where it says nothing of it, and the nodes with theirs
 */
export function resolveNetboot(
  site: Doc<SiteDoc>,
  management: Network,
  drafts: readonly NodeDraft[],
  claims: Claims,
  targets: ReadonlySet<string>,
  problems: Problems,
): { readonly netboot: Netboot | null; readonly nodes: readonly Node[] } {
  const resolver = new Resolver(site, management, claims, targets, problems);
  const netboot = resolver.netboot();
  return { netboot, nodes: drafts.map((draft) => ({ ...draft, netboot: resolver.node(draft, netboot) })) };
}

class Resolver {
  readonly #site: Doc<SiteDoc>;
  readonly #management: Network;
  readonly #claims: Claims;
  readonly #targets: ReadonlySet<string>;
  readonly #problems: Problems;
  readonly #serials = new Map<string, Path>();
  readonly #uuids = new Map<string, Path>();

  constructor(
    site: Doc<SiteDoc>,
    management: Network,
    claims: Claims,
    targets: ReadonlySet<string>,
    problems: Problems,
  ) {
    this.#site = site;
    this.#management = management;
    this.#claims = claims;
    this.#targets = targets;
    this.#problems = problems;
  }

  #at(path: Path, part: "key" | "value" = "value"): Position {
    return positionOf(this.#site.loaded, path, part);
  }

  #fail(
    code: ProblemCode,
    path: Path,
    message: string,
    more: {
      readonly part?: "key";
      readonly hint?: string | undefined;
      readonly also?: readonly { readonly at: Position; readonly label: string }[];
      readonly notice?: true;
    } = {},
  ): void {
    this.#problems.add({
      code,
      at: this.#at(path, more.part),
      message,
      ...(more.hint === undefined ? {} : { hint: more.hint }),
      ...(more.also === undefined ? {} : { also: more.also }),
      ...(more.notice === undefined ? {} : { notice: more.notice }),
    });
  }

  // The site

  netboot(): Netboot | null {
    const doc = this.#site.doc.netboot;
    if (doc === undefined) return null;
    const server = this.#server(doc.server);
    const port = doc.port ?? 80;
    const loaders = {
      bios: doc.loaders?.bios ?? "ipxe",
      uefi: doc.loaders?.uefi ?? "grub",
    } as const;
    for (const firmware of ["bios", "uefi"] as const)
      this.#checkLoader(
        loaders[firmware],
        firmware,
        ["netboot", "loaders", firmware],
        `${firmware} firmware`,
      );
    if (port !== 80 && Object.values(loaders).includes("grub"))
      this.#fail(
        "bad-netboot",
        ["netboot", "port"],
        `GRUB is to fetch from port ${port}: not every distribution's GRUB heeds a port, and some ask port 80 without a word`,
        { hint: "leave the port out, or choose ipxe", notice: true },
      );
    return {
      server,
      port,
      base: `http://${server}${port === 80 ? "" : `:${port}`}`,
      dhcp: doc.dhcp ?? "none",
      pool: this.#pool(server),
      loaders,
      seedSeconds: doc.seeds === undefined ? null : (seconds(doc.seeds.for) ?? null),
      installers: this.#installers(),
      from: this.#at(["netboot"], "key"),
    };
  }

  #server(text: string): string {
    const path: Path = ["netboot", "server"];
    const ip = parseIp(text);
    const range = this.#management.ranges[0];
    if (ip === null || range === undefined || !isHostIn(range, ip)) {
      this.#fail("bad-address", path, `${text} is not an address of the management network`, {
        hint: `machines reach the boot server at an address of ${range?.text ?? "the management network"}`,
        also: [{ at: this.#at([...this.#management.path, "cidr"]), label: "the management network" }],
      });
      return text;
    }
    const taken = this.#claims.addresses.get(ip.text);
    if (taken !== undefined)
      this.#fail("bad-address", path, `${ip.text} is the boot server's address and that of ${owner(taken)}`, {
        hint: "give the boot server an address of its own",
        also: [{ at: this.#at(taken), label: "the other one" }],
      });
    return ip.text;
  }

  #pool(server: string): Netboot["pool"] {
    const doc = this.#site.doc.netboot;
    const path: Path = ["netboot", "range"];
    if (doc?.range === undefined) return null;
    if (doc.dhcp !== "full") {
      this.#fail("bad-netboot", path, `a range of addresses is given out with dhcp: full only`, {
        part: "key",
        hint: "take it out, or say dhcp: full",
      });
      return null;
    }
    const pool = parsePool(doc.range);
    const range = this.#management.ranges[0];
    if (pool === null || range === undefined || !isHostIn(range, pool.first) || !isHostIn(range, pool.last)) {
      this.#fail("bad-address", path, `"${doc.range}" is no range of addresses of the management network`, {
        hint: "the first and the last address, such as 10.0.0.100-10.0.0.199",
        also: [{ at: this.#at([...this.#management.path, "cidr"]), label: "the management network" }],
      });
      return null;
    }
    const inside = (text: string): boolean => {
      const ip = parseIp(text);
      return ip !== null && ip.family === 4 && ip.value >= pool.first.value && ip.value <= pool.last.value;
    };
    const covered = [...this.#claims.addresses].filter(([address]) => inside(address));
    const also = covered.map(([address, at]) => ({
      at: this.#at(at),
      label: `${address} of ${owner(at)}`,
    }));
    const names = covered.map(([address]) => address);
    if (inside(server)) {
      names.push(server);
      also.push({ at: this.#at(["netboot", "server"]), label: `${server} of the boot server` });
    }
    if (range.gateway !== null && inside(range.gateway)) {
      names.push(range.gateway);
      also.push({
        at: this.#at([...this.#management.path, "gateway"]),
        label: `${range.gateway} of the gateway`,
      });
    }
    if (names.length > 0)
      this.#fail("bad-address", path, `the DHCP range ${doc.range} covers ${some(names)}`, {
        hint: "a machine that is no node would get an address that is taken: leave fixed addresses out of the range",
        also: also.slice(0, 8),
      });
    return { first: pool.first.text, last: pool.last.text };
  }

  #installers(): ReadonlyMap<string, NetInstaller> {
    const found = new Map<string, NetInstaller>();
    for (const [target, doc] of Object.entries(this.#site.doc.netboot?.installers ?? {})) {
      const path: Path = ["netboot", "installers", target];
      if (!this.#targets.has(target)) {
        this.#fail("unknown-target", path, `there is no target "${target}"`, {
          part: "key",
          hint: suggest(target, [...this.#targets]),
        });
        continue;
      }
      found.set(target, this.#installer(target, doc, path));
    }
    return found;
  }

  #installer(target: string, doc: InstallerDoc, path: Path): NetInstaller {
    const names = new Map<string, string>();
    const file = (key: "kernel" | "initrd" | "image", one: BootFileDoc): BootFile => {
      const made = this.#bootFile(one, [...path, key]);
      const other = names.get(made.name);
      if (other !== undefined)
        this.#fail("bad-netboot", [...path, key], `${key} and ${other} have the same name, ${made.name}`, {
          hint: "they lie in one folder: rename one",
        });
      names.set(made.name, key);
      return made;
    };
    return {
      target,
      kernel: file("kernel", doc.kernel),
      initrd: file("initrd", doc.initrd),
      image: doc.image === undefined ? null : file("image", doc.image),
      arguments: doc.arguments ?? [],
      from: this.#at(path, "key"),
    };
  }

  #bootFile(doc: BootFileDoc, path: Path): BootFile {
    const from = this.#at(path);
    const text = doc.url ?? doc.file ?? "";
    if ((doc.url === undefined) === (doc.file === undefined))
      this.#fail("bad-netboot", path, "a file that machines boot comes from a url or is a file here", {
        hint: "say one of url: and file:",
      });
    if (doc.url !== undefined && doc.sha256 === undefined)
      this.#fail("missing-key", path, `nothing says which SHA-256 ${doc.url} must have`, {
        hint: "add sha256: its publisher lists it, in SHA256SUMS as a rule",
      });
    const name = decodeURIComponent((text.split(/[?#]/)[0] ?? "").split("/").at(-1) ?? "");
    if (!/^[A-Za-z0-9][A-Za-z0-9._+-]*$/.test(name) && text !== "")
      this.#fail("bad-name", path, `"${name}" is no name that every loader can ask for`, {
        hint: "letters, digits, dots, dashes, underscores",
      });
    return {
      name,
      source: doc.url === undefined ? { kind: "file", file: doc.file ?? "" } : { kind: "url", url: doc.url },
      sha256: doc.sha256 ?? null,
      from,
    };
  }

  #checkLoader(loader: Loader, firmware: Firmware, path: Path, whose: string): void {
    if (runsOn[loader].includes(firmware)) return;
    const others = (Object.keys(runsOn) as Loader[]).filter((one) => runsOn[one].includes(firmware));
    this.#fail(
      "bad-netboot",
      path,
      `${whose} cannot run ${loader}, which is a program for ${runsOn[loader]}`,
      {
        hint: `choose ${others.join(" or ")}`,
      },
    );
  }

  /** What a node is known by where no MAC address is must be what its loader tells. iPXE tells all of it. */
  #checkMarks(draft: NodeDraft, netboot: Netboot, hasUuid: boolean): void {
    const own = draft.doc.netboot?.loader;
    const firmwares: readonly Firmware[] = draft.firmware === null ? ["bios", "uefi"] : [draft.firmware];
    const silent = firmwares
      .map((firmware) => own ?? netboot.loaders[firmware])
      .filter((loader) => loader === "grub" || (loader === "pxelinux" && !hasUuid));
    const [loader] = silent;
    if (loader === undefined) return;
    const lacks = loader === "grub" ? "no MAC address" : "neither MAC address nor UUID";
    this.#fail(
      "bad-netboot",
      [...draft.path, "netboot"],
      `${draft.name} has ${lacks} here, and ${loader} tells nothing else of its machine`,
      {
        part: "key",
        hint: "give a card's MAC address, or boot it by ipxe",
        ...(silent.length < firmwares.length ? { notice: true } : {}),
      },
    );
  }

  // Nodes

  node(draft: NodeDraft, netboot: Netboot | null): NodeNetboot | null {
    const doc = draft.doc.netboot;
    const path: Path = [...draft.path, "netboot"];
    if (netboot === null) {
      if (doc !== undefined)
        this.#fail("bad-netboot", path, "the site does not say how machines boot from the network", {
          part: "key",
          hint: "add netboot: { server: ... } to the site",
        });
      return null;
    }
    const management = this.#management.name;
    const cards = draft.devices.filter((device) => device.kind === "card" && device.mac !== null);
    const macs = [
      ...cards.filter(({ networks }) => networks.includes(management)),
      ...cards.filter(({ networks }) => !networks.includes(management)),
    ].map((card) => (card as { readonly mac: string }).mac);
    for (const [index, text] of (doc?.macs ?? []).entries()) {
      const mac = this.#mac(text, [...path, "macs", index]);
      if (mac !== null && !macs.includes(mac)) macs.push(mac);
    }
    const serial = doc?.serial ?? null;
    if (serial !== null) this.#once(this.#serials, serial, [...path, "serial"], `the serial ${serial}`);
    const uuid = doc?.uuid?.toLowerCase() ?? null;
    if (uuid !== null) this.#once(this.#uuids, uuid, [...path, "uuid"], `the UUID ${uuid}`);
    if (macs.length === 0 && serial === null && uuid === null)
      this.#fail("bad-netboot", draft.path, `nothing says how ${draft.name} is known when it boots`, {
        part: "key",
        hint: "give a card's MAC address, or netboot: { serial: ... }",
        notice: true,
      });
    else if (macs.length === 0) this.#checkMarks(draft, netboot, uuid !== null);
    if (doc?.loader !== undefined) {
      if (draft.firmware === null)
        this.#fail(
          "bad-netboot",
          [...path, "loader"],
          `"${draft.name}" has a loader of its own, and nothing says whether its firmware is uefi or bios`,
          { hint: "add firmware: uefi or firmware: bios" },
        );
      else
        this.#checkLoader(
          doc.loader,
          draft.firmware,
          [...path, "loader"],
          `the firmware of ${draft.name} (${draft.firmware})`,
        );
    }
    if ((draft.interfaces.get(management)?.vlan ?? null) !== null)
      this.#fail(
        "bad-netboot",
        [...draft.path, "interfaces", management],
        `${draft.name} has the management network under a tag, and firmware boots without tags as a rule`,
        {
          part: "key",
          hint: "make it the port's untagged (native) network, or set the tag in the firmware",
          notice: true,
        },
      );
    return {
      macs,
      serial,
      uuid,
      loader: doc?.loader ?? null,
      installer: this.#installerOf(draft, netboot),
      from: doc === undefined ? this.#at(draft.path, "key") : this.#at(path, "key"),
    };
  }

  #installerOf(draft: NodeDraft, netboot: Netboot): NetInstaller | null {
    const { target } = draft.target;
    const installer = netboot.installers.get(target) ?? null;
    if (installer === null)
      this.#fail(
        "bad-netboot",
        ["netboot"],
        `nothing says what installs ${target}: its nodes are told to boot their disks`,
        { part: "key", hint: `add installers: { ${target}: { kernel: ..., initrd: ... } }`, notice: true },
      );
    else if (draft.install !== null && installer.image === null)
      this.#fail(
        "missing-key",
        ["netboot", "installers", target],
        `the installer of ${target} is to be booted without its image`,
        { part: "key", hint: "add image: the ISO image that kernel and initrd are from" },
      );
    return installer;
  }

  #mac(text: string, path: Path): string | null {
    const mac = parseMac(text);
    if (mac === null) {
      this.#fail("bad-mac", path, `"${text}" is not the MAC address of a network card`, {
        hint: "six pairs of hexadecimal digits in quotes, the second digit even",
      });
      return null;
    }
    const other = this.#claims.macs.get(mac);
    if (other === undefined) this.#claims.macs.set(mac, { path, member: false });
    // A node may name a card again that it has.
    else if (other.path[1] !== path[1])
      this.#fail("bad-mac", path, `the MAC address ${mac} is used twice`, {
        hint: "nobody could tell which node the machine is",
        also: [{ at: this.#at(other.path), label: "the first" }],
      });
    return mac;
  }

  #once(seen: Map<string, Path>, value: string, path: Path, what: string): void {
    const other = seen.get(value);
    if (other === undefined) seen.set(value, path);
    else
      this.#fail("bad-netboot", path, `${what} is that of two nodes, ${other[1]} and ${path[1]}`, {
        hint: "nobody could tell which node the machine is",
        also: [{ at: this.#at(other), label: "the first" }],
      });
  }
}

/** Whose address a claim is, in words. */
function owner(path: Path): string {
  return path[0] === "nodes" ? String(path[1]) : `the ${String(path[0])}`;
}

function some(names: readonly string[]): string {
  return names.length <= 4
    ? names.join(", ")
    : `${names.slice(0, 4).join(", ")} and ${names.length - 4} more`;
}

// Who a machine is

/** What a machine tells of itself; at least one. */
export interface Identity {
  readonly mac?: string;
  readonly serial?: string;
  readonly uuid?: string;
}

export type Match =
  | { readonly kind: "node"; readonly node: Node; readonly by: readonly (keyof Identity)[] }
  | { readonly kind: "nobody" }
  /** What it tells are different nodes' marks. */
  | {
      readonly kind: "ambiguous";
      readonly nodes: readonly { readonly node: Node; readonly by: keyof Identity }[];
    };

/**
 * Tells which node a machine is. Marks that no node has say nothing; all that some node has must be the same node's.
 * MAC addresses may have dashes and capitals.
 */
export function matchMachine(site: Site, identity: Identity): Match {
  const index = indexOf(site);
  const found: { node: Node; by: keyof Identity }[] = [];
  const mac = identity.mac === undefined ? null : parseMac(identity.mac);
  const byMac = mac === null ? undefined : index.macs.get(mac);
  if (byMac !== undefined) found.push({ node: byMac, by: "mac" });
  const bySerial = identity.serial === undefined ? undefined : index.serials.get(identity.serial);
  if (bySerial !== undefined) found.push({ node: bySerial, by: "serial" });
  const byUuid = identity.uuid === undefined ? undefined : index.uuids.get(identity.uuid.toLowerCase());
  if (byUuid !== undefined) found.push({ node: byUuid, by: "uuid" });
  const [first] = found;
  if (first === undefined) return { kind: "nobody" };
  if (found.some(({ node }) => node !== first.node)) return { kind: "ambiguous", nodes: found };
  return { kind: "node", node: first.node, by: found.map(({ by }) => by) };
}

interface Index {
  readonly macs: ReadonlyMap<string, Node>;
  readonly serials: ReadonlyMap<string, Node>;
  readonly uuids: ReadonlyMap<string, Node>;
}

const indexes = new WeakMap<Site, Index>();

/** Made once a site: a server asks it for every request. */
function indexOf(site: Site): Index {
  const known = indexes.get(site);
  if (known !== undefined) return known;
  const macs = new Map<string, Node>();
  const serials = new Map<string, Node>();
  const uuids = new Map<string, Node>();
  for (const node of site.nodes) {
    for (const mac of node.netboot?.macs ?? []) macs.set(mac, node);
    if (node.netboot?.serial != null) serials.set(node.netboot.serial, node);
    if (node.netboot?.uuid != null) uuids.set(node.netboot.uuid, node);
  }
  const index = { macs, serials, uuids };
  indexes.set(site, index);
  return index;
}

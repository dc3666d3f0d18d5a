/**
 * A node's place in the networks: from what the site says of its cards, links and interfaces to the devices that are
 * made at boot. What cannot work is a problem here, as at boot it would be a machine that nobody reaches.
 */
import type { Position } from "../core/position.ts";
import type { ProblemCode } from "../core/problem.ts";
import { suggest } from "../core/suggest.ts";
import { type Path, positionOf } from "../load/marks.ts";
import type { Doc, InterfaceDoc, LinkDoc, NodeDoc, SiteDoc } from "../validate/documents.ts";
import { contains, hostsOf, isHostIn, parseIp, parseMac } from "./address.ts";
import type { Device, Interface, InterfaceAddress, IpConfig, Network } from "./model.ts";
import { each, type Networks } from "./networks.ts";
import type { Rendering } from "./template.ts";

/** What must be unique in the whole site, with the place of the first claim. */
export interface Claims {
  readonly addresses: Map<string, Path>;
  readonly macs: Map<string, { readonly path: Path; readonly member: boolean }>;
}

export interface NodeNetworks {
  readonly interfaces: ReadonlyMap<string, Interface>;
  readonly devices: readonly Device[];
}

/** What Linux and switches take where nobody says otherwise. */
const usualMtu = 1500;

/** A card of a bond. */
interface Member {
  /** The name it has or is given. */
  readonly id: string;
  readonly mac: string | null;
  readonly path: Path;
}

/** A card or bond, and what lies over it. */
interface Base {
  readonly kind: "card" | "bond";
  readonly path: Path;
  /** Whether it stands in `links`: then it is called by its name there. */
  readonly link: string | null;
  readonly doc: LinkDoc;
  readonly mac: string | null;
  /** Of a bond: its cards. */
  readonly members: readonly Member[];
  readonly untagged: Draft[];
  readonly tagged: Draft[];
}

/** An interface under construction. */
interface Draft {
  readonly network: Network;
  readonly doc: InterfaceDoc;
  readonly path: Path;
  readonly tagged: boolean;
  readonly addresses: readonly InterfaceAddress[];
  readonly dhcp: boolean;
  readonly slaac: boolean;
}

/** Resolves the interfaces of one node. Problems are added; what is returned then may lack what was wrong. */
export function resolveNodeNetworks(
  name: string,
  node: NodeDoc,
  site: Doc<SiteDoc>,
  networks: Networks,
  claims: Claims,
  rendering: Rendering,
): NodeNetworks {
  return new NodeResolver(name, node, site, networks, claims, rendering).resolve();
}

class NodeResolver {
  readonly #name: string;
  readonly #node: NodeDoc;
  readonly #site: Doc<SiteDoc>;
  readonly #networks: Networks;
  readonly #claims: Claims;
  readonly #rendering: Rendering;
  /** Cards by name, as a name says nothing on another node. */
  readonly #cards = new Map<string, { readonly path: Path; readonly member: boolean }>();
  readonly #bases = new Map<string, Base>();
  readonly #drafts: { draft: Draft; base: Base }[] = [];
  readonly #names = new Map<string, Path>();

  constructor(
    name: string,
    node: NodeDoc,
    site: Doc<SiteDoc>,
    networks: Networks,
    claims: Claims,
    rendering: Rendering,
  ) {
    this.#name = name;
    this.#node = node;
    this.#site = site;
    this.#networks = networks;
    this.#claims = claims;
    this.#rendering = rendering;
  }

  resolve(): NodeNetworks {
    for (const [name, doc] of Object.entries(this.#node.links ?? {})) this.#link(name, doc);
    // Cards first: a network may lie over the card of one that is listed later.
    const entries = Object.entries(this.#node.interfaces ?? {}).map(([name, doc]) => ({
      name,
      doc,
      path: ["nodes", this.#name, "interfaces", name] as Path,
      network: this.#networks.byName.get(name),
    }));
    const drafts = new Map<string, Draft>();
    for (const { name, doc, path, network } of entries) {
      if (network === undefined) {
        this.#report("unknown-network", path, `the site has no network "${name}"`, {
          part: "key",
          hint: suggest(name, [...this.#networks.byName.keys()]),
        });
        continue;
      }
      const draft = this.#draft(network, doc, path);
      drafts.set(name, draft);
      if (doc.over === undefined) this.#ownCard(name, draft);
      else if (doc.mac !== undefined)
        this.#report(
          "bad-link",
          [...path, "mac"],
          `the interface "${name}" has a card and lies over "${doc.over}"`,
          {
            part: "key",
            hint: "say one of both: a card of its own, or what it lies over",
          },
        );
    }
    for (const { name, doc } of entries) {
      const draft = drafts.get(name);
      if (draft !== undefined && doc.over !== undefined && doc.mac === undefined)
        this.#lay(name, doc.over, draft);
    }
    this.#checkManagement(drafts);
    this.#reportUnusedLinks();
    for (const base of this.#bases.values()) this.#checkSharing(base);
    const routes = this.#defaultRoutes();
    return this.#build(routes);
  }

  // Reports

  #at(path: Path, part: "key" | "value" = "value"): Position {
    return positionOf(this.#site.loaded, path, part);
  }

  #report(
    code: ProblemCode,
    path: Path,
    message: string,
    more: {
      part?: "key";
      hint?: string | undefined;
      also?: readonly [path: Path, label: string, part?: "key" | "value"];
      notice?: true;
    } = {},
  ): void {
    this.#rendering.problems.add({
      code,
      at: this.#at(path, more.part ?? "value"),
      message,
      ...(more.hint === undefined ? {} : { hint: more.hint }),
      ...(more.also === undefined
        ? {}
        : { also: [{ at: this.#at(more.also[0], more.also[2] ?? "value"), label: more.also[1] }] }),
      ...(more.notice === true ? { notice: true as const } : {}),
    });
  }

  // Cards and links

  /** Parses a MAC address and claims its card. */
  #mac(text: string, path: Path, member: boolean): string | null {
    const mac = parseMac(text);
    if (mac === null) {
      this.#report("bad-mac", path, `"${text}" is not the MAC address of a network card`, {
        hint: "six pairs of hexadecimal digits in quotes, the second digit even",
      });
      return null;
    }
    const other = this.#claims.macs.get(mac);
    if (other !== undefined) {
      if (member || other.member) this.#claimedTwice(`the card ${mac}`, path, other);
      else
        this.#report("bad-mac", path, `the MAC address ${mac} is used twice`, {
          hint: "each card has its own",
          also: [other.path, "the first"],
        });
    }
    this.#claims.macs.set(mac, { path, member });
    return mac;
  }

  #card(name: string, path: Path, member: boolean): void {
    const other = this.#cards.get(name);
    if (other !== undefined) this.#claimedTwice(`the card ${name}`, path, other);
    this.#cards.set(name, { path, member });
  }

  #claimedTwice(card: string, path: Path, other: { path: Path; member: boolean }): void {
    this.#report("bad-link", path, `${card} is claimed twice`, {
      hint: "a member of a bond belongs to that bond alone",
      also: [other.path, other.member ? "the bond" : "the other claim"],
    });
  }

  #link(name: string, doc: LinkDoc): void {
    const path: Path = ["nodes", this.#name, "links", name];
    const bond = doc.members !== undefined;
    if (bond !== (doc.mode !== undefined)) {
      this.#report(
        "missing-key",
        path,
        bond ? `the bond "${name}" lacks the key "mode"` : `the link "${name}" has a mode and no members`,
        {
          part: "key",
          hint: bond
            ? "mode: lacp where the switch speaks it, else active-backup"
            : "a bond has members: [...]",
        },
      );
    }
    const only = (key: "hash" | "rate" | "primary", mode: "lacp" | "active-backup"): void => {
      if (doc[key] !== undefined && doc.mode !== mode)
        this.#report("bad-link", [...path, key], `"${key}" is for bonds with mode: ${mode}`, {
          part: "key",
          hint: "take it out, or change the mode",
        });
    };
    only("hash", "lacp");
    only("rate", "lacp");
    only("primary", "active-backup");
    if (doc.primary !== undefined && bond && !doc.members.includes(doc.primary))
      this.#report("bad-link", [...path, "primary"], `${doc.primary} is not a member of "${name}"`, {
        hint: "name one of the members, as it is written there",
      });
    if (bond && name.length > 12)
      this.#report("bad-name", path, `the bond's name "${name}" is too long`, {
        part: "key",
        hint: "at most 12 characters, as its cards are named after it",
      });
    // A card may be named by the address that its bond shall have, so that of a bond is no claim on a card.
    const mac =
      doc.mac === undefined ? null : bond ? parseMac(doc.mac) : this.#mac(doc.mac, [...path, "mac"], false);
    if (bond && doc.mac !== undefined && mac === null) this.#mac(doc.mac, [...path, "mac"], false);
    if (!bond && doc.mac === undefined) this.#card(name, path, false);
    this.#claimName(name, path);
    const members = (doc.members ?? []).map((text, index) =>
      this.#member(name, text, [...path, "members", index], index),
    );
    const kind = bond ? "bond" : "card";
    this.#bases.set(name, { kind, path, link: name, doc, mac, members, untagged: [], tagged: [] });
  }

  #member(bond: string, text: string, path: Path, index: number): Member {
    if (text.includes(":") || /^([0-9a-f]{2}-){5}/i.test(text)) {
      const id = `${bond}p${index + 1}`;
      this.#claimName(id, path);
      return { id, mac: this.#mac(text, path, true), path };
    }
    if (/^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/.test(text)) this.#card(text, path, true);
    else
      this.#report("bad-name", path, `"${text}" is neither a MAC address nor the name of a card`, {
        hint: "give the card's MAC address in quotes",
      });
    return { id: text, mac: null, path };
  }

  #claimName(name: string, path: Path): void {
    const other = this.#names.get(name);
    if (other !== undefined)
      this.#report("bad-link", path, `two devices of "${this.#name}" are called "${name}"`, {
        part: "key",
        hint: "give one of them another name",
        also: [other, "the first", "key"],
      });
    else this.#names.set(name, path);
  }

  // Interfaces

  #draft(network: Network, doc: InterfaceDoc, path: Path): Draft {
    const addresses: InterfaceAddress[] = [];
    let dhcp = false;
    let slaac = false;
    for (const [text, place] of each(doc.address, [...path, "address"])) {
      if (text === "dhcp") dhcp = true;
      else if (text === "slaac") {
        slaac = true;
        if (!network.ranges.some(({ family }) => family === 6))
          this.#report(
            "bad-address",
            place,
            `slaac makes IPv6 addresses, and ${network.name} has no IPv6 range`,
            {
              hint: "add one to the network's cidr",
            },
          );
      } else {
        const address = this.#address(network, text, place);
        if (address !== null) addresses.push(address);
      }
    }
    const mtu = doc.mtu;
    const usual = network.mtu ?? usualMtu;
    if (mtu !== undefined && mtu !== usual)
      this.#report(
        "mtu-differs",
        [...path, "mtu"],
        `"${this.#name}" has an MTU of ${mtu} on ${network.name}, where other nodes have ${usual}`,
        {
          hint: "nodes of one network need one MTU, else large packets are lost; say it at the network",
          notice: true,
        },
      );
    return {
      network,
      doc,
      path,
      tagged: doc.over !== undefined && network.vlan !== null && doc.tagged !== false,
      addresses,
      dhcp,
      slaac,
    };
  }

  #address(network: Network, text: string, place: Path): InterfaceAddress | null {
    const ip = parseIp(text);
    if (ip === null) {
      this.#report("bad-address", place, `"${text}" is not an IP address`, {
        hint: "write it like 10.0.0.11 or 2001:db8::11, without a prefix; or dhcp, or slaac",
      });
      const range = network.ranges[0];
      return range === undefined ? null : { text, family: range.family, range };
    }
    const range = network.ranges.find((one) => contains(one, ip));
    const cidrs = network.ranges.map((one) => one.text).join(" and ");
    if (range === undefined || !isHostIn(range, ip)) {
      const near = range ?? network.ranges.find(({ family }) => family === ip.family);
      const hosts = near === undefined ? null : hostsOf(near);
      this.#report("bad-address", place, `${text} is not a host address of ${network.name} (${cidrs})`, {
        hint:
          hosts === null
            ? `the network has no IPv${ip.family} range`
            : `choose one between ${hosts[0]} and ${hosts[1]}`,
      });
    } else if (range.gateway === ip.text)
      this.#report("bad-address", place, `${text} is the gateway of ${network.name}`, {
        hint: "give the node or the gateway another address",
        also: [[...network.path, "gateway"], "the gateway"],
      });
    else {
      const other = this.#claims.addresses.get(ip.text);
      if (other !== undefined)
        this.#report("bad-address", place, `the address ${text} is used twice`, {
          hint: "each node has its own",
          also: [other, "the first"],
        });
    }
    this.#claims.addresses.set(ip.text, place);
    // One that is wrong is an address all the same: that the node has none would be a second report of it.
    const within = range ?? network.ranges[0];
    return within === undefined ? null : { text: ip.text, family: ip.family, range: within };
  }

  /** An interface that has its card to itself, or is what other networks lie over. */
  #ownCard(name: string, draft: Draft): void {
    const { doc, path } = draft;
    let mac: string | null = null;
    if (doc.mac !== undefined) mac = this.#mac(doc.mac, [...path, "mac"], false);
    else if (doc.name === undefined)
      this.#report("bad-mac", path, `the interface "${name}" of "${this.#name}" has neither mac nor name`, {
        part: "key",
        hint: "seedsmith must know which card it is: give its MAC address, or with over: the link it lies over",
      });
    else this.#card(doc.name, [...path, "name"], false);
    if (doc.tagged !== undefined)
      this.#report(
        "bad-link",
        [...path, "tagged"],
        `"${name}" has its card to itself, so nothing is tagged there`,
        {
          part: "key",
          hint: "take it out; where several networks share a card, say over:",
        },
      );
    const base: Base = {
      kind: "card",
      path,
      link: null,
      doc: {},
      mac,
      members: [],
      untagged: [draft],
      tagged: [],
    };
    const link = this.#bases.get(name);
    if (link !== undefined)
      this.#report("bad-link", path, `the network "${name}" has a card of its own, and a link has its name`, {
        part: "key",
        hint: `give the link another name, or say over: ${name} in place of the card`,
        also: [link.path, "the link", "key"],
      });
    else {
      this.#bases.set(name, base);
      this.#drafts.push({ draft, base });
    }
  }

  /** An interface over a link, or over the card of another network. */
  #lay(name: string, over: string, draft: Draft): void {
    const { path, doc } = draft;
    const base = this.#bases.get(over);
    if (base === undefined) {
      const other = this.#node.interfaces?.[over]?.over;
      this.#report("unknown-link", [...path, "over"], `"${this.#name}" has no link "${over}"`, {
        hint:
          other === undefined
            ? (suggest(over, [...this.#bases.keys()]) ??
              "add it to the node's links: a card, or a bond of cards")
            : `"${over}" lies over "${other}" itself: say over: ${other}`,
      });
      return;
    }
    if (doc.tagged !== undefined && draft.network.vlan === null)
      this.#report(
        "bad-link",
        [...path, "tagged"],
        `the network "${name}" has no vlan, so nothing is tagged`,
        {
          part: "key",
          hint: "give the network a vlan, or take tagged out",
        },
      );
    if (doc.name !== undefined && !draft.tagged)
      this.#report(
        "bad-link",
        [...path, "name"],
        `"${name}" is untagged on "${over}", which has its name already`,
        {
          part: "key",
          hint: "take the name out",
        },
      );
    (draft.tagged ? base.tagged : base.untagged).push(draft);
    this.#drafts.push({ draft, base });
  }

  // What does not go together

  #checkManagement(drafts: ReadonlyMap<string, Draft>): void {
    const { name } = this.#networks.management;
    const draft = drafts.get(name);
    const place: Path = ["nodes", this.#name];
    if (draft === undefined || draft.doc.address === undefined)
      this.#report("bad-address", place, `"${this.#name}" has no address on the management network`, {
        part: "key",
        hint: `add interfaces: { ${name}: { mac: ..., address: ... } }`,
      });
    else if (draft.dhcp || !each(draft.doc.address, []).some(([text]) => parseIp(text)?.family === 4)) {
      if (
        each(draft.doc.address, []).every(
          ([text]) => text === "dhcp" || text === "slaac" || parseIp(text) !== null,
        )
      )
        this.#report(
          "bad-address",
          [...draft.path, "address"],
          `"${this.#name}" would not be reachable by management: it needs a fixed IPv4 address there`,
          { hint: "other nodes are told this address before the node exists; IPv6 may be added to it" },
        );
    }
  }

  #reportUnusedLinks(): void {
    for (const { link, path, untagged, tagged } of this.#bases.values()) {
      if (link !== null && untagged.length === 0 && tagged.length === 0)
        this.#report(
          "unused-definition",
          path,
          `no network of "${this.#name}" lies over the link "${link}"`,
          {
            part: "key",
            hint: `say over: ${link} at one of its interfaces, or take the link out`,
          },
        );
    }
  }

  #nameOf(base: Base): string {
    return base.link ?? base.untagged[0]?.doc.name ?? base.untagged[0]?.network.name ?? "";
  }

  #checkSharing(base: Base): void {
    const isProvider = ({ network }: Draft): boolean => network.role === "provider";
    const isManagement = ({ network }: Draft): boolean => network === this.#networks.management;
    const all = [...base.untagged, ...base.tagged];
    const provider = base.untagged.find(isProvider);
    const management = all.find(isManagement);
    const [first, second] = base.untagged;
    const name = this.#nameOf(base);
    if (provider !== undefined && management !== undefined)
      this.#report(
        "bad-link",
        provider.path,
        `the provider network would take over ${name}, which carries management`,
        {
          part: "key",
          hint: "the bridge of the provider network takes its interface whole, and with it the node's address: give it a card, a bond or a vlan of its own",
          also: [management.path, "management", "key"],
        },
      );
    else if (first !== undefined && second !== undefined)
      this.#report(
        "bad-link",
        second.path,
        `${name} carries "${first.network.name}" and "${second.network.name}" untagged`,
        {
          part: "key",
          hint: "a link tells networks apart by their tags: give one of the networks a vlan",
          also: [first.path, "the other", "key"],
        },
      );
    const tags = new Map<number, Draft>();
    for (const draft of base.tagged) {
      const tag = draft.network.vlan as number;
      const other = tags.get(tag);
      if (other !== undefined)
        this.#report(
          "bad-link",
          draft.path,
          `${name} carries "${other.network.name}" and "${draft.network.name}" with the tag ${tag}`,
          {
            part: "key",
            hint: "give each network a vlan of its own, or lay them over different links",
            also: [[...other.network.path, "vlan"], "the first"],
          },
        );
      tags.set(tag, draft);
    }
    this.#checkMtu(base, first);
  }

  #mtuOf({ doc, network }: Draft): number | null {
    return doc.mtu ?? network.mtu;
  }

  /** A VLAN's packets go out by its parent, which must take them. */
  #checkMtu(base: Base, untagged: Draft | undefined): void {
    if (untagged === undefined) return;
    const parent = this.#mtuOf(untagged) ?? usualMtu;
    for (const draft of base.tagged) {
      const mtu = this.#mtuOf(draft);
      if (mtu === null || mtu <= parent) continue;
      const place = (one: Draft): Path =>
        one.doc.mtu !== undefined
          ? [...one.path, "mtu"]
          : one.network.mtu !== null
            ? [...one.network.path, "mtu"]
            : one.network.path;
      this.#report(
        "bad-mtu",
        place(draft),
        `the MTU ${mtu} of ${draft.network.name} is above ${parent}, that of ${this.#nameOf(base)} which it lies over as a VLAN`,
        {
          hint: `give ${untagged.network.name} an mtu of ${mtu} too, or lay ${draft.network.name} over a link without an untagged network`,
          also: [
            place(untagged),
            `${untagged.network.name}, untagged`,
            this.#mtuOf(untagged) === null ? "key" : "value",
          ],
        },
      );
    }
  }

  // Default routes

  /** Families whose default route is written; for the others DHCP or routers may bring one. */
  #defaultRoutes(): ReadonlySet<4 | 6> {
    const fixed = { 4: [] as Path[], 6: [] as Path[] };
    const brought = { 4: [] as Path[], 6: [] as Path[] };
    for (const { draft } of this.#drafts) {
      const { network } = draft;
      if (network === this.#networks.management) {
        for (const { family, gateway } of network.ranges)
          if (gateway !== null && this.#hasFamily(draft, family))
            fixed[family].push([...network.path, "gateway"]);
      }
      for (const { to, path } of network.routes)
        if (to.prefix === 0 && this.#hasFamily(draft, to.family)) fixed[to.family].push([...path, "to"]);
      const place: Path = [...draft.path, "address"];
      if (this.#dhcp4(draft)) brought[4].push(place);
      if (this.#listens(draft)) brought[6].push(place);
    }
    for (const family of [4, 6] as const) {
      // DHCP is told to bring no route where there is one; routers cannot be told.
      const ways = [...fixed[family], ...(family === 6 || fixed[4].length === 0 ? brought[family] : [])];
      const [first, second] = ways;
      if (first === undefined || second === undefined) continue;
      this.#report("bad-route", second, `a second IPv${family} default route`, {
        hint: `a node has one, else it is luck which is taken: ${
          brought[family].includes(second)
            ? "give the interface fixed addresses, or the other one no gateway"
            : "take one out"
        }`,
        also: [first, "the first"],
      });
    }
    return new Set(([4, 6] as const).filter((family) => fixed[family].length > 0));
  }

  #hasFamily(draft: Draft, family: 4 | 6): boolean {
    return (
      draft.addresses.some((address) => address.family === family) ||
      (draft.dhcp && draft.network.ranges.some((range) => range.family === family))
    );
  }

  /** Whether the node has an address of the family of a server. */
  #reaches(server: string): boolean {
    const family = server.includes(":") ? 6 : 4;
    return this.#drafts.some(({ draft }) => this.#hasFamily(draft, family) || (family === 6 && draft.slaac));
  }

  #dhcp4({ dhcp, network }: Draft): boolean {
    return dhcp && network.ranges.some(({ family }) => family === 4);
  }

  #dhcp6({ dhcp, network }: Draft): boolean {
    return dhcp && network.ranges.some(({ family }) => family === 6);
  }

  /** Whether routers' advertisements are needed: DHCPv6 is begun by them. */
  #listens(draft: Draft): boolean {
    return draft.slaac || this.#dhcp6(draft);
  }

  // Devices

  #ip(draft: Draft, written: ReadonlySet<4 | 6>): IpConfig | null {
    const { network, addresses, dhcp, slaac } = draft;
    if (addresses.length === 0 && !dhcp && !slaac) return null;
    const listens = this.#listens(draft);
    const gateways =
      network === this.#networks.management
        ? network.ranges.filter(
            ({ family, gateway }) =>
              gateway !== null && this.#hasFamily(draft, family) && !(family === 6 && listens),
          )
        : [];
    return {
      addresses: addresses.map(({ text, range }) => `${text}/${range.prefix}`),
      dhcp4: this.#dhcp4(draft),
      dhcp6: this.#dhcp6(draft),
      acceptRa: listens,
      dhcpRoutes: !written.has(4),
      dhcpDns: network.nameservers.length === 0,
      routes: [
        ...gateways.map(({ family, gateway }) => ({
          to: family === 4 ? "0.0.0.0/0" : "::/0",
          via: gateway as string,
        })),
        ...network.routes
          .filter(({ to }) => this.#hasFamily(draft, to.family))
          .map(({ to, via }) => ({ to: to.text, via })),
      ],
      nameservers: network.nameservers.filter((server) => this.#reaches(server)),
      search: network.search,
    };
  }

  #build(written: ReadonlySet<4 | 6>): NodeNetworks {
    const cards: Device[] = [];
    const bonds: Device[] = [];
    const vlans: Device[] = [];
    const bridges: Device[] = [];
    const interfaces = new Map<string, Interface>();
    for (const base of this.#bases.values())
      this.#buildBase(base, written, { cards, bonds, vlans, bridges, interfaces });
    // In the order in which the site lists them, as people look for them there.
    const order = Object.keys(this.#node.interfaces ?? {});
    return {
      interfaces: new Map(
        order.flatMap((name) => {
          const found = interfaces.get(name);
          return found === undefined ? [] : [[name, found] as const];
        }),
      ),
      devices: [...cards, ...bonds, ...vlans, ...bridges],
    };
  }

  #buildBase(
    base: Base,
    written: ReadonlySet<4 | 6>,
    out: {
      cards: Device[];
      bonds: Device[];
      vlans: Device[];
      bridges: Device[];
      interfaces: Map<string, Interface>;
    },
  ): void {
    const [untagged] = base.untagged;
    const networks = [...base.untagged, ...base.tagged].map(({ network }) => network.name);
    if (networks.length === 0) return;
    const mtu =
      untagged !== undefined
        ? this.#mtuOf(untagged)
        : raised(Math.max(...base.tagged.map((draft) => this.#mtuOf(draft) ?? usualMtu)));
    const bridged = untagged?.doc.bridge !== undefined;
    // The place that asked for it: of a card that is one network's alone, that network's.
    const common = {
      networks,
      ip: untagged === undefined || bridged ? null : this.#ip(untagged, written),
      mtu,
    };
    let name: string | null;
    if (base.kind === "bond") {
      name = base.link as string;
      this.#buildBond(base, name, common, out);
    } else {
      const carries = base.link !== null || base.tagged.length > 0 || bridged;
      const own = untagged?.doc.name ?? null;
      // The management card keeps its name, unless something refers to it: cloud-init's own renderers then want one.
      if (base.link !== null) name = base.link;
      else if (base.mac === null) name = own;
      else if (own !== null) name = own;
      else
        name =
          untagged?.network === this.#networks.management && !carries
            ? null
            : (untagged?.network.name ?? null);
      const id = base.mac === null || carries ? (name ?? networks[0] ?? "") : (untagged?.network.name ?? "");
      if (base.link === null && name !== null) this.#claimName(name, base.path);
      out.cards.push({ kind: "card", id, mac: base.mac, name, ...common, path: base.path });
    }
    for (const draft of base.untagged) {
      this.#buildInterface(draft, base, name, written, out);
    }
    for (const draft of base.tagged) {
      const own = draft.doc.name ?? draft.network.name;
      this.#claimName(own, draft.path);
      const bridge = draft.doc.bridge !== undefined;
      const { network } = draft;
      out.vlans.push({
        kind: "vlan",
        id: own,
        tag: network.vlan as number,
        link: name ?? "",
        networks: [network.name],
        ip: bridge ? null : this.#ip(draft, written),
        // A VLAN takes its parent's MTU where it is told none.
        mtu: this.#mtuOf(draft) ?? (mtu === null ? null : usualMtu),
        path: draft.path,
      });
      this.#buildInterface(draft, base, own, written, out);
    }
  }

  #buildBond(
    base: Base,
    name: string,
    common: Pick<Device, "networks" | "ip" | "mtu">,
    out: { cards: Device[]; bonds: Device[] },
  ): void {
    const { doc, members } = base;
    for (const { id, mac, path } of members) {
      const { networks, mtu } = common;
      out.cards.push({ kind: "card", id, mac, name: id, networks, ip: null, mtu, path });
    }
    out.bonds.push({
      kind: "bond",
      id: name,
      members: members.map(({ id }) => id),
      mode: doc.mode ?? "active-backup",
      primary: members[doc.members?.indexOf(doc.primary ?? "") ?? -1]?.id ?? null,
      hash: doc.hash ?? null,
      rate: doc.rate ?? null,
      // That of a card, always the same one: what DHCP and switches know the node by.
      mac: base.mac ?? members[0]?.mac ?? null,
      ...common,
      path: base.path,
    });
  }

  #buildInterface(
    draft: Draft,
    base: Base,
    port: string | null,
    written: ReadonlySet<4 | 6>,
    out: { bonds: Device[]; bridges: Device[]; interfaces: Map<string, Interface> },
  ): void {
    const { network, doc, path, addresses } = draft;
    const bridge = doc.bridge ?? null;
    if (bridge !== null) {
      this.#claimName(bridge, [...path, "bridge"]);
      const bond = out.bonds.find(({ id }) => id === base.link);
      out.bridges.push({
        kind: "bridge",
        id: bridge,
        port: port ?? "",
        mac: base.mac ?? (bond?.kind === "bond" ? bond.mac : null),
        networks: [network.name],
        ip: this.#ip(draft, written),
        mtu: this.#mtuOf(draft),
        path,
      });
    }
    const own = base.link === null && !draft.tagged;
    out.interfaces.set(network.name, {
      network,
      mac: own ? base.mac : null,
      addresses,
      address:
        addresses.find(({ family }) => network !== this.#networks.management || family === 4)?.text ?? null,
      name: bridge ?? port,
      vlan: draft.tagged ? network.vlan : null,
      mtu: this.#mtuOf(draft),
      path,
    });
  }
}

/** An MTU that must be set to be had. */
function raised(mtu: number): number | null {
  return mtu > usualMtu ? mtu : null;
}

/** The networks of a site: ranges, roles, gateways, routes, and what of them cannot work on any node. */
import type { Position } from "../core/position.ts";
import type { ProblemCode } from "../core/problem.ts";
import { type Path, positionOf } from "../load/marks.ts";
import type { Doc, NetworkDoc, Role, SiteDoc } from "../validate/documents.ts";
import { contains, isHostIn, parseIp, parseRange, type Range } from "./address.ts";
import type { Network, NetworkRange, NetworkRoute } from "./model.ts";
import type { Rendering } from "./template.ts";

const roles: readonly Role[] = ["management", "provider", "overlay", "storage"];

/** The networks of a site, and which of them is the management network. */
export interface Networks {
  readonly byName: ReadonlyMap<string, Network>;
  readonly management: Network;
}

/** A value that may stand alone or in a list, with the path of each. */
export function each<T>(value: T | readonly T[] | undefined, path: Path): readonly (readonly [T, Path])[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return (value as readonly T[]).map((one, index) => [one, [...path, index]]);
  return [[value as T, path]];
}

/** @returns null when the networks make no sense; problems are added either way */
export function resolveNetworks(site: Doc<SiteDoc>, rendering: Rendering): Networks | null {
  return new NetworkResolver(site, rendering).resolve();
}

class NetworkResolver {
  readonly #site: Doc<SiteDoc>;
  readonly #rendering: Rendering;
  #sound = true;

  constructor(site: Doc<SiteDoc>, rendering: Rendering) {
    this.#site = site;
    this.#rendering = rendering;
  }

  #at(path: Path, part: "key" | "value" = "value"): Position {
    return positionOf(this.#site.loaded, path, part);
  }

  #fail(
    code: ProblemCode,
    path: Path,
    message: string,
    hint?: string,
    more: { part?: "key"; also?: readonly { at: Position; label: string }[] } = {},
  ): void {
    this.#sound = false;
    this.#rendering.problems.add({
      code,
      at: this.#at(path, more.part ?? "value"),
      message,
      ...(hint === undefined ? {} : { hint }),
      ...(more.also === undefined ? {} : { also: more.also }),
    });
  }

  resolve(): Networks | null {
    const networks = new Map<string, Network>();
    for (const [name, doc] of Object.entries(this.#site.doc.networks)) {
      const path: Path = ["networks", name];
      const ranges = this.#ranges(doc, path);
      if (ranges === null) continue;
      this.#checkGateways(doc, path, ranges);
      networks.set(name, {
        name,
        doc,
        role: doc.role ?? roles.find((role) => role === name) ?? null,
        ranges: ranges.map((range) => this.#withGateway(doc, range)),
        nameservers: this.#nameservers(doc, path),
        search: doc.search ?? [],
        routes: this.#routes(doc, path, ranges),
        vlan: doc.vlan ?? null,
        mtu: doc.mtu ?? null,
        path,
      });
    }
    this.#reportOverlaps(networks);
    this.#reportStolen(networks);
    for (const network of networks.values()) {
      if (network.mtu !== null && network.mtu < 1280 && network.ranges.some(({ family }) => family === 6))
        this.#fail(
          "bad-mtu",
          [...network.path, "mtu"],
          `IPv6 does not work with an MTU of ${network.mtu}`,
          "say at least 1280",
        );
    }
    const management = this.#management(networks);
    return this.#sound && management !== null ? { byName: networks, management } : null;
  }

  #ranges(doc: NetworkDoc, path: Path): readonly Range[] | null {
    const ranges: Range[] = [];
    let sound = true;
    for (const [text, place] of each(doc.cidr, [...path, "cidr"])) {
      const parsed = parseRange(text);
      if (parsed === null || parsed.hostBits) {
        sound = false;
        this.#fail(
          "bad-network",
          place,
          `"${text}" is not a network`,
          parsed === null
            ? `write it like ${text.includes(":") ? "2001:db8:0:1::/64" : "10.0.0.0/24"}`
            : `the network of that address is ${parsed.range.text}`,
        );
      } else ranges.push(parsed.range);
    }
    return sound ? ranges : null;
  }

  #checkGateways(doc: NetworkDoc, path: Path, ranges: readonly Range[]): void {
    const families = new Set<number>();
    for (const [text, place] of each(doc.gateway, [...path, "gateway"])) {
      const ip = parseIp(text);
      // Routers of IPv6 often have no other address than the link's own.
      const linkLocal = ip?.family === 6 && ip.value >> 118n === 0x3fan;
      const inside = ip !== null && ranges.some((range) => isHostIn(range, ip));
      if (ip === null || (!inside && !(linkLocal && ranges.some(({ family }) => family === 6))))
        this.#fail(
          "bad-address",
          place,
          `the gateway ${text} is not an address of ${each(doc.cidr, [])
            .map(([cidr]) => cidr)
            .join(" or ")}`,
          "a gateway must be reachable in its own network",
        );
      else if (families.has(ip.family))
        this.#fail(
          "bad-route",
          place,
          `the network has two IPv${ip.family} gateways`,
          "a node has one default route of each family; name an address that the routers share",
        );
      if (ip !== null) families.add(ip.family);
    }
  }

  /** The gateway belongs to the first range of its family. */
  #withGateway(doc: NetworkDoc, range: Range): NetworkRange {
    const gateway = each(doc.gateway, [])
      .map(([text]) => parseIp(text))
      .find((ip) => ip !== null && ip.family === range.family);
    return { ...range, gateway: gateway?.text ?? null };
  }

  #nameservers(doc: NetworkDoc, path: Path): readonly string[] {
    const servers: string[] = [];
    for (const [text, place] of each(doc.nameservers, [...path, "nameservers"])) {
      const ip = parseIp(text);
      if (ip === null) this.#fail("bad-address", place, `"${text}" is not an IP address`);
      else servers.push(ip.text);
    }
    return servers;
  }

  #routes(doc: NetworkDoc, path: Path, ranges: readonly Range[]): readonly NetworkRoute[] {
    const routes: NetworkRoute[] = [];
    for (const [index, route] of (doc.routes ?? []).entries()) {
      const place: Path = [...path, "routes", index];
      const via = parseIp(route.via);
      const text = route.to === "default" ? (via?.family === 6 ? "::/0" : "0.0.0.0/0") : route.to;
      const to = parseRange(text);
      if (to === null || to.hostBits)
        this.#fail(
          "bad-network",
          [...place, "to"],
          `"${route.to}" is not a network`,
          ...(to === null ? [] : [`the network of that address is ${to.range.text}`]),
        );
      if (via === null || !ranges.some((range) => isHostIn(range, via)))
        this.#fail(
          "bad-address",
          [...place, "via"],
          `${route.via} is not an address of ${each(doc.cidr, [])
            .map(([cidr]) => cidr)
            .join(" or ")}`,
        );
      else if (to !== null && to.range.family !== via.family)
        this.#fail(
          "bad-route",
          place,
          `the route to ${to.range.text} goes by ${via.text}, which is of the other family`,
          "IPv4 goes by IPv4 addresses, IPv6 by IPv6 addresses",
        );
      else if (to !== null && !to.hostBits) routes.push({ to: to.range, via: via.text, path: place });
    }
    return routes;
  }

  /** One pass over all ranges in order of their first address. */
  #reportOverlaps(networks: ReadonlyMap<string, Network>): void {
    const all = [...networks.values()].flatMap((network) =>
      network.ranges.map((range, index) => ({
        network,
        range,
        path: each(network.doc.cidr, [...network.path, "cidr"])[index]?.[1] ?? network.path,
      })),
    );
    const rank = new Map(all.map((one, index) => [one, index]));
    const sorted = [...all].sort((a, b) =>
      a.range.family !== b.range.family
        ? a.range.family - b.range.family
        : a.range.first < b.range.first
          ? -1
          : a.range.first > b.range.first
            ? 1
            : (rank.get(a) ?? 0) - (rank.get(b) ?? 0),
    );
    let widest: (typeof all)[number] | undefined;
    for (const one of sorted) {
      if (
        widest !== undefined &&
        widest.range.family === one.range.family &&
        one.range.first <= widest.range.last
      ) {
        const [earlier, later] =
          (rank.get(one) ?? 0) > (rank.get(widest) ?? 0) ? [widest, one] : [one, widest];
        this.#fail(
          "bad-network",
          later.path,
          earlier.network === later.network
            ? `the ranges ${later.range.text} and ${earlier.range.text} of one network overlap`
            : `the network overlaps "${earlier.network.name}" (${earlier.range.text})`,
          "give each network a range of its own",
        );
      }
      if (
        widest === undefined ||
        widest.range.family !== one.range.family ||
        one.range.last > widest.range.last
      )
        widest = one;
    }
  }

  /** A route to a part of a network that the nodes are in would lead packets away from it. */
  #reportStolen(networks: ReadonlyMap<string, Network>): void {
    for (const network of networks.values()) {
      for (const { to, path } of network.routes) {
        for (const other of networks.values()) {
          const stolen = other.ranges.find(
            (range) =>
              range.prefix <= to.prefix && contains(range, { family: to.family, value: to.first, text: "" }),
          );
          if (stolen === undefined) continue;
          this.#fail(
            "bad-route",
            [...path, "to"],
            `the route to ${to.text} leads away from the network "${other.name}" (${stolen.text}), which nodes are in`,
            other.role === "management"
              ? "the nodes could not reach each other by management; take the route out or make it wider"
              : "take the route out or make it wider",
            { also: [{ at: this.#at([...other.path, "cidr"]), label: "the network" }] },
          );
        }
      }
    }
  }

  #management(networks: ReadonlyMap<string, Network>): Network | null {
    const [first, second] = [...networks.values()].filter(({ role }) => role === "management");
    if (first === undefined) {
      if (this.#sound)
        this.#fail(
          "bad-network",
          ["networks"],
          'the site has no network named "management", nor one with role: management',
          "the nodes reach each other over it",
        );
      return null;
    }
    if (second !== undefined) {
      this.#fail(
        "bad-network",
        second.doc.role === undefined ? second.path : [...second.path, "role"],
        `"${first.name}" and "${second.name}" are both the management network`,
        "the nodes reach each other over one network; give the other another role",
        {
          ...(second.doc.role === undefined ? { part: "key" as const } : {}),
          also: [{ at: this.#at(first.path, "key"), label: "the first" }],
        },
      );
      return null;
    }
    if (first.ranges[0]?.family === 6) {
      this.#fail(
        "bad-network",
        each(first.doc.cidr, [...first.path, "cidr"])[0]?.[1] ?? first.path,
        "the first range of the management network is IPv6",
        "put an IPv4 range first: services listen on its addresses and /etc/hosts names them; IPv6 may come second",
      );
      return null;
    }
    return first;
  }
}

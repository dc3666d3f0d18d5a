/**
 * The lab's router: a network namespace of its own that holds the segments' bridges and their gateway
 * addresses, and reaches the outside through the host.
 *
 * So a lab may use whatever addresses its site has, twice at a time if need be, and the host sees of it one
 * link with two addresses, one masquerading rule, and IPv4 forwarding. All the rest goes with the namespace.
 */

import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { LabError, must, run } from "./command.ts";
import { hostResolver } from "./host.ts";
import { allowForwarding, hostLinkPrefix, type Ledger, rememberFolders } from "./ledger.ts";

/** A network that machines can be plugged into. */
export interface Segment {
  /** Its network's name in the site. */
  readonly name: string;
  /** Addresses of the router on it with prefix, such as `10.0.0.254/24`; may be none. */
  readonly addresses: readonly string[];
}

/** One end of a cable: the interface as the machine has it. */
export interface Port {
  readonly segment: string;
  /** The interface's name in the machine. Without udev nothing renames it, so it is given its final name. */
  readonly name: string;
  /** Lower case, colons. */
  readonly mac: string;
}

interface Uplink {
  readonly device: string;
  readonly mtu: number;
}

async function hostUplink(): Promise<Uplink | null> {
  const routes = JSON.parse((await must(["ip", "-j", "-4", "route", "show", "default"])) || "[]") as {
    dev: string;
  }[];
  const device = routes[0]?.dev;
  if (device === undefined) return null;
  return { device, mtu: Number(readFileSync(`/sys/class/net/${device}/mtu`, "utf8")) };
}

/** An IPv4 address from its number. */
function dotted(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
}

/**
 * Two addresses for the link between host and router, out of 198.18.0.0/15 (RFC 2544 sets it aside for
 * benchmarks, so no real network has it), as far as possible always the same for a lab.
 */
async function linkAddresses(id: string): Promise<{ host: string; router: string }> {
  const used = new Set(
    (await must(["ip", "-4", "-o", "address", "show"])).match(/198\.1[89]\.\d+\.\d+/g) ?? [],
  );
  const first = createHash("sha256").update(id).digest().readUInt16BE(0) >>> 1;
  for (let step = 0; step < 32768; step += 1) {
    const base = 0xc6120000 + ((first + step) % 32768) * 4;
    const pair = { host: dotted(base + 1), router: dotted(base + 2) };
    if (!used.has(pair.host) && !used.has(pair.router)) return pair;
  }
  throw new LabError("no free address for the lab's uplink in 198.18.0.0/15");
}

/** Runs commands of `ip` in one go, in a network namespace when one is named. */
async function ip(namespace: string | null, lines: readonly string[]): Promise<void> {
  await must(["ip", ...(namespace === null ? [] : ["-n", namespace]), "-batch", "-"], {
    stdin: lines.map((line) => `${line}\n`).join(""),
  });
}

/** A router with its segments. */
export class Router {
  /** The network namespace. */
  readonly namespace: string;
  readonly #ledger: Ledger;
  readonly #hostLink: string;
  readonly #segments: Segment[] = [];
  #resolver: string | null = null;

  private constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.namespace = `seedsmith-${ledger.id}`;
    this.#hostLink = hostLinkPrefix + ledger.id;
  }

  /**
   * Makes the router and its way out. Without a default route on the host the lab is one without a way out.
   */
  static async create(ledger: Ledger): Promise<Router> {
    const router = new Router(ledger);
    ledger.note({ kind: "namespace", name: router.namespace });
    rememberFolders();
    await must(["ip", "netns", "add", router.namespace]);
    await ip(router.namespace, ["link set lo up"]);
    await router.#within((set) => {
      set("net/ipv4/ip_forward", "1");
      // Machines of one segment talk to each other past the router's rules.
      set("net/bridge/bridge-nf-call-iptables", "0");
      set("net/bridge/bridge-nf-call-ip6tables", "0");
    });
    const uplink = await hostUplink();
    if (uplink !== null) await router.#connect(uplink);
    return router;
  }

  /**
   * The router of a lab that stands, as another process made it.
   * @param segments in the order in which they were added
   */
  static open(ledger: Ledger, segments: readonly Segment[]): Router {
    const router = new Router(ledger);
    router.#segments.push(...segments);
    return router;
  }

  async #connect(uplink: Uplink): Promise<void> {
    const { host, router } = await linkAddresses(this.#ledger.id);
    const link = this.#hostLink;
    const table = `seedsmith_${this.#ledger.id}`;
    this.#ledger.note({ kind: "link", name: link });
    // The link has the MTU of the way out, so that the router already knows it and clamps TCP to it.
    await ip(null, [
      `link add ${link} mtu ${uplink.mtu} type veth peer name uplink mtu ${uplink.mtu} netns ${this.namespace}`,
      `address add ${host}/30 dev ${link}`,
      `link set ${link} up`,
    ]);
    await ip(this.namespace, [
      `address add ${router}/30 dev uplink`,
      "link set uplink up",
      `route add default via ${host}`,
    ]);

    const resolver = hostResolver();
    const local = resolver?.startsWith("127.") === true;
    this.#resolver = local ? host : resolver;
    // A resolver on the host's loopback is reached through the host's end of the link.
    if (local) writeFileSync(`/proc/sys/net/ipv4/conf/${link}/route_localnet`, "1");
    const redirect = local
      ? `chain prerouting {
  type nat hook prerouting priority dstnat
  iifname "${link}" ip daddr ${host} meta l4proto { tcp, udp } th dport 53 dnat to ${resolver}
}`
      : "";
    this.#ledger.note({ kind: "table", name: table });
    await must(["nft", "-f", "-"], {
      stdin: `table ip ${table} {
${redirect}
chain postrouting {
  type nat hook postrouting priority srcnat
  ip saddr ${router} oifname "${uplink.device}" masquerade
}
}
`,
    });
    allowForwarding();
  }

  /**
   * Adds a segment.
   *
   * Questions to name servers outside the lab, and to the router itself, are answered by the host's own name
   * server: so the addresses that a seed names work as they are, also where only one name server is reachable.
   */
  async addSegment(segment: Segment): Promise<void> {
    const bridge = `br${this.#segments.length}`;
    this.#segments.push(segment);
    await ip(this.namespace, [
      `link add ${bridge} type bridge`,
      ...segment.addresses.map((address) => `address add ${address} dev ${bridge}`),
      `link set ${bridge} up`,
    ]);
    await this.#writeRules();
  }

  /** The segments, in the order in which they were added. */
  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** The host's address at the other end of the way out, or null where there is none. */
  async hostAddress(): Promise<string | null> {
    const way = await run(["ip", "-n", this.namespace, "-4", "route", "show", "default"]);
    return /\bvia ([0-9.]+)/.exec(way.stdout)?.[1] ?? null;
  }

  /**
   * Keeps outside addresses reachable that are inside of a segment's network: the router routes each to the outside
   * by itself, and answers on the segments for it, where machines look for it.
   */
  async uncover(addresses: readonly string[]): Promise<void> {
    const via = await this.hostAddress();
    if (addresses.length === 0 || via === null) return;
    await ip(
      this.namespace,
      addresses.map((address) => `route replace ${address}/32 via ${via}`),
    );
    await this.#within((set) => {
      for (const index of this.#segments.keys()) set(`net/ipv4/conf/br${index}/proxy_arp`, "1");
    });
  }

  #bridge(name: string): string {
    const index = this.#segments.findIndex((segment) => segment.name === name);
    if (index < 0) throw new LabError(`the lab has no segment ${name}`);
    return `br${index}`;
  }

  async #writeRules(): Promise<void> {
    const addresses = this.#segments.flatMap((segment) => segment.addresses);
    const nets = addresses.length === 0 ? "" : `ip daddr != { ${addresses.join(", ")} }`;
    const own = addresses.map((address) => address.split("/")[0]).join(", ");
    const ask = `meta l4proto { tcp, udp } th dport 53 dnat to ${this.#resolver}`;
    const names =
      this.#resolver === null
        ? []
        : [
            `iifname "br*" ${nets} ${ask}`,
            ...(own === "" ? [] : [`iifname "br*" ip daddr { ${own} } ${ask}`]),
          ];
    const stdin = `table ip lab
delete table ip lab
table ip lab {
chain prerouting {
  type nat hook prerouting priority dstnat
  ${names.join("\n  ")}
}
chain postrouting {
  type nat hook postrouting priority srcnat
  oifname "uplink" masquerade
}
chain forward {
  type filter hook forward priority filter
  tcp flags syn tcp option maxseg size set rt mtu
}
}
`;
    await must(this.command(["nft", "-f", "-"]), { stdin });
  }

  /**
   * Plugs a machine in: one veth a port, with the machine's end already in its namespace under its final name
   * and address.
   * @param namespace the machine's network namespace
   * @param prefix names the router's ends; no two machines have the same
   */
  async plug(namespace: string, prefix: string, ports: readonly Port[]): Promise<void> {
    const ends = ports.map((port, index) => ({ port, end: `${prefix}p${index}` }));
    // Ends of the last boot vanish with its namespace, but not at once.
    for (const { end } of ends) await run(["ip", "-n", this.namespace, "link", "delete", end]);
    await ip(
      this.namespace,
      ends.flatMap(({ port, end }) => [
        `link add ${end} type veth peer name ${port.name} address ${port.mac} netns ${namespace}`,
        `link set ${end} master ${this.#bridge(port.segment)} up`,
      ]),
    );
  }

  /** The command that runs `argv` on the router: outside of every machine, on every segment. */
  command(argv: readonly string[]): string[] {
    return ["nsenter", `--net=/run/netns/${this.namespace}`, "--", ...argv];
  }

  async #within(build: (set: (key: string, value: string) => void) => void): Promise<void> {
    const settings: string[] = [];
    build((key, value) => {
      // Settings of interfaces are looked for in the namespace, where this process is not.
      if (key.includes("/conf/") || existsSync(`/proc/sys/${key}`))
        settings.push(`${key.replaceAll("/", ".")}=${value}`);
    });
    await must(this.command(["sysctl", "-q", "-w", ...settings]));
  }
}

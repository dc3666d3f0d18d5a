/** What machines of a lab must reach outside of it, and whether a network of the site stands in the way. */
import { lookup } from "node:dns/promises";
import { machineApt } from "./apt-sources.ts";
import { run } from "./command.ts";
import type { LabNetwork } from "./driver.ts";
import { hostResolver } from "./host.ts";

/** An address outside of the lab. */
export interface OutsideAddress {
  /** IPv4. */
  readonly address: string;
  /** Such as `the package mirror deb.debian.org`. */
  readonly what: string;
  /** Whether machines cannot do without it. */
  readonly needed: boolean;
}

/** An outside address that is inside of a network of the site. */
export interface HiddenAddress extends OutsideAddress {
  readonly network: string;
  readonly cidr: string;
}

function number(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

/** Whether an IPv4 address is in a network such as `10.0.0.0/24`. */
export function isIn(address: string, cidr: string): boolean {
  const [network = "", prefix = "32"] = cidr.split("/");
  const size = 2 ** (32 - Number(prefix));
  return Math.floor(number(address) / size) === Math.floor(number(network) / size);
}

/** The hosts that texts with URLs name, without those that are addresses of a loopback. */
function hostsOf(texts: readonly string[]): string[] {
  const hosts = texts.flatMap((text) =>
    [...text.matchAll(/https?:\/\/(?:[^/@\s]*@)?(\[[^\]]*\]|[^:/\s";]+)/g)].map((match) => match[1]!),
  );
  return [...new Set(hosts)].filter((host) => !host.startsWith("[") && !host.startsWith("127."));
}

async function resolved(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { family: 4, all: true })).map(({ address }) => address);
  } catch {
    // What cannot be resolved cannot be hidden; that it cannot be reached is said by who tries.
    return [];
  }
}

/**
 * What the machines need of the outside: the host's resolver, the package mirrors and proxies of the host and of the
 * site, and the gateway of the host's uplink.
 * @param releases code names of the systems that are booted
 * @param urls of the site's own mirrors and proxy
 */
export async function outsideAddresses(
  releases: readonly string[],
  urls: readonly string[],
): Promise<readonly OutsideAddress[]> {
  const found: OutsideAddress[] = [];
  const resolver = hostResolver();
  if (resolver !== null && !resolver.startsWith("127."))
    found.push({ address: resolver, what: "the host's name server", needed: true });
  const texts = [...urls];
  for (const release of new Set(releases)) {
    const apt = await machineApt(release).catch(() => null);
    if (apt !== null) texts.push(...apt.sources.flatMap(({ uris }) => uris), ...apt.settings);
  }
  for (const host of hostsOf(texts))
    for (const address of await resolved(host))
      found.push({
        address,
        needed: true,
        what: host === address ? "a package mirror or proxy" : `the package mirror or proxy ${host}`,
      });
  const route = await run(["ip", "-4", "route", "show", "default"]).catch(() => null);
  const gateway = /\bvia ([0-9.]+)/.exec(route?.stdout ?? "")?.[1];
  if (gateway !== undefined)
    found.push({ address: gateway, what: "the gateway of the host's uplink", needed: false });
  return found;
}

/** Those of the addresses that are inside of a network of the site: whoever is on that network looks for them there. */
export function hiddenAddresses(
  addresses: readonly OutsideAddress[],
  networks: readonly LabNetwork[],
): readonly HiddenAddress[] {
  return addresses.flatMap((one) => {
    const network = networks.find(({ cidr }) => isIn(one.address, cidr));
    return network === undefined ? [] : [{ ...one, network: network.name, cidr: network.cidr }];
  });
}

/** The networks of a lab as qemu makes them, worked out from what the seeds configure. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { userNetworkAddresses } from "../../../emit/user-network.ts";
import { formatAddress, isHostOf, parseAddress, parseCidr } from "../../../resolve/address.ts";
import { LabError } from "../../command.ts";
import type { LabDescription, LabMachine } from "../../driver.ts";

/** What a seed gives an interface. */
export interface Configured {
  /** Lower case. */
  readonly mac: string;
  /** IPv4, without prefix. */
  readonly addresses: readonly string[];
  readonly nameservers: readonly string[];
}

/**
 * The interfaces of a network-config, version 2.
 * @param text the file's text
 */
export function configured(text: string): Configured[] {
  const document = parse(text) as {
    ethernets?: Record<
      string,
      {
        match?: { macaddress?: string };
        addresses?: readonly unknown[];
        nameservers?: { addresses?: readonly unknown[] };
      }
    >;
  } | null;
  return Object.values(document?.ethernets ?? {}).flatMap(({ match, addresses = [], nameservers }) =>
    match?.macaddress === undefined
      ? []
      : [
          {
            mac: match.macaddress.toLowerCase(),
            addresses: addresses.map((address) => String(address).split("/")[0]!),
            nameservers: (nameservers?.addresses ?? []).map(String),
          },
        ],
  );
}

/** A network of the lab. */
export interface Segment {
  readonly name: string;
  /** `10.0.0.0/24` */
  readonly cidr: string;
  readonly gateway: string | null;
  /** Whether machines get out of the lab by it. */
  readonly open: boolean;
  /**
   * The two addresses that qemu's user network answers for where there is no bridge, or null: then nothing but
   * the machines is on the network.
   */
  readonly user: { readonly host: string; readonly dns: string } | null;
}

/** The network by which a machine is logged into, and its address there. */
export interface Access {
  readonly segment: string;
  readonly address: string;
}

/** Reads what a machine's seed configures; nothing where it has no network-config. */
export function seedNetwork(machine: LabMachine): Configured[] {
  let text: string;
  try {
    text = readFileSync(join(machine.seed, "network-config"), "utf8");
  } catch {
    return [];
  }
  return configured(text);
}

/** Where a machine can be logged into: its management address, else the first that its seed has. */
export function accessOf(machine: LabMachine, seed: readonly Configured[]): Access | null {
  const found = machine.interfaces.flatMap(({ network, mac }) =>
    (seed.find((nic) => nic.mac === mac.toLowerCase())?.addresses ?? []).map((address) => ({
      segment: network,
      address,
    })),
  );
  return found.find(({ address }) => address === machine.address) ?? found[0] ?? null;
}

/**
 * The networks of a lab.
 * @param seeds what each machine's seed configures, by the machine's name
 * @throws LabError for a network that cannot be made
 */
export function segments(
  lab: Pick<LabDescription, "networks" | "machines">,
  seeds: ReadonlyMap<string, readonly Configured[]>,
): Segment[] {
  return lab.networks.map(({ name, cidr: text, gateway }) => {
    const cidr = parseCidr(text);
    if (cidr === null) throw new LabError(`the network ${name} is none: ${text}`);
    const taken: string[] = [];
    const nameservers: string[] = [];
    let login = false;
    for (const machine of lab.machines) {
      const seed = seeds.get(machine.name) ?? [];
      login ||= accessOf(machine, seed)?.segment === name;
      for (const nic of machine.interfaces.filter(({ network }) => network === name)) {
        const found = seed.find(({ mac }) => mac === nic.mac.toLowerCase());
        taken.push(...(found?.addresses ?? []));
        nameservers.push(...(found?.nameservers ?? []));
      }
    }
    const user =
      gateway === null && !login ? null : userNetworkAddresses({ cidr, gateway, nameservers, taken });
    return { name, cidr: text, gateway, open: gateway !== null, user };
  });
}

/** The router's address on a network that has a bridge: the gateway, else one that nobody has. */
export function routerAddress(segment: Segment, taken: readonly string[]): string | null {
  const cidr = parseCidr(segment.cidr);
  if (cidr === null) return null;
  if (segment.gateway !== null) return `${segment.gateway}/${cidr.prefix}`;
  const used = new Set(taken.map(parseAddress));
  for (let address = cidr.broadcast - 1; isHostOf(address, cidr); address -= 1)
    if (!used.has(address)) return `${formatAddress(address)}/${cidr.prefix}`;
  return null;
}

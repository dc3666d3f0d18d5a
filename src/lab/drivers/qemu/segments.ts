/** The networks of a lab as qemu makes them, worked out from what the seeds configure. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Problems } from "../../../core/problem.ts";
import { userNetworkAddresses } from "../../../emit/user-network.ts";
import { loadYaml } from "../../../load/yaml.ts";
import { formatAddress, isHostOf, parseAddress, parseCidr } from "../../../resolve/address.ts";
import { LabError } from "../../command.ts";
import type { LabDescription, LabMachine, LabNetwork } from "../../driver.ts";

/** What a seed gives a device: a card, or what is made of cards. */
export interface Configured {
  /** IPv4, without prefix. */
  readonly addresses: readonly string[];
  readonly nameservers: readonly string[];
}

function isMap(value: unknown): value is { readonly [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const strings = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

/**
 * The devices of a network-config, version 2, that have an address.
 * @param text the file's text
 */
export function configured(text: string): Configured[] {
  const data: unknown = loadYaml("network-config", text, new Problems())?.value;
  if (!isMap(data)) return [];
  return Object.values(data)
    .filter(isMap)
    .flatMap((section) => Object.values(section).filter(isMap))
    .map((device) => ({
      addresses: strings(device.addresses)
        .map((address) => address.split("/")[0]!)
        .filter((address) => parseAddress(address) !== null),
      nameservers: strings(isMap(device.nameservers) ? device.nameservers.addresses : []),
    }))
    .filter(({ addresses }) => addresses.length > 0);
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

/** The network that an address belongs to. */
function networkOf(networks: readonly LabNetwork[], address: string): string | null {
  const value = parseAddress(address);
  const found = networks.find(({ cidr: text }) => {
    const cidr = parseCidr(text);
    return value !== null && cidr !== null && isHostOf(value, cidr);
  });
  return found?.name ?? null;
}

/** Where a machine can be logged into: its management address, else the first that its seed has. */
export function accessOf(
  networks: readonly LabNetwork[],
  machine: Pick<LabMachine, "address">,
  seed: readonly Configured[],
): Access | null {
  const found = seed
    .flatMap(({ addresses }) => addresses)
    .flatMap((address) => {
      const segment = networkOf(networks, address);
      return segment === null ? [] : [{ segment, address }];
    });
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
  const devices = [...seeds.values()].flat();
  const logins = new Set(
    lab.machines.map((machine) => accessOf(lab.networks, machine, seeds.get(machine.name) ?? [])?.segment),
  );
  return lab.networks.map(({ name, cidr: text, gateway }) => {
    const cidr = parseCidr(text);
    if (cidr === null) throw new LabError(`the network ${name} is none: ${text}`);
    const own = devices.filter(({ addresses }) =>
      addresses.some((address) => networkOf(lab.networks, address) === name),
    );
    const taken = own.flatMap(({ addresses }) => addresses);
    const nameservers = own.flatMap((device) => device.nameservers);
    const user =
      gateway === null && !logins.has(name)
        ? null
        : userNetworkAddresses({ cidr, gateway, nameservers, taken });
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

/** Addresses that qemu's user network answers for. */
import { type Cidr, formatAddress, isHostOf, parseAddress } from "../resolve/address.ts";

/** What a network's machines expect to be there. */
export interface Expected {
  readonly cidr: Cidr;
  readonly gateway: string | null;
  readonly nameservers: readonly string[];
  /** Addresses of the machines. */
  readonly taken: readonly string[];
}

/**
 * qemu's user network answers for two addresses, `host` and `dns`, which must differ, and routes for whoever
 * sends to either; so a name server that is also the gateway is the one called `dns`. A name server outside of
 * the network may be `dns` too: questions to it then go to the one that the host asks, which works where that
 * is the only one that can be reached.
 * @returns null for a network that is too small
 */
export function userNetworkAddresses(
  expected: Expected,
): { readonly host: string; readonly dns: string } | null {
  const { cidr } = expected;
  const inside = (address: string | null): number | null => {
    const value = parseAddress(address ?? "");
    return value !== null && isHostOf(value, cidr) ? value : null;
  };
  const gateway = inside(expected.gateway);
  const server = expected.nameservers
    .filter((address) => !expected.taken.includes(address))
    .map(parseAddress)
    .find((value) => value !== null);
  const taken = new Set([...expected.taken.map(parseAddress), gateway, server ?? null]);
  let free = cidr.broadcast - 1;
  const next = (): number => {
    while (taken.has(free)) free -= 1;
    taken.add(free);
    return free;
  };
  const dns = server ?? next();
  const host = gateway === null || gateway === dns ? next() : gateway;
  return isHostOf(host, cidr) && free > cidr.network
    ? { host: formatAddress(host), dns: formatAddress(dns) }
    : null;
}

/** Which machine is behind an address of the segment. */
import { readFileSync, statSync } from "node:fs";

/** Tells the MAC addresses (lower case, colons) that are known for an IPv4 address. */
export interface Neighbours {
  /** What the kernel has learnt, or null where it knows nothing of it. */
  learnt(address: string): string | null;
  /** Whom the DHCP server has given it to, or null. */
  leased(address: string): string | null;
}

const mac = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;

/**
 * Reads the kernel's neighbour table as `/proc/net/arp` shows it. Entries that are incomplete say nothing.
 * @returns MAC addresses by IPv4 address
 */
export function readArp(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split("\n").slice(1)) {
    const [address = "", , flags = "0x0", hardware = ""] = line.split(/\s+/);
    const complete = (Number.parseInt(flags, 16) & 2) !== 0;
    if (complete && mac.test(hardware) && hardware !== "00:00:00:00:00:00") found.set(address, hardware);
  }
  return found;
}

/**
 * Reads dnsmasq's lease file: `expiry mac address name client-id`, a line a lease.
 * @param now seconds since 1970; leases that are over say nothing
 * @returns MAC addresses by IPv4 address
 */
export function readLeases(text: string, now: number): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [expiry = "", hardware = "", address = ""] = line.split(" ");
    // An expiry of 0 is never.
    if (mac.test(hardware) && (expiry === "0" || Number(expiry) > now)) found.set(address, hardware);
  }
  return found;
}

/** Ms for which a table that was read is believed. */
const fresh = 250;

/**
 * The tables of this host.
 * @param leaseFile of the DHCP server that runs here, or null
 */
export function hostNeighbours(leaseFile: string | null): Neighbours {
  const table = (
    path: string | null,
    read: (text: string) => ReadonlyMap<string, string>,
  ): ((address: string) => string | null) => {
    let known: ReadonlyMap<string, string> = new Map();
    let at = Number.NEGATIVE_INFINITY;
    return (address) => {
      const now = performance.now();
      if (path !== null && now - at > fresh) {
        at = now;
        try {
          // A table of a size that no segment has is no table.
          known = statSync(path).size > 8 << 20 ? new Map() : read(readFileSync(path, "utf8"));
        } catch {
          known = new Map();
        }
      }
      return known.get(address) ?? null;
    };
  };
  return {
    learnt: table("/proc/net/arp", readArp),
    leased: table(leaseFile, (text) => readLeases(text, Date.now() / 1000)),
  };
}

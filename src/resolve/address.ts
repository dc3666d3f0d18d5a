/** IPv4 arithmetic: addresses as unsigned 32-bit numbers. */

/** @returns the address as a number, or null when it is not four decimal octets without leading zeros. */
export function parseAddress(text: string): number | null {
  const octets = text.split(".");
  if (octets.length !== 4) return null;
  let value = 0;
  for (const octet of octets) {
    if (!/^(0|[1-9]\d{0,2})$/.test(octet) || Number(octet) > 255) return null;
    value = value * 256 + Number(octet);
  }
  return value;
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

export interface Cidr {
  readonly network: number;
  readonly prefix: number;
  readonly broadcast: number;
}

/** @returns the network, or null when the text is none or has host bits set. */
export function parseCidr(text: string): Cidr | null {
  const match = /^([\d.]+)\/(\d|[12]\d|3[0-2])$/.exec(text);
  if (match === null) return null;
  const network = parseAddress(match[1] ?? "");
  const prefix = Number(match[2]);
  if (network === null) return null;
  const size = 2 ** (32 - prefix);
  return network % size === 0 ? { network, prefix, broadcast: network + size - 1 } : null;
}

/** Whether an address is a host's address in the network: neither outside, nor its own or its broadcast address. */
export function isHostOf(address: number, cidr: Cidr): boolean {
  if (address < cidr.network || address > cidr.broadcast) return false;
  return cidr.prefix >= 31 || (address !== cidr.network && address !== cidr.broadcast);
}

export function netmask(prefix: number): string {
  return formatAddress(2 ** 32 - 2 ** (32 - prefix));
}

/** A MAC address in lower case with colons, or null. Multicast and all-zero addresses are not a NIC's. */
export function parseMac(text: string): string | null {
  const mac = text.toLowerCase().replaceAll("-", ":");
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) return null;
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1 || mac === "00:00:00:00:00:00" ? null : mac;
}

/** RFC 1123: letters, digits and dashes, no dash at the ends; a name of digits alone reads like an address. */
export function isHostName(name: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name) && !/^\d+$/.test(name);
}

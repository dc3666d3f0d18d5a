/**
 * Arithmetic of addresses. IPv4 alone works on unsigned 32-bit numbers; what must know both families works on `Ip`
 * and `Range`, whose values are bigints. IPv6 texts are read and written by ipaddr.js (RFC 4291, RFC 5952); IPv4
 * texts are not, as it takes octal and short forms, which nobody means in a site.
 */
import ipaddr from "ipaddr.js";

/**
 * Sites of ten thousand nodes ask this often, so it looks at each character once and makes no other text of it.
 * @returns the address as a number, or null when it is not four decimal octets without leading zeros.
 */
export function parseAddress(text: string): number | null {
  let value = 0;
  let octets = 0;
  for (let at = 0; at < text.length; at++) {
    const start = at;
    let octet = 0;
    for (; at < text.length && text.charCodeAt(at) !== 0x2e; at++) {
      const digit = text.charCodeAt(at) - 0x30;
      if (digit < 0 || digit > 9 || at - start > 2) return null;
      octet = octet * 10 + digit;
    }
    const isPlain = at > start && octet < 256 && (text.charCodeAt(start) !== 0x30 || at === start + 1);
    if (!isPlain || at < text.length !== octets < 3) return null;
    value = value * 256 + octet;
    octets += 1;
  }
  return octets === 4 ? value : null;
}

export function formatAddress(value: number): string {
  return `${Math.floor(value / 2 ** 24) % 256}.${Math.floor(value / 2 ** 16) % 256}.${Math.floor(value / 2 ** 8) % 256}.${Math.floor(value) % 256}`;
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

export type Family = 4 | 6;

/** An address of either family. */
export interface Ip {
  readonly family: Family;
  readonly value: bigint;
  /** As everybody writes it: equal addresses have equal texts. */
  readonly text: string;
}

/** A network of either family. */
export interface Range {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
  readonly prefix: number;
  /** With the prefix, as everybody writes it. */
  readonly text: string;
}

const bitsOf = (family: Family): number => (family === 4 ? 32 : 128);

/** The text of an address: dotted, or as RFC 5952 wants it. */
export function formatIp(family: Family, value: bigint): string {
  if (family === 4) return formatAddress(Number(value));
  const bytes = Array.from({ length: 16 }, (_, index) => Number((value >> BigInt(120 - 8 * index)) & 0xffn));
  return new ipaddr.IPv6(bytes).toRFC5952String();
}

/** @returns the address, or null when the text is none; one with a zone (`fe80::1%eth0`) is none here. */
export function parseIp(text: string): Ip | null {
  if (!text.includes(":")) {
    const value = parseAddress(text);
    return value === null ? null : { family: 4, value: BigInt(value), text };
  }
  // Without a gap there are eight groups, or six and an IPv4 address: a MAC, of which sites have many, is neither.
  if (!text.includes("::") && text.split(":").length < 7) return null;
  if (text.includes("%") || !ipaddr.IPv6.isValid(text)) return null;
  let value = 0n;
  for (const byte of ipaddr.IPv6.parse(text).toByteArray()) value = value * 256n + BigInt(byte);
  return { family: 6, value, text: formatIp(6, value) };
}

/** The network of an address with a prefix of so many bits. */
export function rangeAround({ family, value }: Ip, prefix: number): Range {
  const size = 1n << BigInt(bitsOf(family) - prefix);
  const first = value - (value % size);
  return { family, first, last: first + size - 1n, prefix, text: `${formatIp(family, first)}/${prefix}` };
}

/**
 * A network from its text.
 * @returns the network, whose first address is the text's unless it has host bits set; null when it is none
 */
export function parseRange(text: string): { readonly range: Range; readonly hostBits: boolean } | null {
  const [address = "", prefix = "", ...more] = text.split("/");
  const ip = parseIp(address);
  if (ip === null || more.length > 0 || !/^(0|[1-9]\d{0,2})$/.test(prefix)) return null;
  if (Number(prefix) > bitsOf(ip.family)) return null;
  const range = rangeAround(ip, Number(prefix));
  return { range, hostBits: range.first !== ip.value };
}

/** Whether an address lies in a network. */
export function contains(range: Range, ip: Ip): boolean {
  return ip.family === range.family && ip.value >= range.first && ip.value <= range.last;
}

/**
 * Whether a host may have an address in a network: it lies inside, and is neither the network's own address (in
 * IPv6 that of its routers) nor, in IPv4, its broadcast address.
 */
export function isHostIn(range: Range, ip: Ip): boolean {
  if (!contains(range, ip)) return false;
  if (range.prefix >= bitsOf(range.family) - 1) return true;
  return ip.value !== range.first && (range.family === 6 || ip.value !== range.last);
}

/** The first and the last address that hosts may have. */
export function hostsOf({ family, first, last, prefix }: Range): readonly [string, string] {
  if (prefix >= bitsOf(family) - 1) return [formatIp(family, first), formatIp(family, last)];
  return [formatIp(family, first + 1n), formatIp(family, family === 4 ? last - 1n : last)];
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

/** The first and the last of some addresses, such as `10.0.0.10-10.0.0.20`, or null when the text is no such thing. */
export function parsePool(text: string): { readonly first: Ip; readonly last: Ip } | null {
  const [first, last, ...rest] = text.split("-").map((part) => parseIp(part.trim()));
  if (first === undefined || first === null || last === undefined || last === null || rest.length > 0)
    return null;
  return first.family === last.family && first.value <= last.value ? { first, last } : null;
}

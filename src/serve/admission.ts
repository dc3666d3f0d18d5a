/** Who may have a node's seed, and speak in its name. */
import { createHmac, timingSafeEqual } from "node:crypto";
import type { Neighbours } from "./neighbours.ts";

/** By what a node is known on the wire. */
export interface Identity {
  readonly name: string;
  /** Of its cards: lower case, colons. */
  readonly macs: readonly string[];
  /** Its fixed addresses. */
  readonly addresses: readonly string[];
}

/** IPv4 as people write it, also where the socket is one for IPv6. */
export function plainAddress(remote: string): string {
  return remote.startsWith("::ffff:") ? remote.slice(7) : remote;
}

/**
 * Why an address is not a node's, or null where it is: its fixed address, or one that the DHCP server has given to
 * one of its cards, or behind which the kernel has seen one of them. Where the kernel knows the card behind an
 * address, that card must be the node's.
 *
 * This keeps a seed from the wrong machine. It does not keep it from somebody on the segment who takes a node's
 * address and card for his own, or listens: plain HTTP cannot.
 */
export function whyStranger(node: Identity, address: string, neighbours: Neighbours): string | null {
  const learnt = neighbours.learnt(address);
  if (learnt !== null)
    return node.macs.includes(learnt) ? null : `${address} is ${learnt}, which is no card of ${node.name}`;
  if (node.addresses.includes(address)) return null;
  const leased = neighbours.leased(address);
  if (leased !== null)
    return node.macs.includes(leased)
      ? null
      : `${address} was given to ${leased}, which is no card of ${node.name}`;
  return `${address} is not known to be ${node.name}`;
}

/**
 * The word that opens a node's seed to whoever has it, for machines whose address tells nothing, as behind a router.
 * @param key of the server, never shown
 */
export function tokenOf(key: Buffer, node: string): string {
  return createHmac("sha256", key).update(`seed of ${node}`).digest("hex");
}

/** A node's token, ready to be compared with what askers give. */
export class Token {
  readonly word: string;
  readonly #right: Buffer;
  readonly #given: Buffer;

  /** @param word as `tokenOf` makes it */
  constructor(word: string) {
    this.word = word;
    this.#right = Buffer.from(word);
    this.#given = Buffer.alloc(this.#right.length);
  }

  /** Whether a word is this token; takes as long for every wrong one of its length. */
  is(word: string): boolean {
    const { length } = this.word;
    // A character of several bytes that does not fit is not written, and would leave what was there before.
    if (word.length !== length || this.#given.write(word) !== length) return false;
    return timingSafeEqual(this.#given, this.#right);
  }
}

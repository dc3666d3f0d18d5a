/** Reads back what was emitted, with other readers than those that wrote it. */
import { CORE_SCHEMA, constructFromEvents, parseEvents, YAML11_SCHEMA } from "js-yaml";
import type { Artifact } from "../emit/lines.ts";
import { seedFiles, seedLabel } from "../emit/node.ts";
import { carrierDifferences } from "./carriers.ts";
import { isoDifferences } from "./iso-reader.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Verifies one node's artifacts in process: each YAML file must read the same as YAML 1.1 and as 1.2, and as what
 * was to be written; user-data must carry its header, and the image must hold exactly the files.
 * @returns what is wrong, empty when nothing is; says where, and never what stands there, as that may be a secret
 */
export function verifyNode(artifacts: readonly Artifact[]): string[] {
  const wrong: string[] = [];
  for (const { name, bytes, meant } of artifacts) {
    if (!seedFiles.includes(name)) continue;
    const text = decoder.decode(bytes);
    if (name === "user-data" && !text.startsWith("#cloud-config\n"))
      wrong.push("user-data does not begin with #cloud-config");
    try {
      const place = difference(readBack(text), meant);
      if (place !== null)
        wrong.push(`${name} does not read as what was written${place === "" ? "" : `: ${place} differs`}`);
    } catch (error) {
      if (error instanceof VersionsDiffer)
        wrong.push(`${name} reads differently as YAML 1.1 and as YAML 1.2`);
      else wrong.push(`${name} cannot be read back: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  const image = artifacts.find(({ name }) => name === "seed.iso");
  if (image !== undefined) {
    const files = artifacts.filter(({ name }) => seedFiles.includes(name));
    wrong.push(
      ...isoDifferences(image.bytes, seedLabel, files).map((difference) => `seed.iso: ${difference}`),
    );
  }
  wrong.push(...carrierDifferences(artifacts));
  return wrong;
}

/** Thrown for a text that is one value as YAML 1.1 and another as YAML 1.2. */
export class VersionsDiffer extends Error {}

/**
 * The value of a text, which must be the same as YAML 1.1 and as YAML 1.2.
 * @throws VersionsDiffer when it is not, YAMLException when it is not one YAML document
 */
export function readBack(text: string): unknown {
  let value: unknown = null;
  try {
    value = readInPieces(text);
  } catch {
    // What is wrong with the whole is what counts.
  }
  return value ?? read(text);
}

/** Parses once, as the events are the same in both versions; what the scalars mean is what differs. */
function read(text: string): unknown {
  const events = parseEvents(text, {});
  const [core, ...more] = constructFromEvents(events, { source: text, schema: CORE_SCHEMA });
  const [old] = constructFromEvents(events, { source: text, schema: YAML11_SCHEMA });
  if (more.length > 0) throw new Error("it holds more than one document");
  if (core === undefined) throw new Error("it holds no document");
  if (difference(old, core) !== null) throw new VersionsDiffer();
  return core;
}

/** The value of each piece of a text that many nodes share, read by itself. Nobody may change one. */
const known = new Map<string, unknown>();
/** The piece last met at a place; what only one node has is not met twice in a row, and not worth reading by itself. */
const met = new Map<string, string>();
const remembered = 2000;

/**
 * Reads a text that is a plain map: keys at the left margin, with what is indented or a list of items at the left
 * margin below them. Such a key or item means the same wherever it stands, as nothing in it goes on beyond it. So
 * those that many nodes share are read once, and what is left of the text is read as one document.
 * @returns null for a text that is not that plain: it must be read as a whole
 */
function readInPieces(text: string): unknown {
  const value: Record<string, unknown> = {};
  const left = new Rest();
  let key = "";
  let list: unknown[] | null = null;
  for (let at = 0; at < text.length; ) {
    let end = at;
    do end = text.indexOf("\n", end) + 1;
    while (end > 0 && (text[end] === " " || text[end] === "\n"));
    if (end === 0) return null;
    const piece = text.slice(at, end);
    const read = known.get(piece);
    if (piece.startsWith("- ")) {
      if (list === null) return null;
      if (read === undefined) left.addItem(piece, key, list.length);
      list.push((read as readonly unknown[] | undefined)?.[0]);
    } else if (at !== 0 || !/^#[ -~]*\n$/.test(piece)) {
      key = /^([a-z][a-z0-9_-]*):[ \n]/.exec(piece)?.[1] ?? "";
      if (key === "" || Object.hasOwn(value, key)) return null;
      // A key alone on its line has the list that follows.
      list = piece === `${key}:\n` && text[end] === "-" ? [] : null;
      if (read === undefined) left.addKey(piece, key);
      value[key] = list ?? (read as { readonly [key: string]: unknown } | undefined)?.[key];
    }
    at = end;
  }
  return key !== "" && left.readInto(value) ? value : null;
}

/** What is left of a text without the pieces that are known. */
class Rest {
  #text = "";
  /** The key that stands last in the text. */
  #key = "";
  readonly #keys = new Map<string, string>();
  readonly #items: { readonly piece: string; readonly key: string; readonly at: number }[] = [];

  addKey(piece: string, key: string): void {
    this.#text += piece;
    this.#key = key;
    this.#keys.set(key, piece);
  }

  addItem(piece: string, key: string, at: number): void {
    this.#text += this.#key === key ? piece : `${key}:\n${piece}`;
    this.#key = key;
    this.#items.push({ piece, key, at });
  }

  /** Reads the text, and puts what it means where it belongs. False when it has not what was put into it. */
  readInto(value: Record<string, unknown>): boolean {
    if (this.#text === "") return true;
    const all = read(this.#text) as Record<string, unknown> | null;
    const names = new Set([...this.#keys.keys(), ...this.#items.map(({ key }) => key)]);
    if (all === null || typeof all !== "object" || Object.keys(all).length !== names.size) return false;
    const taken = new Map<string, number>();
    for (const { piece, key, at } of this.#items) {
      const next = taken.get(key) ?? 0;
      const items = all[key];
      if (!Array.isArray(items) || next >= items.length) return false;
      (value[key] as unknown[])[at] = items[next];
      taken.set(key, next + 1);
      meet(piece, piece.slice(0, piece.indexOf("\n")));
    }
    for (const [key, piece] of this.#keys) {
      if (!Object.hasOwn(all, key)) return false;
      meet(piece, key);
      // A key with a list has it already.
      if (value[key] === undefined) value[key] = all[key];
    }
    // Nothing may be left over, as where an item has another line break inside.
    return [...taken].every(([key, count]) => (all[key] as unknown[]).length === count);
  }
}

/**
 * Remembers what a piece means, by itself, when it was the last one at its place too.
 * @param place what pieces of several nodes that may be equal have in common: the key, or an item's first line
 */
function meet(piece: string, place: string): void {
  if (met.get(place) !== piece) {
    if (met.size >= remembered) met.clear();
    met.set(place, piece);
    return;
  }
  // What 1.1 takes for a line break might end a piece inside of it.
  if (/[\r\u0085\u2028\u2029\ufeff]/.test(piece)) return;
  if (known.size >= remembered) known.clear();
  known.set(piece, read(piece));
}

/** The place of the first difference of two values of plain data, such as `users[0].name`; null when they are equal. */
export function difference(a: unknown, b: unknown): string | null {
  if (a === b) return null;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return "";
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return "";
    for (const [index, item] of a.entries()) {
      const place = difference(item, b[index]);
      if (place !== null) return `[${index}]${join(place)}`;
    }
    return null;
  }
  if (!isMap(a) || !isMap(b)) return "";
  const keys = Object.keys(a);
  if (keys.length !== Object.keys(b).length) return "";
  for (const key of keys) {
    if (!Object.hasOwn(b, key)) return key;
    const place = difference(a[key], b[key]);
    if (place !== null) return `${key}${join(place)}`;
  }
  return null;
}

function join(place: string): string {
  return place === "" || place.startsWith("[") ? place : `.${place}`;
}

/** A date, a set or bytes are no map: YAML 1.1 has them, and no seed does. */
function isMap(value: object): value is { readonly [key: string]: unknown } {
  const prototype = Object.getPrototypeOf(value) as unknown;
  return prototype === Object.prototype || prototype === null;
}

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
  readonly #items: {
    readonly piece: string;
    readonly key: string;
    readonly at: number;
    readonly short: Short | null;
  }[] = [];

  addKey(piece: string, key: string): void {
    this.#text += piece;
    this.#key = key;
    this.#keys.set(key, piece);
  }

  addItem(piece: string, key: string, at: number): void {
    const short = shorten(piece);
    const text = short === null ? piece : short.text;
    this.#text += this.#key === key ? text : `${key}:\n${text}`;
    this.#key = key;
    this.#items.push({ piece, key, at, short });
  }

  /** Reads the text, and puts what it means where it belongs. False when it has not what was put into it. */
  readInto(value: Record<string, unknown>): boolean {
    if (this.#text === "") return true;
    const all = read(this.#text) as Record<string, unknown> | null;
    const names = new Set([...this.#keys.keys(), ...this.#items.map(({ key }) => key)]);
    if (all === null || typeof all !== "object" || Object.keys(all).length !== names.size) return false;
    const taken = new Map<string, number>();
    for (const { piece, key, at, short } of this.#items) {
      const next = taken.get(key) ?? 0;
      const items = all[key];
      if (!Array.isArray(items) || next >= items.length) return false;
      const item = short === null ? items[next] : short.restore(items[next]);
      if (item === undefined) return false;
      (value[key] as unknown[])[at] = item;
      taken.set(key, next + 1);
      meet(piece, piece.slice(0, piece.indexOf("\n")));
      keepLines(piece, item, short !== null);
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

/** An item without the lines of its block of text that were read as they stand in another node's item. */
interface Short {
  readonly text: string;
  /** The value of the whole item from that of `text`; undefined when it is not what it must be. */
  readonly restore: (item: unknown) => unknown;
}

/** An item with a block of text, as it was last read: the item's text, where its block begins, what the block means. */
interface Block {
  readonly piece: string;
  readonly start: number;
  readonly content: string;
}

/** By an item's first line and how many it has: nodes of several kinds take turns. */
const blocks = new Map<string, Block>();
const rememberedBlocks = 16;
/** Shorter blocks are not worth it. */
const leastBlock = 1000;
/** More lines than this are read with the whole item. */
const mostLines = 100;
/** The head of an item whose last key is `content`, a block of text indented by four. */
const blockHead = /^- path: [^\n]*\n(?: {2}[a-z_]+: [^\n]*\n)* {2}content: \|\n(?= {4}[!-~])/;
/** What every line of such a block is made of: plain characters, none of which is a line break to any reader. */
const blockLines = /^(?:(?: {4}[ -~\u00a1-\u2027\u202a-\ud7ff]+)?\n)+$/;

/**
 * In a block of text each line means itself without the indentation, whatever stands around it. So lines that the same
 * item of another node has too, and that were read there, are left out; the first line and the last one stay, as they
 * tell the indentation and the end.
 * @returns null for an item that is not that plain, or of which too much differs
 */
function shorten(piece: string): Short | null {
  const before = piece.length < leastBlock ? undefined : blocks.get(blockKey(piece));
  if (before === undefined) return null;
  const head = blockHead.exec(piece)?.[0];
  // An equal head: the same indentation, and nothing that the block's lines could belong to otherwise.
  if (head === undefined || head.length !== before.start || !before.piece.startsWith(head)) return null;
  const old = before.piece;
  let text = head;
  /** The content, in parts: of the block before, or of lines that were left in. */
  const content: (string | null)[] = [];
  let [at, oldAt] = [head.length, head.length];
  /** Where the equal lines being passed began, in the content before, and where they end. */
  let [from, to] = [0, 0];
  let kept = 0;
  while (at < piece.length) {
    const end = piece.indexOf("\n", at) + 1;
    const oldEnd = old.indexOf("\n", oldAt) + 1;
    if (end === 0 || oldEnd === 0) return null;
    const isEqual = end - at === oldEnd - oldAt && equalAt(piece, at, old, oldAt, end - at);
    const means = oldEnd - oldAt - (oldEnd - oldAt > 1 ? 4 : 0);
    if (isEqual && at !== head.length && end !== piece.length) to += means;
    else {
      if (to > from) content.push(before.content.slice(from, to));
      to += means;
      from = to;
      content.push(null);
      text += piece.slice(at, end);
      kept += 1;
      if (kept > mostLines) return null;
    }
    at = end;
    oldAt = oldEnd;
  }
  if (oldAt !== old.length || !blockLines.test(text.slice(head.length))) return null;
  return {
    text,
    restore: (item) => {
      if (typeof item !== "object" || item === null || !("content" in item)) return undefined;
      const { content: read } = item;
      // A line of text for each line that was left in, and nothing else.
      const lines = typeof read === "string" ? read.split("\n") : [];
      if (lines.length !== kept + 1 || lines.pop() !== "") return undefined;
      let next = 0;
      const parts = content.map((part) => part ?? `${lines[next++]}\n`);
      return { ...item, content: parts.join("") };
    },
  };
}

/**
 * Keeps an item with a block of text, for the same item of the next node.
 * @param restored whether it was read without lines that were kept before
 */
function keepLines(piece: string, item: unknown, restored: boolean): void {
  if (piece.length < leastBlock) return;
  const head = blockHead.exec(piece)?.[0];
  const content = (item as { readonly content?: unknown } | null)?.content;
  if (head === undefined || typeof content !== "string") return;
  if (!restored) {
    const lines = piece.slice(head.length);
    if (!blockLines.test(lines) || lines.replaceAll(/^ {4}/gm, "") !== content) return;
  }
  if (blocks.size >= rememberedBlocks) blocks.clear();
  blocks.set(blockKey(piece), { piece, start: head.length, content });
}

function blockKey(piece: string): string {
  let count = 0;
  for (let at = piece.indexOf("\n"); at >= 0; at = piece.indexOf("\n", at + 1)) count += 1;
  return `${count} ${piece.slice(0, piece.indexOf("\n"))}`;
}

function equalAt(a: string, at: number, b: string, bAt: number, length: number): boolean {
  for (let index = 0; index < length; index++)
    if (a.charCodeAt(at + index) !== b.charCodeAt(bAt + index)) return false;
  return true;
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

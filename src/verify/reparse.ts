/** Reads back what was emitted, with other readers than those that wrote it. */
import { CORE_SCHEMA, constructFromEvents, parseEvents, YAML11_SCHEMA } from "js-yaml";
import type { Artifact } from "../emit/lines.ts";
import { seedFiles, seedLabel } from "../emit/node.ts";
import { carrierDifferences } from "./carriers.ts";
import { isoDifferences } from "./iso-reader.ts";

/** A byte order mark is a character like any other, and one that no seed has. */
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Verifies one node's artifacts in process: each YAML file must read the same as YAML 1.1 and as 1.2, and as what
 * was to be written; user-data must carry its header, and the image must hold exactly the files.
 * @param kind of nodes whose files are alike: what it says changes how long this takes, and never what is found
 * @returns what is wrong, empty when nothing is; says where, and never what stands there, as that may be a secret
 */
export function verifyNode(artifacts: readonly Artifact[], kind = ""): string[] {
  const wrong: string[] = [];
  for (const { name, bytes, meant } of artifacts) {
    if (!seedFiles.includes(name)) continue;
    if (name === "user-data" && !startsWith(bytes, header))
      wrong.push("user-data does not begin with #cloud-config");
    try {
      const place = difference(readBytes(bytes, `${kind} ${name}`), meant);
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

const header = Buffer.from("#cloud-config\n");

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return bytes.length >= start.length && Buffer.compare(bytes.subarray(0, start.length), start) === 0;
}

/** Thrown for a text that is one value as YAML 1.1 and another as YAML 1.2. */
export class VersionsDiffer extends Error {}

/**
 * The value of a text, which must be the same as YAML 1.1 and as YAML 1.2.
 * @throws VersionsDiffer when it is not, YAMLException when it is not one YAML document
 */
export function readBack(text: string): unknown {
  return readBytes(Buffer.from(text), "");
}

/**
 * The same for the bytes of a file.
 * @param place files that are alike have the same
 */
function readBytes(bytes: Uint8Array, place: string): unknown {
  let value: unknown = null;
  try {
    value = readInPieces(bytes, place);
  } catch {
    // What is wrong with the whole is what counts.
  }
  return value ?? read(decoder.decode(bytes));
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

/** A piece of a file: a comment, a key with what stands below it, or an item of a list. */
interface Piece {
  readonly kind: "comment" | "key" | "item";
  /** A key's name. */
  readonly key: string;
  /** Its place in the file, in bytes. */
  readonly start: number;
  readonly end: number;
  /** What it means. Nobody may change it. */
  value: unknown;
  /** Whether it was read by itself, so that it means this wherever it stands. */
  alone: boolean;
  /** A long block of text in it. */
  block: Block | null;
}

/** A file that was read: all its pieces, in order, and where in that order each first line stands first. */
interface Reading {
  readonly bytes: Buffer;
  readonly pieces: readonly Piece[];
  readonly at: ReadonlyMap<string, number>;
}

/** The file that was read last at each place: one of a node's, of which the next node of its kind has most. */
const readings = new Map<string, Reading>();
const rememberedReadings = 64;

/**
 * Reads a text that is a plain map: keys at the left margin, with what is indented or a list of items at the left
 * margin below them. Such a key or item means the same wherever it stands, as nothing in it goes on beyond it. So a
 * piece that was read by itself is not read again where the file read next has the same bytes, and what is left of the
 * text is read as one document.
 * @returns null for a text that is not that plain: it must be read as a whole
 */
function readInPieces(given: Uint8Array, place: string): unknown {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
  const before = new Before(readings.get(place));
  const value: Record<string, unknown> = {};
  const left = new Rest();
  const pieces: Piece[] = [];
  const firstLines = new Map<string, number>();
  let key = "";
  let list: unknown[] | null = null;
  for (let at = 0; at < bytes.length; ) {
    const same = before.same(bytes, at);
    const end = same === null ? endOfPiece(bytes, at) : at + same.end - same.start;
    if (end === null) return null;
    const text = same?.alone ? null : decoder.decode(bytes.subarray(at, end));
    const piece = same === null ? pieceOf(text as string, at, end) : { ...same, start: at, end };
    // What is met for the second time will be met again.
    if (text !== null && same !== null) readAlone(piece, text);
    if (piece.kind === "item") {
      if (list === null) return null;
      if (!piece.alone) left.addItem(piece, text as string, key, list.length, before.like(bytes, at));
      list.push(piece.value);
    } else if (piece.kind === "key") {
      ({ key } = piece);
      if (key === "" || Object.hasOwn(value, key)) return null;
      // A key alone on its line has the list that follows.
      list = end - at === key.length + 2 && bytes[end] === dash ? [] : null;
      if (!piece.alone) left.addKey(piece, text as string);
      value[key] = list ?? piece.value;
    } else if (at !== 0) return null;
    const line = firstLine(bytes, at);
    if (!firstLines.has(line)) firstLines.set(line, pieces.length);
    pieces.push(piece);
    at = end;
  }
  if (key === "" || !left.readInto(value)) return null;
  if (readings.size >= rememberedReadings) readings.clear();
  // The bytes may be written over once they are on the disk.
  readings.set(place, { bytes: Buffer.from(bytes), pieces, at: firstLines });
  return value;
}

const [lineBreak, blank, dash] = [10, 32, 45];

/** Where a piece ends: before the next line that begins with neither a blank nor a line break. */
function endOfPiece(bytes: Buffer, start: number): number | null {
  let end = start;
  do end = bytes.indexOf(lineBreak, end) + 1;
  while (end > 0 && goesOn(bytes, end));
  return end === 0 ? null : end;
}

function goesOn(bytes: Buffer, at: number): boolean {
  return bytes[at] === blank || bytes[at] === lineBreak;
}

function firstLine(bytes: Buffer, start: number): string {
  return bytes.toString("latin1", start, bytes.indexOf(lineBreak, start));
}

/** A piece that was not read yet; one that is nothing that is read in pieces is a key without a name. */
function pieceOf(text: string, start: number, end: number): Piece {
  const isComment = start === 0 && /^#[ -~]*\n$/.test(text);
  const kind = text.startsWith("- ") ? "item" : isComment ? "comment" : "key";
  const key = kind === "key" ? (/^([a-z][a-z0-9_-]*):[ \n]/.exec(text)?.[1] ?? "") : "";
  return { kind, key, start, end, value: undefined, alone: isComment, block: null };
}

/** Reads a piece by itself, where it can be. */
function readAlone(piece: Piece, text: string): void {
  // What 1.1 takes for a line break might end a piece inside of it.
  if (/[\r\u0085\u2028\u2029\ufeff]/.test(text)) return;
  const value = read(text) as { readonly [key: string]: unknown };
  piece.value = value[piece.kind === "item" ? 0 : piece.key];
  piece.alone = true;
}

/** The file read before at a place, beside the one that is being read. */
class Before {
  readonly #reading: Reading | undefined;
  /** The piece that is expected next. */
  #next = 0;

  constructor(reading: Reading | undefined) {
    this.#reading = reading;
  }

  /** The piece whose bytes stand here, too, as a piece of their own. */
  same(bytes: Buffer, at: number): Piece | null {
    const expected = this.#reading?.pieces[this.#next];
    if (this.#stands(expected, bytes, at)) {
      this.#next += 1;
      return expected;
    }
    const like = this.like(bytes, at);
    return this.#stands(like, bytes, at) ? like : null;
  }

  /** The piece that begins with the same line; the next one is expected next then. */
  like(bytes: Buffer, at: number): Piece | undefined {
    const index = this.#reading?.at.get(firstLine(bytes, at));
    if (index === undefined) return undefined;
    this.#next = index + 1;
    return this.#reading?.pieces[index];
  }

  #stands(piece: Piece | undefined, bytes: Buffer, at: number): piece is Piece {
    const reading = this.#reading;
    if (reading === undefined || piece === undefined) return false;
    const { start, end } = piece;
    const to = at + end - start;
    return to <= bytes.length && bytes.compare(reading.bytes, start, end, at, to) === 0 && !goesOn(bytes, to);
  }
}

/** What is left of a text without the pieces that are known. */
class Rest {
  #text = "";
  /** The key that stands last in the text. */
  #key = "";
  readonly #keys = new Map<string, Piece>();
  readonly #items: {
    readonly piece: Piece;
    readonly text: string;
    readonly key: string;
    readonly at: number;
    readonly short: Short | null;
  }[] = [];

  addKey(piece: Piece, text: string): void {
    this.#text += text;
    this.#key = piece.key;
    this.#keys.set(piece.key, piece);
  }

  /** @param like the item that began with the same line in the file read before */
  addItem(piece: Piece, text: string, key: string, at: number, like: Piece | undefined): void {
    const short = shorten(text, like?.block ?? null);
    const read = short === null ? text : short.text;
    this.#text += this.#key === key ? read : `${key}:\n${read}`;
    this.#key = key;
    this.#items.push({ piece, text, key, at, short });
  }

  /** Reads the text, and puts what it means where it belongs. False when it has not what was put into it. */
  readInto(value: Record<string, unknown>): boolean {
    if (this.#text === "") return true;
    const all = read(this.#text) as Record<string, unknown> | null;
    const names = new Set([...this.#keys.keys(), ...this.#items.map(({ key }) => key)]);
    if (all === null || typeof all !== "object" || Object.keys(all).length !== names.size) return false;
    const taken = new Map<string, number>();
    for (const { piece, text, key, at, short } of this.#items) {
      const next = taken.get(key) ?? 0;
      const items = all[key];
      if (!Array.isArray(items) || next >= items.length) return false;
      const item = short === null ? items[next] : short.restore(items[next]);
      if (item === undefined) return false;
      (value[key] as unknown[])[at] = item;
      taken.set(key, next + 1);
      piece.value = item;
      piece.block = blockOf(text, item, short !== null);
    }
    for (const [key, piece] of this.#keys) {
      if (!Object.hasOwn(all, key)) return false;
      piece.value = all[key];
      // A key with a list has it already.
      if (value[key] === undefined) value[key] = all[key];
    }
    // Nothing may be left over, as where an item has another line break inside.
    return [...taken].every(([key, count]) => (all[key] as unknown[]).length === count);
  }
}

/** An item without the lines of its block of text that were read as they stand in another node's item. */
interface Short {
  readonly text: string;
  /** The value of the whole item from that of `text`; undefined when it is not what it must be. */
  readonly restore: (item: unknown) => unknown;
}

/** An item with a block of text, as it was read: the item's text, where its block begins, what the block means. */
interface Block {
  readonly text: string;
  readonly start: number;
  readonly content: string;
}

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
function shorten(item: string, before: Block | null): Short | null {
  if (before === null) return null;
  const head = blockHead.exec(item)?.[0];
  // An equal head: the same indentation, and nothing that the block's lines could belong to otherwise.
  if (head === undefined || head.length !== before.start || !before.text.startsWith(head)) return null;
  const old = before.text;
  const lastLine = item.lastIndexOf("\n", item.length - 2) + 1;
  let text = head;
  /** The content, in parts: of the block before, or of lines that were left in. */
  const content: (string | null)[] = [];
  let [at, oldAt] = [head.length, head.length];
  /** How much of the content before was passed. */
  let passed = 0;
  let kept = 0;
  while (at < item.length) {
    // A line that is left in, and what stands in its place.
    const end = item.indexOf("\n", at) + 1;
    const oldEnd = old.indexOf("\n", oldAt) + 1;
    if (end === 0 || oldEnd === 0) return null;
    content.push(null);
    text += item.slice(at, end);
    kept += 1;
    if (kept > mostLines) return null;
    passed += meaning(old, oldAt, oldEnd);
    // The whole lines after it that are equal.
    const equal = equalLength(item, end, old, oldEnd);
    at = Math.max(end, Math.min(item.lastIndexOf("\n", end + equal - 1) + 1, lastLine));
    oldAt = oldEnd + at - end;
    if (at === end) continue;
    const from = passed;
    for (let line = end; line < at; ) {
      const next = item.indexOf("\n", line) + 1;
      passed += meaning(item, line, next);
      line = next;
    }
    content.push(before.content.slice(from, passed));
  }
  if (oldAt !== old.length || !blockLines.test(text.slice(head.length))) return null;
  return {
    text,
    restore: (value) => {
      if (typeof value !== "object" || value === null || !("content" in value)) return undefined;
      const { content: read } = value;
      // A line of text for each line that was left in, and nothing else.
      const lines = typeof read === "string" ? read.split("\n") : [];
      if (lines.length !== kept + 1 || lines.pop() !== "") return undefined;
      let next = 0;
      const parts = content.map((part) => part ?? `${lines[next++]}\n`);
      return { ...value, content: parts.join("") };
    },
  };
}

/** How long that is what a line of a block means, its line break included: it lacks its indentation, if it has one. */
function meaning(text: string, start: number, end: number): number {
  return end - start - (text.charCodeAt(start) === lineBreak ? 0 : 4);
}

/**
 * An item with a block of text, for the same item of the next node.
 * @param restored whether it was read without lines that were read before
 */
function blockOf(text: string, item: unknown, restored: boolean): Block | null {
  if (text.length < leastBlock) return null;
  const head = blockHead.exec(text)?.[0];
  const content = (item as { readonly content?: unknown } | null)?.content;
  if (head === undefined || typeof content !== "string") return null;
  if (!restored) {
    const lines = text.slice(head.length);
    if (!blockLines.test(lines) || lines.replaceAll(/^ {4}/gm, "") !== content) return null;
  }
  return { text, start: head.length, content };
}

/** How far two texts are equal from there on. */
function equalLength(a: string, aFrom: number, b: string, bFrom: number): number {
  const most = Math.min(a.length - aFrom, b.length - bFrom);
  let equal = 0;
  for (const step of [4096, 256, 16]) {
    while (
      equal + step <= most &&
      a.slice(aFrom + equal, aFrom + equal + step) === b.slice(bFrom + equal, bFrom + equal + step)
    )
      equal += step;
  }
  while (equal < most && a.charCodeAt(aFrom + equal) === b.charCodeAt(bFrom + equal)) equal += 1;
  return equal;
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

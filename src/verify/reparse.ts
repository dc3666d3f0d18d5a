/** Reads back what was emitted, with other readers than those that wrote it. */
import { CORE_SCHEMA, constructFromEvents, parseEvents, YAML11_SCHEMA } from "js-yaml";
import type { Artifact } from "../emit/lines.ts";
import { seedFiles, seedLabel } from "../emit/node.ts";
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

/**
 * Reads a text that is a plain map by its pieces: the keys at the left margin with what is indented below them, and
 * the items of lists at the left margin. Such a piece means the same wherever it stands, as nothing in it goes on
 * beyond it. Pieces that many nodes share are then read once.
 * @returns null for a text that is not that plain: it must be read as a whole
 */
function readInPieces(text: string): unknown {
  const value: Record<string, unknown> = {};
  let list: unknown[] | null = null;
  for (let at = 0; at < text.length; ) {
    let end = at;
    do end = text.indexOf("\n", end) + 1;
    while (end > 0 && (text[end] === " " || text[end] === "\n"));
    if (end === 0) return null;
    const piece = text.slice(at, end);
    const first = piece.slice(0, piece.indexOf("\n"));
    if (piece.startsWith("- ")) {
      const item = list === null ? null : readPiece(piece, first);
      if (list === null || !Array.isArray(item) || item.length !== 1) return null;
      list.push(item[0]);
    } else if (at !== 0 || !/^#[ -~]*$/.test(first) || first.length + 1 !== piece.length) {
      const [, key] = /^([a-z][a-z0-9_-]*):(?: |$)/.exec(first) ?? [];
      if (key === undefined || Object.hasOwn(value, key)) return null;
      const map = readPiece(piece, key);
      if (map === null || typeof map !== "object" || Object.keys(map).join() !== key) return null;
      // A key alone on its line has the list that follows.
      list = piece === `${key}:\n` && text[end] === "-" ? [] : null;
      value[key] = list ?? (map as Record<string, unknown>)[key];
    }
    at = end;
  }
  return Object.keys(value).length === 0 ? null : value;
}

/** What the pieces mean that were met twice in a row at one place. */
const known = new Map<string, unknown>();
/** The piece last met at a place; what only one node has is not met twice in a row, and not worth remembering. */
const met = new Map<string, string>();
const remembered = 2000;

/**
 * The value of a piece; one that was read before has the value that it had then. Nobody may change it.
 * @param place what pieces of several nodes have in common that may be equal: the key, or an item's first line
 */
function readPiece(piece: string, place: string): unknown {
  const before = known.get(piece);
  if (before !== undefined) return before;
  // What 1.1 takes for a line break might end a piece inside of it; an anchor or alias may reach beyond it.
  if (/[\r\u0085\u2028\u2029\ufeff]|^[^\n]*[&*]/.test(piece)) return null;
  const value = read(piece);
  if (met.get(place) === piece) {
    if (known.size >= remembered) known.clear();
    known.set(piece, value);
  } else {
    if (met.size >= remembered) met.clear();
    met.set(place, piece);
  }
  return value;
}

/** The place of the first difference of two values of plain data, such as `users[0].name`; null when they are equal. */
function difference(a: unknown, b: unknown): string | null {
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

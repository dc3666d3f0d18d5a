/** Reads back what was emitted, with other readers than those that wrote it. */
import { CORE_SCHEMA, constructFromEvents, parseEvents, YAML11_SCHEMA } from "js-yaml";
import type { Artifact } from "../emit/lines.ts";
import { seedFiles, seedLabel } from "../emit/node.ts";
import { isoDifferences } from "./iso-reader.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Verifies one node's artifacts in process: each YAML file must read the same as YAML 1.1 and as 1.2, user-data
 * must carry its header, and the image must hold exactly the files.
 * @returns what is wrong, empty when nothing is
 */
export function verifyNode(artifacts: readonly Artifact[]): string[] {
  const wrong: string[] = [];
  for (const { name, bytes } of artifacts) {
    if (!seedFiles.includes(name)) continue;
    const text = decoder.decode(bytes);
    if (name === "user-data" && !text.startsWith("#cloud-config\n"))
      wrong.push("user-data does not begin with #cloud-config");
    try {
      if (!readsTheSame(text)) wrong.push(`${name} reads differently as YAML 1.1 and as YAML 1.2`);
    } catch (error) {
      wrong.push(`${name} cannot be read back: ${(error as Error).message.split("\n")[0]}`);
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

/**
 * Whether a text is the same value as YAML 1.1 and as YAML 1.2.
 * @throws YAMLException when it is not one YAML document
 */
export function readsTheSame(text: string): boolean {
  const pieces = itemsOf(text);
  if (pieces === null) return compare(text);
  // What remains when the items are taken out is read in full, so each file's own structure is checked.
  return pieces.items.every(itemReadsTheSame) && compare(pieces.rest);
}

/** Items this long are worth remembering; a thousand nodes carry the same scripts. */
const worthRemembering = 500;
const rememberedItems = 500;
const known = new Map<string, boolean>();

function itemReadsTheSame(item: string): boolean {
  let same = known.get(item);
  if (same === undefined) {
    same = compare(item);
    if (known.size >= rememberedItems) known.clear();
    known.set(item, same);
  }
  return same;
}

/**
 * Takes the long items of block sequences at the left margin out of a text, `- 0` is left in their places. Such an
 * item reads the same wherever it stands, as long as it is indented as a whole and nothing in the text refers to
 * something elsewhere in it; null when the text is not that plain.
 */
function itemsOf(text: string): { readonly rest: string; readonly items: readonly string[] } | null {
  // Only these begin a line that is not indented: keys, items, and the comment at the top.
  if (/\n[^\na-z -]|^[^#\na-z-]|\n-[^ ]|[\r\u0085\u2028\u2029\ufeff]|\n[^ \n].*[&*]/.test(text)) return null;
  const items: string[] = [];
  let rest = "";
  let at = 0;
  while (at < text.length) {
    const start = text.startsWith("- ", at) ? at : text.indexOf("\n- ", at) + 1;
    if (start === 0 && at !== 0) break;
    if (start === 0 && !text.startsWith("- ")) break;
    let end = start;
    do {
      end = text.indexOf("\n", end) + 1;
    } while (end > 0 && (text[end] === " " || text[end] === "\n"));
    if (end === 0) end = text.length;
    const item = text.slice(start, end);
    if (item.length < worthRemembering || !item.startsWith("- path: ")) rest += text.slice(at, end);
    else {
      items.push(item);
      rest += `${text.slice(at, start)}- 0\n`;
    }
    at = end;
  }
  return { rest: rest + text.slice(at), items };
}

/** Parses once, as the events are the same in both versions; what the scalars mean is what differs. */
function compare(text: string): boolean {
  const events = parseEvents(text, {});
  const [old, ...more] = constructFromEvents(events, { source: text, schema: YAML11_SCHEMA });
  const [core] = constructFromEvents(events, { source: text, schema: CORE_SCHEMA });
  if (more.length > 0) throw new Error("it holds more than one document");
  if (old === undefined) throw new Error("it holds no document");
  return same(old, core);
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
  if (Array.isArray(a) !== Array.isArray(b) || a instanceof Date || b instanceof Date) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
  );
}

/** Values to YAML that 1.1 readers (PyYAML, so cloud-init and netplan) and 1.2 readers agree on. */
import { createRequire } from "node:module";

/** The library is large, and the plain writer below does nearly all there is to do: it is loaded when needed. */
let library: typeof import("yaml") | null = null;

/**
 * Writes a value as block YAML. Strings that YAML 1.1 would read as something else are quoted, as are those that
 * 1.2 would; long lines are never folded; texts of several lines are literal blocks.
 * @returns text that ends with a line break
 */
export function toYaml(value: unknown): string {
  return plainYaml(value) ?? libraryYaml(value);
}

/** What toYaml writes, by the library alone. Anything that can be YAML is right here; it is slow. */
export function libraryYaml(value: unknown): string {
  library ??= createRequire(import.meta.url)("yaml") as typeof import("yaml");
  const { Document, Scalar, visit } = library;
  const document = new Document(value, {
    version: "1.2",
    schema: "core",
    compat: "yaml-1.1",
    aliasDuplicateObjects: false,
  });
  visit(document, {
    Scalar(key, node) {
      if (typeof node.value !== "string") return;
      if (mustEscape.test(node.value)) node.type = Scalar.QUOTE_DOUBLE;
      // A block that begins with blanks or blank lines leaves its indentation to guess.
      else if (node.value.includes("\n"))
        node.type = key === "key" || /^\s/.test(node.value) ? Scalar.QUOTE_DOUBLE : Scalar.BLOCK_LITERAL;
      else if (ambiguous(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  const text = document.toString({
    lineWidth: 0,
    blockQuote: "literal",
    indentSeq: false,
    flowCollectionPadding: true,
  });
  // These stand in double quotes only, where the library leaves them as they are.
  return text.replace(
    new RegExp(mustEscape, "g"),
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * What YAML 1.1 takes for a line break (next line, line and paragraph separator), for a byte order mark, or for
 * nothing that may be in a text (delete and the second set of control characters).
 */
const mustEscape = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/;

/** What the two versions, or their readers, disagree on beyond what the writer's schemas know. */
function ambiguous(text: string): boolean {
  return (
    /^[-+.]?\d/.test(text) || // numbers of all bases, sexagesimals, dates, MAC addresses
    /^(y|n|yes|no|on|off|true|false|null|~|=|<<|)$/i.test(text) ||
    /^[-+]?\.(inf|nan)$/i.test(text) ||
    text.includes("\t") // ends a plain scalar for PyYAML
  );
}

/**
 * What libraryYaml writes, to the byte, for the values that seeds are made of: maps, lists, whole numbers, true,
 * false, null, lines of printable ASCII and blocks of text. Some forty times as fast.
 * @returns null when there is anything else in the value
 */
export function plainYaml(value: unknown): string | null {
  if (value === null || typeof value !== "object") return null;
  if (Array.isArray(value)) return value.length === 0 ? "[]\n" : block(value, "");
  return Object.keys(value).length === 0 && isPlain(value) ? "{}\n" : block(value, "");
}

/** The lines of a collection that is not empty, the first one without its indentation. */
function block(value: object, indent: string): string | null {
  let out = "";
  if (Array.isArray(value)) {
    for (const item of value) {
      const text = child(item, `${indent}  `, null);
      if (text === null) return null;
      out += `${out === "" ? "" : indent}- ${text}`;
    }
    return out;
  }
  if (!isPlain(value)) return null;
  for (const [key, item] of Object.entries(value)) {
    if (!/^[A-Za-z_][A-Za-z0-9_./-]{0,99}$/.test(key) || ambiguous(key)) return null;
    const text = child(item, `${indent}  `, indent);
    if (text === null) return null;
    out += `${out === "" ? "" : indent}${key}:${text}`;
  }
  return out;
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as unknown;
  return prototype === Object.prototype || prototype === null;
}

/**
 * What follows `- ` or `key:`.
 * @param indent of what stands below
 * @param keyIndent the key's own indentation, which lists below it share; null in a list
 */
function child(value: unknown, indent: string, keyIndent: string | null): string | null {
  const blank = keyIndent === null ? "" : " ";
  if (value === null || typeof value === "boolean") return `${blank}${value}\n`;
  if (typeof value === "number")
    return Number.isSafeInteger(value) && !Object.is(value, -0) ? `${blank}${value}\n` : null;
  if (typeof value === "string") {
    const text = value.includes("\n") ? literal(value, indent) : line(value);
    return text === null ? null : `${blank}${text}\n`;
  }
  if (typeof value !== "object") return null;
  const list = Array.isArray(value);
  if ((list ? value.length : Object.keys(value).length) === 0) return `${blank}${list ? "[]" : "{}"}\n`;
  if (keyIndent === null) return block(value, indent);
  const at = list ? keyIndent : indent;
  const text = block(value, at);
  return text === null ? null : `\n${at}${text}`;
}

function line(text: string): string | null {
  if (!/^[ -~]*$/.test(text)) return null;
  if (ambiguous(text)) return JSON.stringify(text);
  if (!/^(-?[A-Za-z_/]|\$)/.test(text)) return null;
  if (!/: | #|[ :]$/.test(text)) return text;
  return text.includes('"') && !text.includes("'") ? `'${text}'` : JSON.stringify(text);
}

/** A block of text that begins with no blank and ends with one line break. */
function literal(text: string, indent: string): string | null {
  if (!/^[^\s]/.test(text) || !/[^\s]\n$/.test(text) || /[^\t\n -~\u00a0-\u2027\u202a-\ud7ff]/.test(text))
    return null;
  const lines = text.slice(0, -1);
  // A blank line has no indentation. A text without one is most of what is written, and three times as fast.
  const indented = lines.includes("\n\n")
    ? lines.replace(/\n+/g, `$&${indent}`)
    : lines.replaceAll("\n", `\n${indent}`);
  return `|\n${indent}${indented}`;
}

/**
 * Text with holes. What a template renders to is literals and secrets that are not known yet: only emit fills
 * the holes, so that plans, diffs and logs hold no secret by construction.
 */

/** How a value is written so that the language it lands in reads the same value back. */
export type Encoder = "url" | "sql" | "sh" | "oslo" | "osloValue" | "env" | "json";

export type Part =
  | string
  | { readonly secret: string }
  | { readonly encode: Encoder; readonly parts: readonly Part[] };

export class Text {
  readonly parts: readonly Part[];
  constructor(parts: readonly Part[]) {
    this.parts = parts;
  }
}

/** A rendered text: a plain string where nothing secret is in it. */
export type Filled = string | Text;

/** Everything that may stand in a template's scope. */
export type Value =
  | string
  | number
  | boolean
  | null
  | Text
  | readonly Value[]
  | { readonly [key: string]: Value };

const encoders: Record<Encoder, (text: string) => string> = {
  // RFC 3986 unreserved characters stay.
  url: (text) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`),
  // A MariaDB string literal; backslash is an escape character there unless NO_BACKSLASH_ESCAPES is set.
  sql: (text) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "''")}'`,
  sh: (text) => `'${text.replaceAll("'", "'\\''")}'`,
  // oslo.config interpolates $name, and reads \$ as $$, which is a literal dollar: \$ is one whatever stands before it.
  oslo: (text) => text.replaceAll("$", "\\$"),
  // The same as a whole value: oslo.config strips blanks around it, and quotes where it begins and ends with the same.
  osloValue: (text) =>
    /^\s|\s$/.test(text) || (/^["']/.test(text) && text.at(0) === text.at(-1)) ? `"${text}"` : text,
  // systemd's EnvironmentFile and sh both read a double-quoted value with backslash escapes.
  env: (text) => (/^[A-Za-z0-9_./:=,@%+-]*$/.test(text) ? text : `"${text.replace(/[\\"$`]/g, "\\$&")}"`),
  json: (text) => JSON.stringify(text).slice(1, -1),
};

/** Encodes a plain text for the language named. */
export function encode(encoder: Encoder, text: string): string {
  return encoders[encoder](text);
}

/** Joins parts and folds neighbouring literals; returns a plain string when no hole is left. */
export function text(parts: readonly Part[]): Filled {
  const folded: Part[] = [];
  for (const part of parts) {
    const last = folded.length - 1;
    if (typeof part === "string" && typeof folded[last] === "string") folded[last] += part;
    else if (part !== "") folded.push(part);
  }
  if (folded.length === 0) return "";
  return folded.length === 1 && typeof folded[0] === "string" ? folded[0] : new Text(folded);
}

/** The parts of a filled text. */
export function parts(filled: Filled): readonly Part[] {
  return typeof filled === "string" ? [filled] : filled.parts;
}

/** Wraps a text in an encoder; literals are encoded at once. */
export function encoded(encoder: Encoder, filled: Filled): Filled {
  return typeof filled === "string"
    ? encode(encoder, filled)
    : new Text([{ encode: encoder, parts: filled.parts }]);
}

/** Fills the holes. `reveal` gives a secret's value by its name. */
export function fill(filled: Filled, reveal: (secret: string) => string): string {
  return typeof filled === "string" ? filled : fillParts(filled.parts, reveal);
}

function fillParts(list: readonly Part[], reveal: (secret: string) => string): string {
  let out = "";
  for (const part of list) {
    if (typeof part === "string") out += part;
    else if ("secret" in part) out += reveal(part.secret);
    else out += encode(part.encode, fillParts(part.parts, reveal));
  }
  return out;
}

/**
 * What may be seen of a text's secrets: each value as it is, and as the encoders around its hole write it, without the
 * quotes that they put around.
 * @param into gets them
 */
export function spellings(
  filled: Filled,
  reveal: (secret: string) => string,
  into: Set<string>,
  around: readonly Encoder[] = [],
): void {
  for (const part of parts(filled)) {
    if (typeof part === "string") continue;
    if ("encode" in part) spellings(new Text(part.parts), reveal, into, [part.encode, ...around]);
    else {
      let value = reveal(part.secret);
      into.add(value);
      for (const encoder of around) {
        value = encode(encoder, value).replace(/^(["'])([\s\S]*)\1$/, "$2");
        into.add(value);
      }
    }
  }
}

/** The names of the secrets in a text. */
export function secretsOf(filled: Filled, into: Set<string> = new Set()): Set<string> {
  if (typeof filled !== "string") collect(filled.parts, into);
  return into;
}

function collect(list: readonly Part[], into: Set<string>): void {
  for (const part of list) {
    if (typeof part === "string") continue;
    if ("secret" in part) into.add(part.secret);
    else collect(part.parts, into);
  }
}

/** The text as a person may see it: each secret as `<secret name>`. */
export function redacted(filled: Filled): string {
  return typeof filled === "string" ? filled : redactParts(filled.parts);
}

function redactParts(list: readonly Part[]): string {
  return list
    .map((part) =>
      typeof part === "string"
        ? part
        : "secret" in part
          ? `<secret ${part.secret}>`
          : redactParts(part.parts),
    )
    .join("");
}

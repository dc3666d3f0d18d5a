/** Takes secrets out of texts that leave the machine they belong to. */

/** What stands in a secret's place: a plain text in YAML, JSON, ini files and shells alike. */
export const blackened = "<secret>";

/** A value as programs write it: in JSON, URLs, SQL, shells, YAML and base64, also one inside of the other. */
function spellings(value: string): string[] {
  const inside = (text: string): string => JSON.stringify(text).slice(1, -1);
  const plain = new Set([
    value,
    encodeURIComponent(value),
    encodeURI(value),
    value.replaceAll("'", "''"),
    value.replaceAll("'", "\\'"),
    value.replaceAll("\\", "\\\\").replaceAll("'", "\\'"),
    value.replaceAll("'", "'\\''"),
    value.replaceAll("'", `'"'"'`),
    value.replaceAll("%", "%%"),
    value.replaceAll("$", "$$$$"),
  ]);
  const bytes = Buffer.from(value, "utf8");
  const coded = [
    bytes.toString("base64"),
    bytes.toString("base64url"),
    bytes.toString("hex"),
    Buffer.from(`${value}\n`, "utf8").toString("base64"),
  ];
  return [...[...plain].flatMap((text) => [text, inside(text), inside(inside(text))]), ...coded];
}

/** Where programs print secrets that nobody told us of. The groups of each stay. */
const patterns: readonly RegExp[] = [
  /(-----BEGIN [A-Z ]*PRIVATE KEY-----)()[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /(:\/\/[^:/@\s"']*:)()[^@/\s"']+(?=@)/g,
  /(\bauthorization["']?\s*[=:]\s*["']?(?:basic|bearer|digest)\s+)()[^\s"',;]+/gi,
  /()()\$(?:1|2[abxy]|5|6|7|y|gy|argon2\w*)\$[./A-Za-z0-9$=,+-]{16,}/g,
  /((?<![\w.-])[\w.-]*(?:password|passwd|passphrase|secret|token|private[_-]?key|api[_-]?key)[\w.-]*["']?\s*[=:]\s*)(?:(")(?:[^"\\\n]|\\.)*"|(')[^'\n]*'|[^\s,;"'{}[\]<][^\s,;"'{}[\]]*)/gi,
];

export interface Redactor {
  /** A text without known secrets and without what looks like one. */
  (text: string): string;
  /** Only the known values are replaced: for texts that are about secrets without having any, such as plan.json. */
  known(text: string): string;
  /** Whether any known value stands in a text, however spelt. */
  leaks(text: string): boolean;
  /** How many values are too short to be recognised in a text. */
  readonly tooShort: number;
}

/** Shorter ones are not replaced: every other word would have them in it. */
const shortest = 4;

/**
 * Makes a redactor.
 * @param secrets all known values, raw: from the store, and hashes of login passwords
 */
export function redactor(secrets: readonly string[]): Redactor {
  const values = [...new Set(secrets)].filter((value) => value !== "");
  const usable = values.filter((value) => value.length >= shortest);
  // The longest first, so that one which contains another goes as a whole.
  const all = [...new Set(usable.flatMap(spellings))].sort((a, b) => b.length - a.length || (a < b ? -1 : 1));
  const known = (text: string): string => {
    let out = text;
    for (const secret of all) out = out.replaceAll(secret, blackened);
    return out;
  };
  const redact = (text: string): string => {
    let out = known(text);
    for (const pattern of patterns)
      out = out.replace(pattern, (_, before: string, double?: string, single?: string) => {
        // Quotes stay, so that what is left is still what it was: YAML, JSON, a shell's words.
        const quote = double || (typeof single === "string" ? single : "");
        return `${before}${quote}${blackened}${quote}`;
      });
    return out;
  };
  return Object.assign(redact, {
    known,
    leaks: (text: string) => all.some((secret) => text.includes(secret)),
    tooShort: values.length - usable.length,
  });
}

/**
 * Misspells every key and every reference of every file that people write, one at a time and by one letter, and
 * expects a problem at its file, line and column. What is not misspelt, and why, stands in `free` below.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { makeLibrary } from "../src/commands/compile.ts";
import { type Problem, Problems } from "../src/core/problem.ts";
import { type LibraryEntry, readLibrary } from "../src/load/library.ts";
import type { Data, Loaded, Marks } from "../src/load/marks.ts";
import { loadYaml } from "../src/load/yaml.ts";
import { planSite } from "../src/plan/plan.ts";
import type { Library } from "../src/resolve/model.ts";
import { checkReferences } from "../src/resolve/references.ts";
import { resolveSite } from "../src/resolve/site.ts";
import type { SiteDoc } from "../src/validate/documents.ts";
import { type Kind, kinds, type Schema } from "../src/validate/schema.ts";
import { validate } from "../src/validate/validate.ts";
import { suite } from "./support/suite.ts";

const repository = join(import.meta.dirname, "..");

/** Keys and values that are their author's own: nothing could know that they are misspelt. */
const free: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/\/env\/[^/]+$/, "environment variables belong to the program that is run"],
  [/\/set\/[^/]+(\/(?!\$use)[^/]+)?$/, "sections and keys of a configuration file belong to the service"],
  [/\/drop_in\/[^/]+\/[^/]+$/, "keys of units belong to systemd, which has new ones in every release"],
  [/\/cloud_config\//, "keys of cloud-init; its own schema judges them with --tools"],
  [/^\/(cloud_init|facts)\//, "facts about a target, for readers that come and go"],
  [/^\/resources\/[^/]+\/gives\/[^/]+\/[^/]+$/, "keys of a map that is spread over a section of a file"],
  [/^\/nodes\/[^/]+$/, "the name of a node"],
  [/^\/installer\/media\/[^/]+$/, "the names of media are the release's own"],
  [/\/default\/[^/]+$/, "a map's own keys"],
  [/\/options\/[^/]+\/[^/]+\/[^/]+$/, "keys within a map that is an option's value"],
];

/** Names that are made here and used elsewhere: misspelt, they must be reported where they are used. */
const definitions: readonly RegExp[] = [
  /^\/(options|secrets|names|needs|resources)\/[^/]+$/,
  /^\/nodes\/[^/]+\/needs\/[^/]+$/,
  /^\/resources\/[^/]+\/(params|gives)\/[^/]+$/,
  /^\/networks\/[^/]+$/,
];

/** Map keys, and values, that refer to something. */
const referenceKeys: readonly RegExp[] = [
  /\/when\/[^/]+$/,
  /\/with\/[^/]+$/,
  /\/drop_in\/[^/]+$/,
  /\/interfaces\/[^/]+$/,
  /\/set\/[^/]+\/\$use$/,
  /^\/names\/[^/]+\/[^/]+$/,
  /^\/lab\/without\/[^/]+$/,
  /^\/lab\/without\/[^/]+\/options\/[^/]+(\/[^/]+)?$/,
];
const referenceValues: readonly RegExp[] = [
  /^\/(component|profile|extends)$/,
  /^\/target$/,
  /^\/nodes\/[^/]+\/(profile|target)$/,
  /\/(requires|after)\/\d+(\/use)?$/,
  /^\/components\/\d+(\/use)?$/,
  /\/needs\/[^/]+\/use$/,
  /^\/resources\/[^/]+\/key$/,
  /\/params\/[^/]+\/of$/,
  /\/(script|source|template_file)$/,
  /\/settings\/\d+\/file$/,
  /\/set\/[^/]+\/\$use$/,
  /\/when\/[^/]+(\/\d+)?$/,
];

interface Slip {
  readonly file: string;
  readonly what: string;
  /** The file with one letter changed. */
  readonly text: string;
  /** Where the problem must be; null where any will do, as the name is used elsewhere. */
  readonly at: { readonly line: number; readonly column: number } | null;
  /** For a definition: the word. Nothing can be said of one that nothing uses. */
  readonly word?: string;
}

/** Another letter in the middle of a word. */
function misspelt(word: string): string | null {
  const letters = [...word.matchAll(/[a-z]/gi)].map(({ index }) => index);
  const at = letters[Math.floor(letters.length / 2)];
  return at === undefined ? null : word.slice(0, at) + (word[at] === "q" ? "z" : "q") + word.slice(at + 1);
}

function offsetOf(text: string, line: number, column: number): number {
  let offset = 0;
  for (let skip = 1; skip < line; skip++) offset = text.indexOf("\n", offset) + 1;
  return offset + column - 1;
}

function replaceWord(text: string, from: number, word: string): string | null {
  const at = text.indexOf(word, from);
  const wrong = misspelt(word);
  return at < 0 || wrong === null ? null : text.slice(0, at) + wrong + text.slice(at + word.length);
}

function* slipsOfDocument(kind: Kind, file: string, text: string, isSite: boolean): Generator<Slip> {
  const problems = new Problems();
  const loaded = loadYaml(file, text, problems);
  if (loaded === null || problems.failed) throw new Error(`${file} is not as it should be`);
  function* visit(value: Data, marks: Marks, schema: Schema | undefined, path: string): Generator<Slip> {
    const [line, column] = marks.v;
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries())
        yield* visit(
          item,
          (marks.c as readonly Marks[])[index] as Marks,
          schema?.["items"] as Schema,
          `${path}/${index}`,
        );
      return;
    }
    if (value !== null && typeof value === "object") {
      const properties = (schema?.["properties"] ?? {}) as Record<string, Schema>;
      for (const [key, item] of Object.entries(value)) {
        const child = (marks.c as Record<string, Marks>)[key] as Marks;
        const where = `${path}/${key}`;
        const more = schema?.["additionalProperties"];
        yield* slipsOfKey(key, child, where, Object.hasOwn(properties, key));
        yield* visit(
          item,
          child,
          properties[key] ?? (typeof more === "object" ? (more as Schema) : undefined),
          where,
        );
      }
      return;
    }
    if (typeof value !== "string" || value.includes("{{")) return;
    const reference =
      (schema?.["enum"] as unknown[] | undefined)?.includes(value) === true ||
      referenceValues.some((pattern) => pattern.test(path));
    if (!reference) return;
    // The parts of a dotted reference one by one; file names and target names as a whole.
    const words = /\/(use|\$use)$/.test(path) ? value.split(".") : [value];
    let from = offsetOf(text, line, column);
    for (const word of words) {
      const wrong = replaceWord(text, from, word);
      from = text.indexOf(word, from) + word.length;
      if (wrong !== null)
        yield { file, what: `the value ${word} of ${path}`, text: wrong, at: { line, column } };
    }
  }
  function* slipsOfKey(key: string, marks: Marks, path: string, known: boolean): Generator<Slip> {
    const [line, column] = marks.k ?? [0, 0];
    const at = { line, column };
    const from = offsetOf(text, line, column);
    if (
      known &&
      !free.some(([pattern]) => /cloud_init|facts|cloud_config/.test(pattern.source) && pattern.test(path))
    ) {
      const wrong = replaceWord(text, from, key);
      if (wrong !== null) yield { file, what: `the key ${path}`, text: wrong, at };
      return;
    }
    const inSite = isSite && /^\/(nodes\/[^/]+\/)?(options\/[^/]+(\/[^/]+)?|secrets\/[^/]+)$/.test(path);
    const inProfile = kind === "profile" && /^\/options\/[^/]+(\/[^/]+)?$/.test(path);
    if (inSite || inProfile || referenceKeys.some((pattern) => pattern.test(path))) {
      let start = from;
      for (const word of /\/when\//.test(path) ? key.split(".") : [key]) {
        const wrong = replaceWord(text, start, word);
        start = text.indexOf(word, start) + word.length;
        if (wrong !== null) yield { file, what: `the reference ${path}`, text: wrong, at };
      }
      return;
    }
    if (definitions.some((pattern) => pattern.test(path))) {
      const wrong = replaceWord(text, from, key);
      if (wrong !== null) yield { file, what: `the definition ${path}`, text: wrong, at: null, word: key };
      return;
    }
    assert.ok(
      free.some(([pattern]) => pattern.test(path)),
      `${file}: no rule says whether ${path} can be misspelt`,
    );
  }
  yield* visit(loaded.value, loaded.marks, kinds[kind], "");
  yield* slipsOfTags(file, text, /^\s*#/);
}

/** Every step of every name in the tags of a text. */
function* slipsOfTags(file: string, text: string, comment: RegExp | null): Generator<Slip> {
  for (const [index, content] of text.split("\n").entries()) {
    if (comment?.test(content)) continue;
    const start = offsetOf(text, index + 1, 1);
    for (const tag of content.matchAll(/\{\{[#^/]?([^}]+)\}\}/g)) {
      const name = tag[1] ?? "";
      let from = start + tag.index;
      for (const word of tag[0].startsWith("{{/") ? [name] : name.split(".")) {
        const wrong = word === "" ? null : replaceWord(text, from, word);
        from = text.indexOf(word, from) + word.length;
        if (wrong !== null)
          yield {
            file,
            what: `${word} in ${tag[0]}`,
            text: wrong,
            at: { line: index + 1, column: tag.index + 1 },
          };
      }
    }
  }
}

interface Package {
  readonly root: string;
  readonly entries: readonly LibraryEntry[];
  readonly texts: ReadonlyMap<string, string>;
  /** The sites as they are, read and judged once: each slip is in one file, and thousands are tried. */
  readonly sites: Map<string, Loaded>;
  /** Files of components as they are, by folder and name. */
  readonly files: Map<string, ReturnType<Library["file"]>>;
}

function readPackage(root: string): Package {
  const problems = new Problems();
  const texts = new Map<string, string>();
  const entries = readLibrary(
    root,
    root,
    (file, text, into) => {
      texts.set(file, text);
      return frozen(loadYaml(file, text, into));
    },
    problems,
  );
  assert.equal(problems.list, []);
  return { root, entries, texts, sites: new Map(), files: new Map() };
}

/** Nobody may change what all tries share. */
function frozen<T>(value: T): T {
  if (value === null || typeof value !== "object") return value;
  for (const one of Object.values(value)) frozen(one);
  return Object.freeze(value);
}

/** The problems of a try, until the one that is looked for: what comes after it is not worth looking for. */
class ProblemsUntil extends Problems {
  static readonly #found = Symbol("the slip was reported");
  readonly #slip: Slip | null;

  constructor(slip: Slip | null) {
    super();
    this.#slip = slip;
  }

  override add(problem: Problem): void {
    super.add(problem);
    if (this.#slip !== null && isFound(problem, this.#slip)) throw ProblemsUntil.#found;
  }

  /** Runs something that adds to these problems. */
  gather(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      if (thrown !== ProblemsUntil.#found) throw thrown;
    }
  }
}

/** All problems of a package with one file changed; ends with the one that names the slip. */
function compileWith(
  from: Package,
  site: string,
  changed: ReadonlyMap<string, string>,
  slip: Slip | null,
): Problems {
  const problems = new ProblemsUntil(slip);
  problems.gather(() => compileInto(problems, from, site, changed));
  return problems;
}

function compileInto(
  problems: Problems,
  from: Package,
  site: string,
  changed: ReadonlyMap<string, string>,
): void {
  const entries: LibraryEntry[] = [];
  const broken = new Set<string>();
  for (const entry of from.entries) {
    const text = changed.get(entry.loaded.file);
    if (text === undefined) {
      entries.push({ ...entry, trusted: true });
      continue;
    }
    const loaded = loadYaml(entry.loaded.file, text, problems);
    if (loaded === null) broken.add(`${entry.kind} ${entry.name}`);
    else if (validate(entry.kind, loaded, problems)) entries.push({ ...entry, loaded, trusted: true });
    else broken.add(`${entry.kind} ${entry.name}`);
  }
  let loaded = changed.has(site) ? null : (from.sites.get(site) ?? null);
  if (loaded === null) {
    const text = changed.get(site) ?? readFileSync(join(from.root, site), "utf8");
    loaded = loadYaml(site, text, problems);
    if (loaded === null || !validate("site", loaded, problems)) return;
    if (!changed.has(site)) from.sites.set(site, frozen(loaded));
  }
  const made = makeLibrary(entries, broken, null, from.root, from.root, problems, null);
  const library: Library = {
    ...made,
    file: (folder, name) => {
      const path = join(folder, name);
      let file = from.files.get(path);
      if (file === undefined) {
        file = made.file(folder, name);
        from.files.set(path, file);
      }
      const other = file === null ? undefined : changed.get(file.shown);
      return file === null || other === undefined ? file : { ...file, text: other };
    },
  };
  const source = (file: string): string | null => {
    const given = changed.get(file) ?? from.texts.get(file);
    return given ?? readFileSync(join(from.root, file), "utf8");
  };
  const rendering = { problems, source };
  checkReferences(library, loaded, rendering, true);
  const resolved = resolveSite({ doc: loaded.value as unknown as SiteDoc, loaded }, library, rendering);
  if (resolved === null || problems.list.some(({ code }) => code === "cycle")) return;
  const plan = planSite(resolved, library, rendering);
  for (const node of resolved.nodes) plan.plan(node);
}

function isFound(problem: Problem, slip: Slip): boolean {
  if (problem.notice === true) return false;
  if (slip.at === null) return true;
  return [problem.at, ...(problem.also ?? []).map(({ at }) => at)].some(
    (at) => at?.file === slip.file && at.line === slip.at?.line && at.column === slip.at.column,
  );
}

/** Every word that some name, condition, parameter or option setting of the package uses. */
function usedWords(texts: Iterable<string>): Set<string> {
  const words = new Set<string>();
  for (const text of texts) {
    for (const [, name = ""] of text.matchAll(/\{\{[#^]?([^}]+)\}\}/g))
      for (const word of name.split(".")) words.add(word);
    for (const [name] of text.matchAll(/\b(options|names|needs|secrets|params)\.[\w.]+/g))
      for (const word of name.split(".")) words.add(word);
    for (const [, names = ""] of text.matchAll(/\bwith: \{([^}]*)\}/g))
      for (const [, name = ""] of names.matchAll(/(\w+):/g)) words.add(name);
    for (const [, name = ""] of text.matchAll(/\b(?:of|key): (\w+)/g)) words.add(name);
  }
  return words;
}

function runPackage(root: string, sites: readonly string[]): { count: number; missed: string[] } {
  const from = readPackage(root);
  const templates = readdirSync(join(root, "templates", "components"), { recursive: true, encoding: "utf8" })
    .map((file) => `templates/components/${file.split("\\").join("/")}`)
    .filter((file) => file.endsWith(".mustache"));
  const all = new Map(from.texts);
  for (const file of [...sites, ...templates]) all.set(file, readFileSync(join(root, file), "utf8"));
  const words = usedWords(all.values());
  for (const site of sites) {
    const quiet = compileWith(from, site, new Map(from.texts), null).list.filter(
      ({ notice }) => notice !== true,
    );
    assert.equal(quiet, [], `${site} has problems as it is`);
  }
  const slips: [site: string, slip: Slip][] = [];
  const first = sites[0] as string;
  for (const { kind, loaded } of from.entries)
    for (const slip of slipsOfDocument(kind, loaded.file, from.texts.get(loaded.file) ?? "", false))
      slips.push([first, slip]);
  for (const file of templates)
    for (const slip of slipsOfTags(file, all.get(file) ?? "", null)) slips.push([first, slip]);
  for (const site of sites)
    for (const slip of slipsOfDocument("site", site, all.get(site) ?? "", true)) slips.push([site, slip]);
  const missed: string[] = [];
  for (const [site, slip] of slips) {
    if (slip.word !== undefined && !words.has(slip.word)) continue;
    const problems = compileWith(from, site, new Map([[slip.file, slip.text]]), slip);
    if (problems.list.some((problem) => isFound(problem, slip))) continue;
    const found = problems.list.map(({ code, at }) => `${code} ${at?.file}:${at?.line}:${at?.column}`);
    const where = slip.at === null ? "" : `:${slip.at.line}:${slip.at.column}`;
    missed.push(`${slip.file}${where} ${slip.what}: ${found.slice(0, 3).join(", ") || "nothing reported"}`);
  }
  return { count: slips.length, missed };
}

suite("misspelt by one letter", (test) => {
  test("every key and reference of the library and the example", () => {
    const { count, missed } = runPackage(repository, ["sites/example/site.yaml"]);
    assert.is(missed.join("\n"), "");
    assert.ok(count > 500, `only ${count} were tried`);
  });
  test("every key and reference of the fixtures", () => {
    const { count, missed } = runPackage(
      join(repository, "tests", "fixtures", "library"),
      ["two", "one", "split", "three"].map((site) => `sites/${site}/site.yaml`),
    );
    assert.is(missed.join("\n"), "");
    assert.ok(count > 500, `only ${count} were tried`);
  });
});

/**
 * Strict mustache. mustache parses; what renders is ours, because an unknown name must be a problem at its line
 * and column, and secrets must stay holes.
 */
import mustache from "mustache";
import type { Position } from "../core/position.ts";
import type { Problem, Problems } from "../core/problem.ts";
import { suggest } from "../core/suggest.ts";
import {
  type Encoder,
  encoded,
  type Filled,
  type Part,
  parts,
  Text,
  text,
  type Value,
} from "../core/text.ts";
import { firstTextLine, type Loaded, type Path, positionOf } from "../load/marks.ts";

/** A name that exists but has no value here, and why. */
export class Unavailable {
  /** Null when it was reported already where it belongs. */
  readonly problem: Pick<Problem, "code" | "message" | "hint"> | null;
  constructor(problem: Pick<Problem, "code" | "message" | "hint"> | null) {
    this.problem = problem;
  }
}

/** A value whose shape only a site tells: anything may be named in it. For checks without a site. */
export class Anything {
  readonly anything = true;
}

/** What a template may name. Values may be getters, so that only what is named is computed. */
export type Scope = { readonly [name: string]: Value | Unavailable | undefined };

/** Where a template stands: a scalar of a document, or a file of its own. */
export type Place =
  | { readonly doc: Loaded; readonly path: Path }
  | { readonly file: string; readonly text: string };

/** What rendering needs from its surroundings. */
export interface Rendering {
  readonly problems: Problems;
  /** The text of a file as it was read, to find the column of a tag. */
  readonly source: (file: string) => string | null;
  /** Told of every name that was looked up, by its first two steps (`needs.time`). */
  readonly used?: (name: string) => void;
  /** Told of every name that was found, the scope of the stack that has it, and its value. */
  readonly looked?: (name: string, holder: Scope, value: Value) => void;
}

type Token = [type: string, value: string, start: number, end: number, children?: Token[], close?: number];

const parsed = new Map<string, Token[] | { message: string }>();

/** A tag that only names a value; tags of all other kinds, and what is no tag, are mustache's. */
const plainTag = /(?<!\{)\{\{\s*([\w.-]+)\s*\}\}/g;

/**
 * What mustache's parser makes of a template in which every tag only names a value; null for any other. Most
 * templates are so, and mustache takes text apart character by character.
 */
export function plainTokens(template: string): Token[] | null {
  const tokens: Token[] = [];
  let at = 0;
  for (const found of template.matchAll(plainTag)) {
    const between = template.slice(at, found.index);
    if (between.includes("{{")) return null;
    if (between !== "") tokens.push(["text", between, at, found.index]);
    at = found.index + found[0].length;
    tokens.push(["name", found[1] ?? "", found.index, at]);
  }
  const rest = template.slice(at);
  if (rest.includes("{{")) return null;
  if (rest !== "") tokens.push(["text", rest, at, template.length]);
  return tokens;
}

function parse(template: string): Token[] | { message: string } {
  let tokens = parsed.get(template);
  if (tokens === undefined) {
    try {
      tokens = plainTokens(template) ?? (mustache.parse(template) as Token[]);
    } catch (error) {
      tokens = { message: (error as Error).message };
    }
    if (parsed.size > 5000) parsed.clear();
    parsed.set(template, tokens);
  }
  return tokens;
}

/** The position of an offset of a template in the file where the template stands. */
function locate(place: Place, template: string, start: number, end: number, rendering: Rendering): Position {
  const before = template.slice(0, start);
  const line = before.split("\n").length;
  if ("file" in place) {
    return {
      file: place.file,
      line,
      column: start - before.lastIndexOf("\n"),
      length: Math.max(1, end - start),
    };
  }
  // In a YAML scalar the offset tells little (quotes, indentation, folding): look for the same tag, counted.
  const scalar = positionOf(place.doc, place.path);
  const source = rendering.source(scalar.file);
  const tag = template.slice(start, end).split("\n")[0] ?? "";
  if (source === null || tag === "") return scalar;
  let nth = before.split(tag).length;
  let offset = 0;
  for (let skip = 1; skip < scalar.line; skip++) offset = source.indexOf("\n", offset) + 1;
  offset += scalar.column - 1;
  for (; nth > 0; nth--) {
    offset = source.indexOf(tag, offset);
    if (offset < 0) return scalar;
    offset += tag.length;
  }
  const upTo = source.slice(0, offset - tag.length);
  return {
    file: scalar.file,
    line: upTo.split("\n").length,
    column: upTo.length - upTo.lastIndexOf("\n"),
    length: tag.length,
  };
}

/** A rendered template. */
export interface Rendered {
  readonly value: Filled;
  /** For each line of the output, the line of the template that it came from, counted from 1. */
  readonly lines: readonly number[];
}

const encoderNames: ReadonlySet<string> = new Set(["url", "sql", "sh", "json"]);

/**
 * Renders a template.
 * @param substituted an encoder for every substituted value (not for what the author wrote), such as `oslo`
 */
export function render(
  template: string,
  scope: Scope,
  place: Place,
  rendering: Rendering,
  substituted?: Encoder,
): Rendered {
  if (!template.includes("{{")) return { value: template, lines: lineNumbers(template) };
  const tokens = parse(template);
  if (!Array.isArray(tokens)) {
    reportSyntax(template, tokens.message, place, rendering);
    return { value: "", lines: [] };
  }
  const out: Part[] = [];
  const lines: number[] = [];
  let fresh = true;
  const lineAt = lineIndex(template);
  const emit = (part: Part, offset: number, literal: boolean): void => {
    if (part === "") return;
    out.push(part);
    if (typeof part !== "string") {
      if (fresh) lines.push(lineAt(offset));
      fresh = false;
      return;
    }
    const base = lineAt(offset);
    let row = 0;
    let from = 0;
    for (;;) {
      if (from >= part.length) break;
      if (fresh) lines.push(literal ? base + row : base);
      const end = part.indexOf("\n", from);
      fresh = end >= 0;
      if (end < 0) break;
      row += 1;
      from = end + 1;
    }
  };
  const fail = (token: Token, problem: Pick<Problem, "code" | "message" | "hint"> | null): void => {
    if (problem === null) rendering.problems.addFollowing();
    else rendering.problems.add({ ...problem, at: locate(place, template, token[2], token[3], rendering) });
  };
  const find = (token: Token, stack: readonly Scope[]): Value | undefined => {
    const found = lookup(token[1], stack, rendering);
    if (found.ok) return found.value;
    fail(token, found.problem);
    return undefined;
  };
  const walk = (
    list: readonly Token[],
    stack: readonly Scope[],
    sink: typeof emit,
    writer: Encoder | undefined,
  ): void => {
    for (const token of list) {
      const [type, name, start] = token;
      if (type === "text") sink(name, start, true);
      else if (type === "name" || type === "&") {
        const value = find(token, stack);
        if (value === undefined) continue;
        const filled = asText(value);
        if (filled === null) {
          fail(token, {
            code: "template-value",
            message: `"${name}" is ${value === null ? "empty" : Array.isArray(value) ? "a list" : "a map"} and cannot stand in a text`,
            hint: Array.isArray(value) ? `write {{#${name}}}...{{/${name}}}` : "name one of its keys",
          });
          continue;
        }
        for (const part of parts(writer === undefined ? filled : encoded(writer, filled)))
          sink(part, start, false);
      } else if (type === "#") {
        const children = token[4] ?? [];
        if (encoderNames.has(name)) {
          const inner: Part[] = [];
          // The writer's encoding goes around the whole, once.
          walk(children, stack, (part) => inner.push(part), undefined);
          const whole = encoded(name as Encoder, text(inner));
          for (const part of parts(writer === undefined ? whole : encoded(writer, whole)))
            sink(part, start, false);
          continue;
        }
        const value = find(token, stack);
        if (value === undefined || value === false || value === null || value === "" || value === 0) continue;
        if (Array.isArray(value))
          for (const item of value) walk(children, [asScope(item), ...stack], sink, writer);
        else if (value instanceof Text || typeof value !== "object")
          walk(children, value === true ? stack : [asScope(value), ...stack], sink, writer);
        else walk(children, [value as Scope, ...stack], sink, writer);
      } else if (type === "^") {
        const value = find(token, stack);
        if (value === undefined) continue;
        if (
          value === false ||
          value === null ||
          value === "" ||
          value === 0 ||
          (Array.isArray(value) && value.length === 0)
        ) {
          walk(token[4] ?? [], stack, sink, writer);
        }
      } else if (type !== "!") {
        fail(token, {
          code: "template-syntax",
          message: type === ">" ? "partials are not supported" : "changing the delimiters is not supported",
          hint: "write the text out",
        });
      }
    }
  };
  walk(tokens, [scope], emit, substituted);
  return { value: text(out), lines };
}

/** mustache's own message, with the place of the tag that it stumbled over, and of the one that it had in mind. */
function reportSyntax(template: string, message: string, place: Place, rendering: Rendering): void {
  const offset = Number(/ at (\d+)$/.exec(message)?.[1] ?? 0);
  const tagAt = (start: number): Position => {
    const close = template.indexOf("}}", start);
    return locate(place, template, start, close < 0 ? template.length : close + 2, rendering);
  };
  const section = /^Unclosed section "(.*)" at/.exec(message)?.[1];
  let opening = -1;
  if (section !== undefined) {
    for (const found of template.slice(0, offset).matchAll(/\{\{\s*[#^]\s*([^}]*?)\s*\}\}/g))
      if (found[1] === section) opening = found.index;
  }
  const closing = template.startsWith("{{", offset);
  const at = tagAt(closing || opening < 0 ? offset : opening);
  rendering.problems.add({
    code: "template-syntax",
    at,
    message: `the template is not valid mustache: ${message.replace(/ at \d+$/, "").replace(/^./, (c) => c.toLowerCase())}`,
    hint: "every {{#name}} needs its {{/name}}",
    ...(closing && opening >= 0 ? { also: [{ at: tagAt(opening), label: "opened here" }] } : {}),
  });
}

/**
 * Checks every name of a template, also in sections that do not hold. A list in the scope stands for its only item.
 */
export function checkTemplate(template: string, scope: Scope, place: Place, rendering: Rendering): void {
  if (!template.includes("{{")) return;
  const tokens = parse(template);
  if (!Array.isArray(tokens)) {
    reportSyntax(template, tokens.message, place, rendering);
    return;
  }
  const walk = (list: readonly Token[], stack: readonly Scope[]): void => {
    for (const [type, name, start, end, children] of list) {
      if (type === "text" || type === "!") continue;
      let inner = stack;
      if (type !== "#" || !encoderNames.has(name)) {
        const found = type === ">" || type === "=" ? null : lookup(name, stack, rendering);
        if (found === null || (!found.ok && found.problem === null)) continue;
        if (!found.ok) {
          rendering.problems.add({
            ...(found.problem as Problem),
            at: locate(place, template, start, end, rendering),
          });
          continue;
        }
        const value: Value | undefined = Array.isArray(found.value) ? (found.value[0] as Value) : found.value;
        if (type === "#" && value !== undefined) inner = [asScope(value), ...stack];
      }
      if (children !== undefined) walk(children, inner);
    }
  };
  walk(tokens, [scope]);
}

const itself = "\u0000itself";

function asScope(item: Value): Scope {
  if (item !== null && typeof item === "object" && !Array.isArray(item) && !(item instanceof Text)) {
    return item as Scope;
  }
  return { [itself]: item };
}

function asText(value: Value): Filled | null {
  if (value instanceof Text || typeof value === "string") return value;
  return typeof value === "number" || typeof value === "boolean" ? String(value) : null;
}

type Lookup =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly problem: Pick<Problem, "code" | "message" | "hint"> | null };

/**
 * Looks a dotted name up: its first step in the innermost scope that has it, the others below it.
 * Nothing is ever silently empty.
 */
export function lookup(
  name: string,
  stack: readonly Scope[],
  rendering: Pick<Rendering, "used" | "looked">,
): Lookup {
  if (name === ".") {
    const top = stack[0] ?? {};
    const value = (Object.hasOwn(top, itself) ? top[itself] : top) as Value;
    rendering.looked?.(name, top, value);
    return { ok: true, value };
  }
  const { steps, head } = stepsOf(name);
  const first = steps[0] ?? "";
  const holder = holderOf(first, stack);
  if (holder === undefined) {
    return { ok: false, problem: unknown(name, first, [...new Set(stack.flatMap(Object.keys))]) };
  }
  rendering.used?.(head);
  if (holder instanceof Anything) return { ok: true, value: holder as unknown as Value };
  let value = holder[first] as Value | Unavailable | undefined;
  for (let at = 1; at < steps.length; at++) {
    const step = steps[at] ?? "";
    if (value instanceof Unavailable) break;
    if ((value as unknown) instanceof Anything) return { ok: true, value: value as Value };
    const map = value;
    if (
      map === null ||
      typeof map !== "object" ||
      Array.isArray(map) ||
      map instanceof Text ||
      !Object.hasOwn(map, step)
    ) {
      const keys =
        map !== null && typeof map === "object" && !Array.isArray(map) && !(map instanceof Text)
          ? Object.keys(map as object)
          : [];
      return { ok: false, problem: unknown(name, step, keys, steps.slice(0, at).join(".")) };
    }
    value = (map as Scope)[step] as Value | Unavailable | undefined;
  }
  if (value instanceof Unavailable) return { ok: false, problem: value.problem };
  if (value === undefined) return { ok: false, problem: unknown(name, steps.at(-1) ?? "", [], name) };
  rendering.looked?.(name, holder, value);
  return { ok: true, value };
}

interface Steps {
  readonly steps: readonly string[];
  /** The first two, as `used` is told. */
  readonly head: string;
}

/** The steps of every name that was looked up: the same few are, for each of thousands of nodes. */
const knownSteps = new Map<string, Steps>();

function stepsOf(name: string): Steps {
  let found = knownSteps.get(name);
  if (found === undefined) {
    const steps = name.split(".");
    found = { steps, head: steps.slice(0, 2).join(".") };
    knownSteps.set(name, found);
  }
  return found;
}

/** The innermost scope that has a name. */
function holderOf(first: string, stack: readonly Scope[]): Scope | undefined {
  for (const frame of stack) if (frame instanceof Anything || Object.hasOwn(frame, first)) return frame;
  return undefined;
}

function unknown(
  name: string,
  step: string,
  keys: readonly string[],
  below?: string,
): Pick<Problem, "code" | "message" | "hint"> {
  const hint = suggest(
    step,
    keys.filter((key) => key !== itself),
  );
  return {
    code: "unknown-name",
    message:
      below === undefined
        ? `nothing here is named "${name}"`
        : `"${name}" does not exist: "${below}" has no "${step}"`,
    ...(hint === undefined ? {} : { hint }),
  };
}

/**
 * Evaluates a value as a person wrote it: every string in it is a template. A string that is one single tag
 * keeps the type of what it names.
 */
export function evaluate(
  value: unknown,
  scope: Scope,
  doc: Loaded,
  path: Path,
  rendering: Rendering,
  substituted?: Encoder,
): Value {
  if (typeof value === "string") {
    if (!value.includes("{{")) return value;
    const single = /^\{\{\s*([\w.-]+)\s*\}\}$/.exec(value);
    if (single !== null && substituted === undefined) {
      const found = lookup(single[1] ?? "", [scope], rendering);
      if (found.ok) return found.value;
    }
    return render(value, scope, { doc, path }, rendering, substituted).value;
  }
  if (Array.isArray(value)) {
    return value.map((item, index) => evaluate(item, scope, doc, [...path, index], rendering, substituted));
  }
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        key,
        evaluate(item, scope, doc, [...path, key], rendering, substituted),
      ]),
    );
  }
  return value as Value;
}

/** Renders a scalar to text; a number or a boolean is written as YAML would. */
export function evaluateText(
  value: unknown,
  scope: Scope,
  doc: Loaded,
  path: Path,
  rendering: Rendering,
): Filled {
  if (typeof value !== "string") return String(value);
  return value.includes("{{") ? render(value, scope, { doc, path }, rendering).value : value;
}

/**
 * Whether a `when` holds: every name must exist, and equal its literal or one of its literals.
 */
export function holds(
  when: { readonly [name: string]: unknown } | undefined,
  scope: Scope,
  doc: Loaded,
  path: Path,
  rendering: Rendering,
): boolean {
  if (when === undefined) return true;
  let all = true;
  for (const [name, wanted] of Object.entries(when)) {
    const found = lookup(name, [scope], rendering);
    if (!found.ok) {
      if (found.problem === null) rendering.problems.addFollowing();
      else rendering.problems.add({ ...found.problem, at: positionOf(doc, [...path, "when", name], "key") });
      all = false;
      continue;
    }
    const options = Array.isArray(wanted) ? wanted : [wanted];
    if (!options.includes(found.value)) all = false;
  }
  return all;
}

/** The lines of the file that the lines of a rendered scalar came from. */
export function sourceLines(place: Place, rendered: Rendered): readonly number[] {
  if ("file" in place) return rendered.lines;
  const first = firstTextLine(place.doc, place.path);
  return rendered.lines.map((line) => first + line - 1);
}

/** The numbers of a text's lines, for what is taken as it stands. */
export function lineNumbers(content: string): number[] {
  const count = content.split("\n").length - (content.endsWith("\n") || content === "" ? 1 : 0);
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** A function from offset to line, for offsets that mostly grow. */
function lineIndex(template: string): (offset: number) => number {
  let at = 0;
  let line = 1;
  return (offset) => {
    if (offset < at) {
      at = 0;
      line = 1;
    }
    for (; at < offset; at++) if (template.charCodeAt(at) === 10) line += 1;
    return line;
  };
}

/**
 * What a read YAML file is, and where in it everything stands. Apart from the reader, as what is built in comes
 * read already and the reader is large.
 */
import type { Position } from "../core/position.ts";

/** Line, column, length and whether the scalar is a block scalar (`|`, `>`). */
export type Mark = readonly [line: number, column: number, length: number, block?: 1];

/** Positions, parallel to a value: of its key, of itself, of its children. Plain JSON, so it can be compiled. */
export interface Marks {
  readonly k?: Mark;
  readonly v: Mark;
  readonly c?: { readonly [key: string]: Marks } | readonly Marks[];
}

/** Plain data as YAML gives it. */
export type Data = string | number | boolean | null | readonly Data[] | { readonly [key: string]: Data };

/** One file: its value and where everything in it stands. */
export interface Loaded {
  readonly file: string;
  readonly value: Data;
  readonly marks: Marks;
}

export type Path = readonly (string | number)[];

/**
 * Where a path of a document stands: the deepest part of it that exists.
 * @param part `key` points at the key of the last step, `value` at its value.
 */
export function positionOf(doc: Loaded, path: Path, part: "key" | "value" = "value"): Position {
  let marks = doc.marks;
  for (const step of path) {
    const next = (marks.c as Record<string | number, Marks> | undefined)?.[step];
    if (next === undefined || (typeof step === "string" && !Object.hasOwn(marks.c ?? {}, step))) break;
    marks = next;
  }
  const mark = part === "key" && marks.k !== undefined ? marks.k : marks.v;
  return { file: doc.file, line: mark[0], column: mark[1], length: mark[2] };
}

/** The line on which the text of a scalar begins: the line below the `|` of a block scalar. */
export function firstTextLine(doc: Loaded, path: Path): number {
  let marks = doc.marks;
  for (const step of path) {
    const next = (marks.c as Record<string | number, Marks> | undefined)?.[step];
    if (next === undefined) break;
    marks = next;
  }
  return marks.v[0] + (marks.v[3] === 1 ? 1 : 0);
}

/** A part of a document as a document of its own, with its places; an absent part is null. */
export function subtree(doc: Loaded, path: Path): Loaded {
  let { marks, value } = doc;
  for (const step of path) {
    marks = (marks.c as Record<string | number, Marks> | undefined)?.[step] ?? { v: marks.v };
    value = (value as Record<string | number, Data> | null)?.[step] ?? null;
  }
  return { file: doc.file, value, marks };
}

/** A document laid over another of the same file: maps are merged, all else is the upper one's, each with its place. */
export function graft(lower: Loaded, upper: Loaded): Loaded {
  const isMap = (value: Data): value is { readonly [key: string]: Data } =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isMap(lower.value) || !isMap(upper.value)) return upper;
  const value: Record<string, Data> = { ...lower.value };
  const marks: Record<string, Marks> = { ...(lower.marks.c as Record<string, Marks>) };
  for (const key of Object.keys(upper.value)) {
    const over = subtree(upper, [key]);
    const found = Object.hasOwn(value, key) ? graft(subtree(lower, [key]), over) : over;
    value[key] = found.value;
    marks[key] = found.marks;
  }
  return { file: lower.file, value, marks: { ...lower.marks, c: marks } };
}

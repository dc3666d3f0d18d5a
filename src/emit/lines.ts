import type { Position } from "../core/position.ts";
import { toYaml } from "./yaml.ts";

/** So many output lines in a row, from one line of a file (step 0) or from lines that follow each other (step 1). */
export interface Run {
  count: number;
  readonly file: string;
  readonly line: number;
  step: 0 | 1;
}

/** Where the lines of a text came from. A text has many lines, and most of them follow the one before. */
export class LineOrigins {
  readonly runs: Run[] = [];

  /** Adds one line. */
  add(file: string, line: number): void {
    const last = this.runs.at(-1);
    if (last !== undefined && last.file === file) {
      if (last.count === 1 && (line === last.line || line === last.line + 1)) {
        last.count = 2;
        last.step = line === last.line ? 0 : 1;
        return;
      }
      if (last.count > 1 && line === last.line + last.count * last.step) {
        last.count += 1;
        return;
      }
    }
    this.runs.push({ count: 1, file, line, step: 0 });
  }

  /** Adds the lines of a run: the same runs come out as from its lines one by one. */
  addRun({ count, file, line, step }: Run): void {
    for (let index = 0; index < count; index++) {
      this.add(file, line + index * step);
      const last = this.runs.at(-1) as Run;
      // The line did not begin a run, and goes on as this one does: so do all that are left.
      if (last.count > 1 && last.step === step) {
        last.count += count - index - 1;
        return;
      }
    }
  }
}

/** Runs of a list of places, one a line. */
export function runsOf(positions: readonly Position[]): readonly Run[] {
  const origins = new LineOrigins();
  for (const { file, line } of positions) origins.add(file, line);
  return origins.runs;
}

/** How many lines a text has that ends with a line break. */
export function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

/** Text under construction in which every line knows the source line it came from. */
export class Lines {
  #text = "";
  readonly #origins = new LineOrigins();

  /** Adds whole lines of one origin; the text ends with a line break. */
  add(text: string, { file, line }: Position): this {
    this.#text += text;
    this.#origins.addRun({ count: countLines(text), file, line, step: 0 });
    return this;
  }

  /** Adds whole lines whose origins are known already. */
  addAll(text: string, origins: readonly Run[]): this {
    this.#text += text;
    for (const run of origins) this.#origins.addRun(run);
    return this;
  }

  get text(): string {
    return this.#text;
  }

  get origins(): readonly Run[] {
    return this.#origins.runs;
  }
}

/** A YAML file under construction: its text, and beside it the value that the text is to mean. */
export class YamlFile {
  readonly lines: Lines = new Lines();
  readonly #meant: Record<string, unknown> = {};

  /** Adds a comment line. */
  comment(text: string, from: Position): this {
    this.lines.add(`#${text}\n`, from);
    return this;
  }

  /** Adds keys with their values. */
  put(value: { readonly [key: string]: unknown }, from: Position): this {
    this.lines.add(toYaml(value), from);
    mean(this.#meant, value);
    return this;
  }

  /**
   * Adds a key with a list below it.
   * @returns adds items: their text of whole lines, their values and their origins
   */
  list(
    key: string,
    from: Position,
  ): (text: string, values: readonly unknown[], origins: readonly Run[]) => void {
    const items: unknown[] = [];
    this.lines.add(`${key}:\n`, from);
    mean(this.#meant, { [key]: items });
    return (text, values, origins) => {
      this.lines.addAll(text, origins);
      items.push(...values);
    };
  }

  /**
   * Adds a key with a map below it.
   * @returns adds keys: their text of whole lines, indented, and their values
   */
  map(
    key: string,
    from: Position,
  ): (text: string, value: { readonly [key: string]: unknown }, from: Position) => void {
    const items: Record<string, unknown> = {};
    this.lines.add(`${key}:\n`, from);
    mean(this.#meant, { [key]: items });
    return (text, value, at) => {
      this.lines.add(text, at);
      mean(items, value);
    };
  }

  get meant(): unknown {
    return this.#meant;
  }
}

/** Adds keys to what a map means. */
function mean(map: Record<string, unknown>, more: { readonly [key: string]: unknown }): void {
  for (const [key, value] of Object.entries(more)) {
    if (Object.hasOwn(map, key)) throw new Error(`the key ${key} is written twice`);
    // defineProperty, so that a key named __proto__ is data like any other
    Object.defineProperty(map, key, { value, enumerable: true });
  }
}

/** One rendered file. */
export interface Artifact {
  /** Its name in the node's folder. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** For texts: the origins of its lines. */
  readonly origins: readonly Run[];
  /** For YAML: the value that was written, which reading the bytes must give again. */
  readonly meant?: unknown;
}

/** Gives a file of a node the memory for so many bytes, which need not be zero. */
export type Memory = (name: string, size: number) => Uint8Array;

/** New memory for each file. */
export const newMemory: Memory = (_name, size) => new Uint8Array(size);

/**
 * The same memory for each node's file of one name: for nodes that are written one by one, whose bytes are worth nothing
 * once they are on the disk. Of thousands of nodes new memory would be hundreds of megabytes until somebody looks.
 */
export function memoryOfOneNode(): Memory {
  const known = new Map<string, Uint8Array>();
  return (name, size) => {
    let memory = known.get(name);
    if (memory === undefined || memory.length < size) {
      memory = new Uint8Array(2 * size);
      known.set(name, memory);
    }
    return memory.subarray(0, size);
  };
}

const encoder = new TextEncoder();

/** A text artifact from its lines. */
export function artifact(name: string, { text, origins }: Lines, memory = newMemory): Artifact {
  const bytes = memory(name, Buffer.byteLength(text));
  encoder.encodeInto(text, bytes);
  return { name, bytes, origins };
}

/** A YAML artifact. */
export function yamlArtifact(name: string, { lines, meant }: YamlFile, memory = newMemory): Artifact {
  return { ...artifact(name, lines, memory), meant };
}

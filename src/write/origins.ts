/** origins.json: which source line each output line came from. Holds no secret, only places. */
import type { Run as LineRun } from "../emit/lines.ts";

/** [how many output lines, source index, source line, 1 when the source line grows with the output line]. */
export type Run = readonly [count: number, source: number, line: number, step: 0 | 1];

interface OriginsFile {
  readonly format: 1;
  readonly sources: readonly string[];
  /** Lists of runs; nodes of one kind share them. */
  readonly runs: readonly (readonly Run[])[];
  readonly files: { readonly [file: string]: number };
}

/** Gathers the origins of many files; equal lists of runs are kept once. */
export class Origins {
  readonly #sources = new Map<string, number>();
  readonly #runs = new Map<string, number>();
  readonly #list: Run[][] = [];
  readonly files = new Map<string, number>();

  #source(file: string): number {
    let index = this.#sources.get(file);
    if (index === undefined) {
      index = this.#sources.size;
      this.#sources.set(file, index);
    }
    return index;
  }

  add(name: string, lines: readonly LineRun[]): void {
    this.put(
      name,
      lines.map(({ count, file, line, step }): Run => [count, this.#source(file), line, step]),
    );
  }

  put(name: string, runs: Run[]): void {
    const key = JSON.stringify(runs);
    let index = this.#runs.get(key);
    if (index === undefined) {
      index = this.#list.length;
      this.#list.push(runs);
      this.#runs.set(key, index);
    }
    this.files.set(name, index);
  }

  /** Takes files over from another origins.json. */
  merge(other: OriginsFile, take: (file: string) => boolean): void {
    const map = other.sources.map((source) => this.#source(source));
    const runs = other.runs.map((list) =>
      list.map(([count, source, line, step]): Run => [count, map[source] ?? 0, line, step]),
    );
    for (const [file, index] of Object.entries(other.files)) {
      if (take(file)) this.put(file, [...(runs[index] ?? [])]);
    }
  }

  toFile(): OriginsFile {
    return {
      format: 1,
      sources: [...this.#sources.keys()],
      runs: this.#list,
      files: Object.fromEntries([...this.files].sort(([a], [b]) => (a < b ? -1 : 1))),
    };
  }

  /** The file's text: one list of runs a line, in an order that does not depend on how nodes were split up. */
  toText(): string {
    const { sources, runs, files } = this.toFile();
    const sourceOrder = sources
      .map((_, index) => index)
      .sort((a, b) => ((sources[a] ?? "") < (sources[b] ?? "") ? -1 : 1));
    const newSource = new Map(sourceOrder.map((old, index) => [old, index]));
    const order: number[] = [];
    const newRuns = new Map<number, number>();
    const renumbered = Object.entries(files).map(([file, index]) => {
      let to = newRuns.get(index);
      if (to === undefined) {
        to = order.length;
        order.push(index);
        newRuns.set(index, to);
      }
      return [file, to] as const;
    });
    const used = order.map((index) =>
      (runs[index] ?? []).map(([count, source, line, step]) => [
        count,
        newSource.get(source) ?? 0,
        line,
        step,
      ]),
    );
    return `{\n"format": 1,\n"sources": ${JSON.stringify(sourceOrder.map((index) => sources[index]))},\n"runs": [\n${used.map((list) => JSON.stringify(list)).join(",\n")}\n],\n"files": {\n${renumbered.map(([file, index]) => `${JSON.stringify(file)}: ${index}`).join(",\n")}\n}\n}\n`;
  }
}

/** The source line of an output line (from 1), or null. */
export function originOfLine(
  origins: OriginsFile,
  file: string,
  line: number,
): { file: string; line: number } | null {
  const index = origins.files[file];
  let at = 1;
  for (const [count, source, start, step] of index === undefined ? [] : (origins.runs[index] ?? [])) {
    if (line < at + count) return { file: origins.sources[source] ?? "", line: start + (line - at) * step };
    at += count;
  }
  return null;
}

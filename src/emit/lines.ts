import type { Position } from "../core/position.ts";

/** Text under construction in which every line knows the source line it came from. */
export class Lines {
  #text = "";
  readonly #origins: Position[] = [];

  /**
   * Adds whole lines.
   * @param text ends with a line break
   * @param from one origin for all lines, or one a line
   */
  add(text: string, from: Position | readonly Position[]): this {
    this.#text += text;
    const many = Array.isArray(from) ? (from as readonly Position[]) : null;
    let row = 0;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) {
      this.#origins.push(
        many === null
          ? (from as Position)
          : (many[row] ?? many[many.length - 1] ?? { file: "", line: 0, column: 0 }),
      );
      row += 1;
    }
    return this;
  }

  get text(): string {
    return this.#text;
  }

  get origins(): readonly Position[] {
    return this.#origins;
  }
}

/** One rendered file. */
export interface Artifact {
  /** Its name in the node's folder. */
  readonly name: string;
  readonly bytes: Uint8Array;
  /** For texts: the origin of each line. */
  readonly origins: readonly Position[];
}

const encoder = new TextEncoder();

/** A text artifact from its lines. */
export function artifact(name: string, lines: Lines): Artifact {
  return { name, bytes: encoder.encode(lines.text), origins: lines.origins };
}

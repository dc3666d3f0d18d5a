/** A place in a file that a person wrote. Lines and columns count from 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** How many characters are meant, for the underline of an excerpt; 1 where unknown. */
  readonly length?: number;
}

/** `file:line`, the short form that logs and guests carry. */
export function shortPosition(at: Position): string {
  return `${at.file}:${at.line}`;
}

/** `file:line:column`. */
export function longPosition(at: Position): string {
  return `${at.file}:${at.line}:${at.column}`;
}

/** Whether two places are the same line and column. */
export function isSamePosition(a: Position, b: Position): boolean {
  return a === b || (a.line === b.line && a.column === b.column && a.file === b.file);
}

/** What a machine printed on its console. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** A terminal's text without what moves its cursor and colours it. */
export function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\r/g, "");
}

/** Login prompts, and nspawn on its own leftovers where /run is not memory. */
const noise = /^\S+ login:$| pts\/\d+$|^Attempted to remove disk file system under /;

/**
 * The last lines of a console log that say something.
 * @returns none when there is no such file
 */
export function consoleTail(path: string, lines: number): string[] {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return [];
  }
  try {
    // A log of many boots is long, its end is not.
    const size = fstatSync(file).size;
    const from = Math.max(0, size - 64 * 1024);
    const buffer = Buffer.alloc(size - from);
    const text = plain(buffer.subarray(0, readSync(file, buffer, 0, buffer.length, from)).toString("utf8"));
    return text
      .split("\n")
      .map((line) => line.trimEnd())
      .filter((line) => line !== "" && !noise.test(line))
      .slice(-lines);
  } finally {
    closeSync(file);
  }
}

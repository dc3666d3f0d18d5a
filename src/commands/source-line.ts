/** The text of the line that a failure is blamed on. */
import type { SourceLine } from "../lab/watch/words.ts";
import type { Compiled } from "./compile.ts";

/** Reads lines of a site's sources. */
export function sourceOf(compiled: Compiled): SourceLine {
  return (from) => {
    const [, file, line] = /^(.*):(\d+)$/.exec(from) ?? [];
    if (file === undefined) return null;
    return compiled.source(file)?.split("\n")[Number(line) - 1] ?? null;
  };
}

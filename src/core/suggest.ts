import { closest, distance } from "fastest-levenshtein";

/**
 * A did-you-mean for a misspelt word.
 * @returns `did you mean "x"?`, or the list of what exists when nothing is near; undefined when nothing exists.
 */
export function suggest(word: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined;
  const best = closest(word, known);
  if (distance(word, best) <= Math.max(1, Math.floor(word.length / 3))) return `did you mean "${best}"?`;
  const list = [...known].sort();
  return list.length > 24 ? undefined : `there is: ${list.join(", ")}`;
}

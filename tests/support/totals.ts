/** The totals that runs of tests print, read and added up. */
import { stripVTControlCharacters } from "node:util";

/** How a process that ran tests ended. */
export interface Ended {
  /** Exit code, or the signal that ended it. */
  readonly status: number | string;
  /** What it printed. */
  readonly output: string;
}

export interface Totals {
  readonly total: number;
  readonly passed: number;
  readonly skipped: number;
}

/** The totals at the end of what a run of tests has printed; null when it never came to print them. */
export function totalsOf(output: string): Totals | null {
  const number = (name: string): number | null => {
    const found = [...stripVTControlCharacters(output).matchAll(new RegExp(`^ *${name}: *(\\d+)$`, "gm"))].at(
      -1,
    );
    return found === undefined ? null : Number(found[1]);
  };
  const [total, passed, skipped] = ["Total", "Passed", "Skipped"].map(number);
  return total == null || passed == null || skipped == null ? null : { total, passed, skipped };
}

/**
 * Adds the totals up. A process that ended without totals, or red although every test that it counted passed, is one
 * more test that failed: nothing that went wrong is missing in the sum.
 */
export function sum(ends: readonly Ended[]): Totals {
  let [total, passed, skipped] = [0, 0, 0];
  for (const { output, status } of ends) {
    const found = totalsOf(output);
    total += found?.total ?? 1;
    passed += found?.passed ?? 0;
    skipped += found?.skipped ?? 0;
    if (found !== null && status !== 0 && found.passed >= found.total) total += 1;
  }
  return { total, passed, skipped };
}

/** Sums as uvu prints them, for whoever reads them off the end of a run. */
export function formatTotals({ total, passed, skipped }: Totals, milliseconds: number): string {
  return `\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  ${milliseconds}ms\n`;
}

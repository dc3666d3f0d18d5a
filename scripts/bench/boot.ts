/** The first boot of a controller against the install guide's own commands, run as one script. */
import { type Row, skipped } from "./table.ts";

/**
 * Power-on to READY of con01, and the guide's script, each in a container on the same base root, in one run.
 * The lab (src/lab) boots the seed; both must have the same package cache, warm.
 * @returns the ratio of the two times: at most 0.8
 */
export function bootAgainstGuide(): Promise<Row[]> {
  return Promise.resolve([
    skipped(
      "con01 from power-on to READY against the guide's commands",
      "at most 0.8 times",
      "not written yet",
    ),
  ]);
}

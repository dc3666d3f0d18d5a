/** What every verb of `lab` is given. */
import type { Problem } from "../../core/problem.ts";
import type { Choice, Compiled } from "../compile.ts";

/** A command line of `lab` or `test`. */
export interface LabRequest {
  readonly choice: Choice;
  /** The output folder as it was given. */
  readonly out: string;
  readonly format: "text" | "json";
  readonly driver: string | null;
  /** Seconds. */
  readonly timeout: number | null;
  readonly follow: boolean;
  readonly keep: boolean;
  readonly report: string | null;
  readonly svg: string | null;
  readonly positionals: readonly string[];
  /** Prints problems of the input as every command does, and gives the exit code. */
  readonly problems: (compiled: Compiled, problems: readonly Problem[], data: object) => number;
}

/** Does what was asked and prints it; gives the exit code. */
export type Verb = (request: LabRequest) => Promise<number>;

/** Prints a value as the one JSON document of a command. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

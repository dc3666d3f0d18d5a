/** `seedsmith lab VERB` and `seedsmith test`: what all of them share, and where each is. */
import { exit } from "../core/exit.ts";
import type { Problem } from "../core/problem.ts";
import { LabError } from "../lab/command.ts";
import type { Choice, Compiled } from "./compile.ts";

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
  readonly positionals: readonly string[];
  /** Prints problems of the input as every command does, and gives the exit code. */
  readonly problems: (compiled: Compiled, problems: readonly Problem[], data: object) => number;
}

/** Does what was asked and prints it; gives the exit code. */
export type Verb = (request: LabRequest) => Promise<number>;

const verbs: Readonly<Record<string, () => Promise<Verb>>> = {
  "lab status": async () => (await import("./lab/status.ts")).status,
  "lab exec": async () => (await import("./lab/exec.ts")).exec,
  "lab logs": async () => (await import("./lab/logs.ts")).logs,
  "lab down": async () => (await import("./lab/down.ts")).down,
  "lab doctor": async () => (await import("./lab/doctor.ts")).doctor,
};

/**
 * Runs a verb.
 * @param command such as `lab up`
 * @returns the exit code; what the host lacks or refuses is said and is 3
 */
export async function runLab(command: string, request: LabRequest): Promise<number> {
  try {
    const load = verbs[command];
    if (load === undefined) throw new LabError(`${command} is not there yet`);
    return await (await load())(request);
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    if (request.format === "json") printJson({ ok: false, error: error.message, hint: error.hint });
    else {
      process.stderr.write(`error: ${error.message}\n`);
      if (error.hint !== null) process.stderr.write(`  hint: ${error.hint}\n`);
    }
    return exit.tool;
  }
}

/** Prints a value as the one JSON document of a command. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** How commands of a lab put things. */
import type { Driver, LabDescription } from "../../lab/driver.ts";

/** An argument as a person would type it. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A command line as a person would type it. */
export function typed(argv: readonly string[]): string {
  return argv.map(quoted).join(" ");
}

/** How to get into each machine, a line each. */
export function loginLines(driver: Driver, lab: LabDescription): string {
  return lab.machines
    .map(({ name }) => ({ name, argv: driver.login(lab, name) }))
    .filter(({ argv }) => argv.length > 0)
    .map(({ name, argv }) => `${name}: ${typed(argv)}\n`)
    .join("");
}

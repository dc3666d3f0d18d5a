/** Which lab a command is about. */
import { basename, dirname, relative, resolve } from "node:path";
import { suggest } from "../../core/suggest.ts";
import { LabError } from "../../lab/command.ts";
import type { Driver, LabMachine } from "../../lab/driver.ts";
import { driverNamed } from "../../lab/drivers.ts";
import { findLabs, type LabState, readState } from "../../lab/state.ts";
import { findSite } from "../../load/library.ts";
import type { LabRequest } from "./request.ts";

/** A folder with a lab, or with what is left of one. */
export interface FoundLab {
  readonly folder: string;
  /** Null when it has a ledger alone: it was killed before it had a state. */
  readonly state: LabState | null;
}

/** The name of a lab's site, by its folder. */
export function siteOf(folder: string): string {
  return basename(dirname(folder));
}

/**
 * Finds the lab of the site that is meant, without reading that site: it may have been broken since.
 * @returns null when there is none
 * @throws LabError when there are several and none is of that site
 */
export function findLab({ choice, out }: Pick<LabRequest, "choice" | "out">): FoundLab | null {
  const site = choice.site === null ? findSite(choice.cwd) : resolve(choice.cwd, choice.site);
  const found = findLabs(resolve(choice.cwd, out)).map((folder) => ({ folder, state: readable(folder) }));
  const own = found.filter(({ state }) => state !== null && state.siteFile === site);
  if (own.length === 1) return own[0] ?? null;
  if (choice.site !== null) return null;
  if (found.length > 1)
    throw new LabError(
      `there are labs of several sites below ${out}: ${found.map(({ folder }) => siteOf(folder)).join(", ")}`,
      "say which: --site FILE",
    );
  return found[0] ?? null;
}

/** A state that is damaged is as good as none: what the lab made stands in its ledger. */
function readable(folder: string): LabState | null {
  try {
    return readState(folder);
  } catch {
    return null;
  }
}

/**
 * The lab that is meant, with its driver.
 * @throws LabError when there is none
 */
export async function openLab(
  request: Pick<LabRequest, "choice" | "out">,
): Promise<{ readonly state: LabState; readonly driver: Driver }> {
  const found = findLab(request);
  if (found === null) throw new LabError("there is no lab of this site", "seedsmith lab up makes one");
  const where = relative(request.choice.cwd, found.folder);
  if (found.state === null)
    throw new LabError(`${where} holds what is left of a lab`, "seedsmith lab down clears it");
  const driver = await driverNamed(found.state.lab.driver);
  if (driver === null)
    throw new LabError(
      `the lab in ${where} was made by a driver that is not known: ${found.state.lab.driver}`,
    );
  return { state: found.state, driver };
}

/** A machine of a lab by its node's name. @throws LabError when it has none of that name */
export function machineNamed(state: LabState, name: string): LabMachine {
  const found = state.lab.machines.find((machine) => machine.name === name);
  if (found !== undefined) return found;
  const names = state.lab.machines.map((machine) => machine.name);
  throw new LabError(`the lab has no node "${name}"`, suggest(name, names) ?? `it has: ${names.join(", ")}`);
}

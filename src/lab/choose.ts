/** Which driver a lab is made by, and of which target its machines are. */
import { LabError } from "./command.ts";
import type { Driver, Inspection, LabTarget, Obstacle } from "./driver.ts";
import { allDrivers, driverNamed, driverNames } from "./drivers.ts";

/** A driver that runs here. */
export interface Usable {
  readonly driver: Driver;
  readonly inspection: Inspection;
}

/** What came of looking at the drivers. */
export interface Selection extends Usable {
  /** Why this one, in a sentence. */
  readonly why: string;
}

/** Slower than this is not native. */
const nearlyNative = 2;

function inWords(obstacles: readonly Obstacle[]): string {
  return obstacles.map(({ message }) => message).join("; ");
}

function hints(obstacles: readonly Obstacle[]): string {
  return obstacles.map(({ hint }) => hint).join("; ");
}

/**
 * The named driver.
 * @returns null when there is none of that name
 * @throws LabError when it cannot run here
 */
export async function usable(name: string, cache: string): Promise<Usable | null> {
  const driver = await driverNamed(name);
  if (driver === null) return null;
  const inspection = await driver.inspect(cache);
  if (inspection.obstacles.length > 0)
    throw new LabError(
      `the driver ${name} cannot run here: ${inWords(inspection.obstacles)}`,
      `${hints(inspection.obstacles)}; seedsmith lab doctor tells what each driver needs`,
    );
  return { driver, inspection };
}

/**
 * All drivers that run here, the best first: those of native speed as drivers.ts lists them, then the others, the
 * fastest first.
 * @returns also what is in the way of the rest, in words
 * @throws LabError when none runs
 */
export async function rank(
  cache: string,
  drivers?: readonly Driver[],
): Promise<{ readonly usable: readonly Usable[]; readonly others: readonly string[] }> {
  const looked = await Promise.all(
    (drivers ?? (await allDrivers())).map(async (driver) => ({
      driver,
      inspection: await driver.inspect(cache),
    })),
  );
  const good = looked.filter(({ inspection }) => inspection.obstacles.length === 0);
  const others = looked
    .filter(({ inspection }) => inspection.obstacles.length > 0)
    .map(({ driver, inspection }) => `${driver.name}: ${inWords(inspection.obstacles)}`);
  if (good.length === 0)
    throw new LabError(
      `no driver can run here: ${others.join("; ")}`,
      "seedsmith lab doctor tells what each one needs",
    );
  const slow = ({ inspection }: Usable): number =>
    inspection.slowness <= nearlyNative ? 0 : inspection.slowness;
  return { usable: good.toSorted((a, b) => slow(a) - slow(b)), others };
}

/** Whether a driver is of native speed. */
export function isNative({ inspection }: Usable): boolean {
  return inspection.slowness <= nearlyNative;
}

/** What keeps a driver from having systems of these targets; empty when it can have all. */
export async function missingTargets(
  { driver }: Usable,
  targets: readonly LabTarget[],
  cache: string,
): Promise<readonly Obstacle[]> {
  const found = await Promise.all(targets.map((target) => driver.obtainable(target, cache)));
  return found.filter((obstacle) => obstacle !== null);
}

export { driverNames };

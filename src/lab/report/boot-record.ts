/**
 * What is kept of a node's first boot: enough for its timeline, its junit report and a look back after the machine
 * is gone.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LabError } from "../command.ts";
import type { Driver, LabDescription, LabMachine } from "../driver.ts";
import type { RunnerEvent } from "../events.ts";
import { afterEvent, beginning, type NodeFailure, type NodeProgress, type Phase } from "../watch/progress.ts";
import { readCloudInitLog, type Stretch } from "./cloud-init-log.ts";
import { type DpkgWork, minutesOf, readDpkgLog } from "./dpkg-log.ts";

/** What the plan says of a step, check or wait. */
export interface PlannedAction {
  readonly kind: "step" | "unit" | "ready" | "wait" | "check";
  readonly name: string;
  /** `file:line`. */
  readonly from: string;
}

export interface BootRecord {
  readonly format: 1;
  readonly site: string;
  /** Absolute path of the site file; null for the built-in example. */
  readonly siteFile: string | null;
  readonly node: string;
  /** Its place among the site's nodes. */
  readonly place: number;
  readonly target: string;
  readonly driver: string;
  /** When it was switched on, in ms since 1970; null when nobody noted it. */
  readonly poweredOn: number | null;
  /** When this was gathered, in ms since 1970. */
  readonly gathered: number;
  readonly phase: Phase;
  /** When the verdict fell, in ms since 1970; null before. */
  readonly ended: number | null;
  readonly failure: NodeFailure | null;
  readonly events: readonly RunnerEvent[];
  /** All actions of the plan by id, in its order, so that one that was never reached is known too. */
  readonly actions: Readonly<Record<string, PlannedAction>>;
  /** Stages and modules of cloud-init, of all boots; empty where its log could not be had. */
  readonly cloudInit: readonly Stretch[];
  readonly dpkg: readonly DpkgWork[];
  /** In which bytes it differs from production. */
  readonly differences: readonly string[];
}

interface PlanFile {
  readonly blocks?: readonly { readonly actions?: readonly PlanAction[] }[];
  readonly checks?: readonly PlanAction[];
}
interface PlanAction {
  readonly kind: PlannedAction["kind"];
  readonly id: string;
  readonly name?: string;
  readonly unit?: string;
  readonly from: string;
}

/** The actions of a node's `plan.json` by id; none when there is no such file. */
export function plannedActions(text: string | null): Readonly<Record<string, PlannedAction>> {
  if (text === null) return {};
  const plan = JSON.parse(text) as PlanFile;
  const all = [...(plan.blocks ?? []).flatMap(({ actions }) => actions ?? []), ...(plan.checks ?? [])];
  return Object.fromEntries(
    all.map(({ kind, id, name, unit, from }) => [
      id,
      { kind, name: name ?? unit ?? id, from: from.replace(/:\d+$/, "") },
    ]),
  );
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

/** What a driver cannot get from the machine is missing from the record, never a reason to have none. */
async function output(
  driver: Driver,
  lab: LabDescription,
  machine: string,
  argv: readonly string[],
): Promise<string> {
  try {
    const done = await driver.exec(lab, machine, argv, { timeout: 30 });
    return done.status === 0 ? done.stdout : "";
  } catch {
    return "";
  }
}

/** What is known of a node besides what its machine tells. */
export interface Known {
  readonly siteFile: string | null;
  /** When it was switched on, in ms since 1970; null when nobody noted it. */
  readonly poweredOn: number | null;
  /** Where it stands; by its events where that is left out. */
  readonly progress?: NodeProgress;
}

/** Ms for a machine to answer at all. */
const patience = 20_000;

/** Gathers the record of a node from its machine, which may be in any state. */
export async function gatherRecord(
  driver: Driver,
  lab: LabDescription,
  machine: LabMachine,
  { siteFile, poweredOn, progress: known }: Known,
): Promise<BootRecord> {
  const { name } = machine;
  let events: readonly RunnerEvent[] = [];
  const tired = AbortSignal.timeout(patience);
  try {
    events = (await driver.events(lab, name, 0, tired)).events;
  } catch {}
  const progress = known ?? events.reduce(afterEvent, beginning(name, poweredOn ?? Date.now()));
  // Whoever has interrupted a wait does not want to wait for a machine that is still booting.
  const ask = (argv: readonly string[]) => (tired.aborted ? "" : output(driver, lab, name, argv));
  const cloudInit = await ask(["cat", "/var/log/cloud-init.log"]);
  const dpkg = await ask(["cat", "/var/log/dpkg.log"]);
  const zone = dpkg === "" ? "" : await ask(["date", "+%z"]);
  return {
    format: 1,
    site: lab.site,
    siteFile,
    node: name,
    place: lab.machines.indexOf(machine),
    target: machine.target,
    driver: lab.driver,
    poweredOn,
    gathered: Date.now(),
    phase: progress.phase,
    ended: progress.ended,
    failure: progress.failure,
    events,
    actions: plannedActions(textOf(join(machine.seed, "plan.json"))),
    cloudInit: readCloudInitLog(cloudInit),
    dpkg: readDpkgLog(dpkg, minutesOf(zone)),
    differences: driver.differences(machine),
  };
}

/** The folder of a lab's folder that holds records; it outlives the lab. */
export const recordsFolder = "records";

const folder = (lab: string): string => join(lab, recordsFolder);

/**
 * Keeps a record in the lab's folder, where it outlives the machine.
 * @param lab the lab's folder, `build/<site>/lab`
 * @returns its path
 */
export function saveRecord(lab: string, record: BootRecord): string {
  mkdirSync(folder(lab), { recursive: true, mode: 0o700 });
  const path = join(folder(lab), `${record.node}.json`);
  writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return path;
}

/** Removes the records of an earlier lab of the same folder, whose nodes may have been others. */
export function forgetRecords(lab: string): void {
  rmSync(folder(lab), { recursive: true, force: true });
}

/**
 * The records that a lab's folder has, by node, in the order of the site.
 * @throws LabError on one that cannot be read
 */
export function readRecords(lab: string): Map<string, BootRecord> {
  const records = new Map<string, BootRecord>();
  if (!existsSync(folder(lab))) return records;
  for (const name of readdirSync(folder(lab)).sort()) {
    if (!name.endsWith(".json")) continue;
    const path = join(folder(lab), name);
    let record: BootRecord;
    try {
      record = JSON.parse(readFileSync(path, "utf8")) as BootRecord;
      if (record.format !== 1 || !Array.isArray(record.events)) throw new Error("no record of a boot");
    } catch (error) {
      throw new LabError(
        `${path} is damaged: ${(error as Error).message}`,
        "delete it; the next boot makes another",
      );
    }
    records.set(record.node, record);
  }
  return new Map([...records].sort(([, a], [, b]) => a.place - b.place));
}

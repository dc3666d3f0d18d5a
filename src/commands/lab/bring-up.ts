/** Bringing a lab up, from the site to the nodes' verdicts. */
import { readdirSync, rmSync } from "node:fs";
import { freemem } from "node:os";
import { join, relative, resolve } from "node:path";
import { exit } from "../../core/exit.ts";
import { labCache } from "../../lab/cache.ts";
import { LabError } from "../../lab/command.ts";
import { labMachine, labNetworks, unwirable, waitsForOthers } from "../../lab/describe.ts";
import type { Driver, LabDescription } from "../../lab/driver.ts";
import { availableMemory, bootId, processName } from "../../lab/host.ts";
import { destroyFolder, keptFiles, Ledger } from "../../lab/ledger.ts";
import { outsideAddresses } from "../../lab/outside.ts";
import { refuseTooLarge, uncover } from "../../lab/refusals.ts";
import {
  abandoned,
  freshId,
  type LabState,
  labFolderOf,
  readState,
  stands,
  writeState,
} from "../../lab/state.ts";
import { viewFor } from "../../lab/watch/choose-view.ts";
import type { WatchResult } from "../../lab/watch/view.ts";
import { waitForNodes } from "../../lab/watch/wait.ts";
import type { SourceLine } from "../../lab/watch/words.ts";
import { findSite } from "../../load/library.ts";
import { type Compiled, compile } from "../compile.ts";
import { sourceOf } from "../source-line.ts";
import type { LabRequest } from "./request.ts";
import { renderSeeds, seedFolder } from "./seeds.ts";
import { type Selected, select, targetsOf } from "./select.ts";

/** Seconds that a lab at native speed is waited for; the slower, the longer. */
const patience = 2400;
const mostPatience = 4 * 3600;

/** A lab that was brought up, with how its nodes did. */
export interface Up {
  readonly state: LabState;
  readonly driver: Driver;
  readonly result: WatchResult;
  /** The site as it was rendered. */
  readonly compiled: Compiled;
  readonly source: SourceLine;
}

/** Refuses when a lab stands in the folder. @throws LabError that tells what to do */
function refuseSecond(folder: string, cwd: string): void {
  if (!stands(folder)) return;
  const where = relative(cwd, folder) || folder;
  const state = readState(folder);
  if (state === null)
    throw new LabError(
      `${where} holds what is left of a lab that was never up`,
      "clear it: seedsmith lab down",
    );
  const left = abandoned(state);
  if (left !== null)
    throw new LabError(
      `${where} holds a lab that was abandoned: ${left}`,
      "look at it with seedsmith lab status, and clear it with seedsmith lab down",
    );
  throw new LabError(
    state.owner === null
      ? `the lab of ${state.lab.site} is up already, by ${state.lab.driver}`
      : `the lab of ${state.lab.site} is being brought up by process ${state.owner.pid}`,
    "seedsmith lab status shows it; seedsmith lab down takes it down",
  );
}

/** Everything that is known of the lab before anything is made. */
async function describe(
  request: LabRequest,
  { compiled, plans, driver, notice }: Selected,
  folder: string,
  cache: string,
): Promise<Pick<LabState, "lab" | "notices" | "differences">> {
  const site = compiled.site;
  if (site === null) throw new Error("a lab without a site");
  const machines = plans.map((plan) => {
    const node = site.byName.get(plan.node);
    return labMachine(plan, node?.doc.size?.disk, seedFolder(folder, plan.node), node?.firmware);
  });
  for (const { node, waitsFor } of waitsForOthers(plans))
    throw new LabError(
      `${node} waits for ${waitsFor}, which is not among the nodes of this lab`,
      `take it in: --node ${node} --node ${waitsFor}`,
    );
  for (const why of plans.map(unwirable))
    if (why !== null)
      throw new LabError(
        `${why}: labs cannot wire that, as each card of a machine is on one network`,
        "boot the other nodes with --node, or give its networks cards of their own for the lab",
      );
  refuseTooLarge(driver, machines, availableMemory() ?? Math.floor(freemem() / 2 ** 20));
  const targets = targetsOf(compiled, plans);
  const { proxy, mirrors } = site.doc.apt ?? {};
  const urls = [proxy, ...Object.values(mirrors ?? {})].filter((url) => typeof url === "string");
  const outside = await outsideAddresses(
    targets.map(({ codename }) => codename),
    urls,
  );
  const { hidden, notices } = uncover(driver, labNetworks(site), machines, outside);
  const lab: LabDescription = {
    id: freshId(),
    driver: driver.name,
    site: site.name,
    folder,
    cache,
    networks: labNetworks(site),
    targets,
    hidden,
    machines,
  };
  const own = request.choice.target;
  const asked = own === null ? [] : [`rendered for ${own} (--target), whatever the site says`];
  const differences = new Set(machines.flatMap((machine) => driver.differences(machine)));
  return {
    lab,
    notices: [...asked, ...(notice === null ? [] : [notice]), ...notices],
    differences: [...differences],
  };
}

/**
 * Brings a lab up and waits for its verdict. What fails before a machine runs leaves nothing behind; from then on the
 * lab stands until it is taken down.
 * @returns the lab, or the exit code when there is none
 * @throws LabError when the host is in the way
 */
export async function bringUp(request: LabRequest): Promise<Up | number> {
  const { choice, format } = request;
  const first = await compile(choice);
  if (first.problems.failed || first.site === null)
    return request.problems(first, first.problems.list, { command: "lab up" });
  const folder = labFolderOf(resolve(choice.cwd, request.out), first.site.name);
  refuseSecond(folder, choice.cwd);
  const cache = labCache();
  // Plans are made when they are asked for, and have problems of their own.
  for (const node of first.site.nodes) first.plan?.plan(node);
  if (first.problems.failed) return request.problems(first, first.problems.list, { command: "lab up" });

  const source = sourceOf(first);
  const view = await viewFor(format, source);
  view.note(`site: ${first.siteTitle}`);
  const selected = await select(request, first, cache);
  const { driver, inspection, plans } = selected;
  view.note(`driver: ${selected.why}`);
  const { lab, notices, differences } = await describe(request, selected, folder, cache);
  for (const notice of notices) view.note(`notice: ${notice}`);
  for (const difference of differences) view.note(`unlike production: ${difference}`);

  const ledger = Ledger.begin(lab.id, folder);
  // Bundles and records of an earlier lab would be taken for this one's.
  for (const name of readdirSync(folder))
    if (keptFiles.test(name)) rmSync(join(folder, name), { recursive: true });
  let state: LabState = {
    format: 1,
    lab,
    siteFile: choice.site === null ? findSite(choice.cwd) : resolve(choice.cwd, choice.site),
    how: inspection.how,
    slowness: inspection.slowness,
    notices,
    differences,
    began: Date.now(),
    boot: bootId(),
    owner: processName(process.pid),
    phase: "making",
  };
  const since: Record<string, number> = {};
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, interrupt);
  try {
    try {
      writeState(state);
      const rendered = await renderSeeds(request, selected, folder, lab.site, plans);
      if (rendered.nodes.length === 0) {
        await destroyFolder(folder);
        return request.problems(rendered.compiled, rendered.problems, { command: "lab up" });
      }
      await driver.create(lab, ledger, (line) => view.note(line));
      if (interrupted.signal.aborted) throw new LabError("interrupted before a machine ran");
      state = { ...state, phase: "up" };
      writeState(state);
      await Promise.all(
        lab.machines.map(async ({ name }) => {
          since[name] = Date.now();
          await driver.start(lab, name);
          view.note(`${name} is switched on`);
        }),
      );
    } catch (error) {
      throw await withoutTrace(driver, lab, error);
    }
    const result = await waitForNodes({
      driver,
      lab,
      machines: lab.machines.map(({ name }) => name),
      view,
      since,
      timeout: request.timeout ?? Math.min(mostPatience, patience * inspection.slowness),
      signal: interrupted.signal,
    });
    state = { ...state, owner: null };
    writeState(state);
    ledger.disown();
    return { state, driver, result, compiled: selected.compiled, source };
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, interrupt);
  }
}

/**
 * Clears away a lab that did not come to run, as nothing of it is worth keeping.
 * @returns the error to throw: the one that was, with what came on top of it
 */
async function withoutTrace(driver: Driver, lab: LabDescription, error: unknown): Promise<unknown> {
  try {
    await driver.destroy(lab);
    await destroyFolder(lab.folder);
    return error;
  } catch (resisted) {
    if (!(error instanceof Error) || !(resisted instanceof Error)) return error;
    return new LabError(
      `${error.message}; and then it could not be cleared away: ${resisted.message}`,
      "seedsmith lab down goes on with that",
    );
  }
}

/** The exit code of a wait. */
export function exitOf({ outcome }: WatchResult): number {
  return { ready: exit.fine, failed: exit.node, timeout: exit.node, interrupted: 130 }[outcome];
}

/** Chooses the driver of a lab and, for the built-in example alone, perhaps another target. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { Usage } from "../../core/exit.ts";
import { suggest } from "../../core/suggest.ts";
import { driverNames, isNative, missingTargets, rank, type Usable, usable } from "../../lab/choose.ts";
import { LabError } from "../../lab/command.ts";
import { labTarget } from "../../lab/describe.ts";
import type { LabTarget } from "../../lab/driver.ts";
import type { NodePlan } from "../../plan/model.ts";
import { type Compiled, compile } from "../compile.ts";
import type { LabRequest } from "./request.ts";

/** What is booted, by what. */
export interface Selected extends Usable {
  /** Why this driver. */
  readonly why: string;
  /** The site as it is booted. */
  readonly compiled: Compiled;
  readonly plans: readonly NodePlan[];
  /** The target that the nodes are rendered for in place of the site's own, or null. */
  readonly target: string | null;
  /** What a person must know about that, or null. */
  readonly notice: string | null;
}

/** The plans of the chosen nodes. */
export function plansOf(compiled: Compiled): readonly NodePlan[] {
  const { plan, chosen } = compiled;
  return plan === null ? [] : chosen.map((node) => plan.plan(node));
}

/** The targets of nodes, each once. */
export function targetsOf({ library }: Compiled, plans: readonly NodePlan[]): readonly LabTarget[] {
  const of = (plan: NodePlan) => labTarget(plan, library.targets.get(plan.target.name)?.doc.image);
  return [...new Map(plans.map((plan) => [plan.target.name, of(plan)])).values()];
}

function names(targets: readonly LabTarget[]): string {
  return targets.map(({ name }) => name).join(", ");
}

/** The built-in targets that a driver can have here, with the site compiled for each. */
async function* otherTargets(request: LabRequest, candidate: Usable, cache: string) {
  const folder = join(request.choice.packageRoot, "targets");
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith(".yaml")) continue;
    const target = basename(file, ".yaml");
    const compiled = await compile({ ...request.choice, target });
    const plans = plansOf(compiled);
    if (compiled.problems.failed || plans.length === 0) continue;
    if ((await missingTargets(candidate, targetsOf(compiled, plans), cache)).length === 0)
      yield { target, compiled, plans };
  }
}

/**
 * Chooses. A site of the user's is booted as its own target or not at all. The built-in example is nobody's
 * production: where its target cannot be had at native speed it is booted as one that can, which is said.
 * @param compiled the site as it is, without problems
 * @throws LabError when nothing fits, Usage when the driver has no such name
 */
export async function select(request: LabRequest, compiled: Compiled, cache: string): Promise<Selected> {
  const plans = plansOf(compiled);
  const wanted = targetsOf(compiled, plans);
  const example = compiled.siteTitle === "the built-in example" && request.choice.target === null;
  let candidates: readonly Usable[];
  let others: readonly string[] = [];
  if (request.driver !== null) {
    const found = await usable(request.driver, cache);
    if (found === null)
      throw new Usage(
        `there is no driver "${request.driver}": ${suggest(request.driver, driverNames) ?? `there are ${driverNames.join(", ")}`}`,
      );
    candidates = [found];
  } else ({ usable: candidates, others } = await rank(cache));

  const missing = new Map<Usable, string>();
  const hints: string[] = [];
  const chosen = (one: Usable): Pick<Selected, "driver" | "inspection" | "why"> => {
    const { driver, inspection } = one;
    if (request.driver !== null) return { driver, inspection, why: `${driver.name}: ${inspection.how}` };
    const passed = candidates
      .filter((other) => other !== one && missing.has(other))
      .map((other) => `${other.driver.name}: ${missing.get(other)}`);
    const slower = candidates
      .slice(candidates.indexOf(one) + 1)
      .map((other) => `${other.driver.name} would run too: ${other.inspection.how}`);
    const not = [...passed, ...others, ...slower];
    return {
      driver,
      inspection,
      why: `${driver.name}: ${inspection.how}${not.length === 0 ? "" : ` (not chosen: ${not.join("; ")})`}`,
    };
  };
  const fits = async (one: Usable): Promise<Selected | null> => {
    const obstacles = await missingTargets(one, wanted, cache);
    if (obstacles.length === 0) return { ...chosen(one), compiled, plans, target: null, notice: null };
    missing.set(one, obstacles.map(({ message }) => message).join("; "));
    hints.push(...obstacles.map(({ hint }) => hint).filter((hint) => hint !== ""));
    return null;
  };
  const alternatives: string[] = [];
  const groups = [candidates.filter(isNative), candidates.filter((one) => !isNative(one))];
  for (const group of groups) {
    for (const one of group) {
      const found = await fits(one);
      if (found !== null) return found;
    }
    for (const one of group) {
      for await (const other of otherTargets(request, one, cache)) {
        if (!alternatives.includes(other.target)) alternatives.push(other.target);
        if (!example) continue;
        const slow = group === groups[0] ? groups[1]?.[0] : undefined;
        const instead = slow === undefined ? "" : `; --driver ${slow.driver.name} would try it, slowly`;
        return {
          ...chosen(one),
          ...other,
          notice: `the built-in example says ${names(wanted)}, which was NOT booted: no system of it can be had here (${missing.get(one)}). What is booted is the example rendered for ${other.target}, and the verdict is about that alone${instead}`,
        };
      }
    }
  }
  const alternative =
    alternatives.length === 0
      ? []
      : [`boot another rendering of this site, which proves less: --target ${alternatives[0]}`];
  throw new LabError(
    `no machine of ${names(wanted)} can be made here: ${candidates.map((one) => `${one.driver.name}: ${missing.get(one)}`).join("; ")}`,
    [...new Set([...alternative, ...hints])].join("; or "),
  );
}

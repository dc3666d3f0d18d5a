/** Chooses the driver of a lab and, for the built-in example alone, perhaps another target. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { Usage } from "../../core/exit.ts";
import { suggest } from "../../core/suggest.ts";
import { driverNames, isNative, missingTargets, rank, type Usable, usable } from "../../lab/choose.ts";
import { LabError } from "../../lab/command.ts";
import { labTarget } from "../../lab/describe.ts";
import type { LabTarget } from "../../lab/driver.ts";
import { positionOf } from "../../load/marks.ts";
import type { NodePlan } from "../../plan/model.ts";
import { type Choice, type Compiled, compile } from "../compile.ts";
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
  /** Modules that the machines' kernel lacks, and that the site's `lab.without` does without. */
  readonly without: readonly string[];
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

/** A site as a driver's machines can boot it. */
interface Bootable {
  readonly compiled: Compiled;
  readonly plans: readonly NodePlan[];
  readonly without: readonly string[];
}

/** A module that the kernel of a driver's machines lacks, and who asks for it. */
interface Lack {
  readonly module: string;
  readonly node: string;
  /** `file:line` */
  readonly from: string;
}

/** What the chosen nodes take of a kernel that a driver's machines lack, each module once. */
function lacksOf({ driver }: Usable, { chosen }: Compiled): readonly Lack[] {
  const taken = new Map<string, Lack>();
  for (const node of chosen)
    for (const { doc, loaded } of node.components)
      for (const [index, module] of (doc.takes?.kernel ?? []).entries()) {
        if (taken.has(module)) continue;
        const { file, line } = positionOf(loaded, ["takes", "kernel", index]);
        taken.set(module, { module, node: node.name, from: `${file}:${line}` });
      }
  const lacking = driver.lacks([...taken.keys()]);
  return [...taken.values()].filter(({ module }) => lacking.includes(module));
}

/** A site as a driver's machines can boot it, its own `lab.without` applied where it must be; else what they lack. */
async function bootable(
  candidate: Usable,
  choice: Choice,
  compiled: Compiled,
): Promise<Bootable | { readonly lacks: readonly Lack[] }> {
  const lacks = lacksOf(candidate, compiled);
  const without = lacks.map(({ module }) => module);
  const ways = compiled.site?.doc.lab?.without ?? {};
  if (without.length === 0) return { compiled, plans: plansOf(compiled), without };
  if (without.some((module) => !Object.hasOwn(ways, module))) return { lacks };
  const other = await compile({ ...choice, without });
  const plans = plansOf(other);
  const [problem] = other.problems.list.filter(({ notice }) => notice !== true);
  if (problem !== undefined)
    throw new LabError(
      `with lab.without: ${without.join(", ")} the site has problems: ${problem.message}`,
      problem.hint ?? "mend lab.without of the site",
    );
  const left = lacksOf(candidate, other);
  return left.length > 0 ? { lacks: left } : { compiled: other, plans, without };
}

/** What is said of modules that are done without. */
function withoutNotice({ compiled, without }: Bootable): string | null {
  if (without.length === 0) return null;
  const ways = compiled.site?.doc.lab?.without ?? {};
  const set = without.flatMap((module) =>
    Object.entries(ways[module]?.options ?? {}).flatMap(([component, options]) =>
      Object.entries(options).map(([name, value]) => `${component}.${name}: ${JSON.stringify(value)}`),
    ),
  );
  return `the kernel here has no ${without.join(", ")}, so the site is booted as its lab.without says (${set.join(", ")}), and the verdict is about that`;
}

/** The built-in targets that a driver can have here, with the site compiled for each. */
async function* otherTargets(request: LabRequest, candidate: Usable, cache: string) {
  const folder = join(request.choice.packageRoot, "targets");
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith(".yaml")) continue;
    const target = basename(file, ".yaml");
    const choice = { ...request.choice, target };
    const compiled = await compile(choice);
    const plans = plansOf(compiled);
    if (compiled.problems.failed || plans.length === 0) continue;
    if ((await missingTargets(candidate, targetsOf(compiled, plans), cache)).length > 0) continue;
    const found = await bootable(candidate, choice, compiled);
    if (!("lacks" in found)) yield { target, ...found };
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
    if (obstacles.length === 0) {
      const found = await bootable(one, request.choice, compiled);
      if (!("lacks" in found))
        return { ...chosen(one), ...found, target: null, notice: withoutNotice(found) };
      for (const { module, node, from } of found.lacks) {
        const said = `this host's kernel has no ${module}, which ${node} needs (${from})`;
        missing.set(one, [missing.get(one), said].filter((text) => text !== undefined).join("; "));
      }
      hints.push(
        "a driver whose machines have a kernel of their own (qemu)",
        "options of the site that do without it, in lab: { without: ... }",
      );
      return null;
    }
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
        const also = withoutNotice(other);
        const instead = slow === undefined ? "" : `; --driver ${slow.driver.name} would try it, slowly`;
        return {
          ...chosen(one),
          ...other,
          notice: `the built-in example says ${names(wanted)}, which was NOT booted: no system of it can be had here (${missing.get(one)}). What is booted is the example rendered for ${other.target}, and the verdict is about that alone${instead}${also === null ? "" : `; and ${also}`}`,
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

/** The seeds that a lab boots: copies of what render writes, so that a later render does not change a lab that stands. */
import { copyFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { NodePlan } from "../../plan/model.ts";
import { type RenderResult, render } from "../render.ts";
import type { LabRequest } from "./request.ts";
import type { Selected } from "./select.ts";

/** Where a node's seed lies in a lab's folder. */
export function seedFolder(lab: string, node: string): string {
  return join(lab, "seeds", node);
}

/**
 * Renders the chosen nodes as `render` does and copies their seeds into the lab. What is rendered otherwise than for
 * production, for another target or kernel, goes into the lab alone: seeds for production must not change by a test.
 */
export async function renderSeeds(
  request: LabRequest,
  { target, without }: Pick<Selected, "target" | "without">,
  lab: string,
  site: string,
  plans: readonly NodePlan[],
): Promise<RenderResult> {
  const other = target ?? request.choice.target;
  const own = other === null && without.length === 0;
  const out = own ? resolve(request.choice.cwd, request.out) : join(lab, "rendered");
  const result = await render({ ...request.choice, target: other, without, out, workerUrl: null });
  if (result.nodes.length === 0) return result;
  for (const { node } of plans) {
    const to = seedFolder(lab, node);
    mkdirSync(to, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(join(out, site, node)))
      copyFileSync(join(out, site, node, name), join(to, name));
  }
  if (!own) rmSync(join(lab, "rendered"), { recursive: true });
  return result;
}

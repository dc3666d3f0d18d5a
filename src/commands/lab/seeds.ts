/** The seeds that a lab boots: copies of what render writes, so that a later render does not change a lab that stands. */
import { copyFileSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import type { NodePlan } from "../../plan/model.ts";
import { type RenderResult, render } from "../render.ts";
import type { LabRequest } from "./request.ts";

/** Where a node's seed lies in a lab's folder. */
export function seedFolder(lab: string, node: string): string {
  return join(lab, "seeds", node);
}

/**
 * Renders the chosen nodes as `render` does and copies their seeds into the lab. For another target than the site's
 * own it renders into the lab alone: seeds for production must not change by a test.
 */
export async function renderSeeds(
  request: LabRequest,
  target: string | null,
  lab: string,
  site: string,
  plans: readonly NodePlan[],
): Promise<RenderResult> {
  const other = target ?? request.choice.target;
  const out = other === null ? resolve(request.choice.cwd, request.out) : join(lab, "rendered");
  const result = await render({ ...request.choice, target: other, out, workerUrl: null });
  if (result.nodes.length === 0) return result;
  for (const { node } of plans) {
    const to = seedFolder(lab, node);
    mkdirSync(to, { recursive: true, mode: 0o700 });
    for (const name of readdirSync(join(out, site, node)))
      copyFileSync(join(out, site, node, name), join(to, name));
  }
  if (other !== null) rmSync(join(lab, "rendered"), { recursive: true });
  return result;
}

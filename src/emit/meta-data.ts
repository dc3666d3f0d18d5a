import type { NodePlan } from "../plan/model.ts";
import { Lines } from "./lines.ts";
import { toYaml } from "./yaml.ts";

/**
 * NoCloud meta-data. The instance-id decides what cloud-init takes for a first boot, so it changes only with the
 * node's generation: a changed seed never re-runs first boot on a live node by accident.
 */
export function metaData(plan: NodePlan): Lines {
  return new Lines().add(
    toYaml({ "instance-id": `${plan.site}-${plan.node}-${plan.generation}`, "local-hostname": plan.node }),
    plan.from,
  );
}

import type { NodePlan } from "../plan/model.ts";
import { YamlFile } from "./lines.ts";

/**
 * NoCloud meta-data. The instance-id decides what cloud-init takes for a first boot, so it changes only with the
 * node's generation: a changed seed never re-runs first boot on a live node by accident.
 */
export function metaData(plan: NodePlan): YamlFile {
  return new YamlFile().put(
    { "instance-id": `${plan.site}-${plan.node}-${plan.generation}`, "local-hostname": plan.node },
    plan.from,
  );
}

/** All files of one node, in memory. */
import type { NodePlan } from "../plan/model.ts";
import { autoinstallFiles } from "./autoinstall.ts";
import { type Guest, userData, type Vault, vendorData } from "./cloud-config.ts";
import { writeIso } from "./iso.ts";
import { type Artifact, artifact, yamlArtifact } from "./lines.ts";
import { metaData } from "./meta-data.ts";
import { networkConfig } from "./network-config.ts";
import { planJson } from "./plan-json.ts";
import { seedLabel } from "./seed-label.ts";

export { seedLabel } from "./seed-label.ts";

/** The four NoCloud files. */
export const seedFiles: readonly string[] = ["user-data", "meta-data", "network-config", "vendor-data"];

/** @returns the seed's files, its image and the readable plan. */
export function emitNode(plan: NodePlan, guest: Guest, vault: Vault): readonly Artifact[] {
  const user = userData(plan, guest, vault);
  const network = networkConfig(plan);
  const seed = [
    yamlArtifact("user-data", user),
    yamlArtifact("meta-data", metaData(plan)),
    yamlArtifact("network-config", network),
    yamlArtifact("vendor-data", vendorData(plan)),
  ];
  return [
    ...seed,
    { name: "seed.iso", bytes: writeIso(seedLabel, seed), origins: [] },
    artifact("plan.json", planJson(plan)),
    ...(plan.install === undefined ? [] : autoinstallFiles(plan, plan.install, user, network, vault)),
  ];
}

/** All files of one node, in memory. */
import type { NodePlan } from "../plan/model.ts";
import { type Guest, userData, type Vault, vendorData } from "./cloud-config.ts";
import { writeIso } from "./iso.ts";
import { type Artifact, artifact, yamlArtifact } from "./lines.ts";
import { metaData } from "./meta-data.ts";
import { networkConfig } from "./network-config.ts";
import { planJson } from "./plan-json.ts";

/** The label by which cloud-init's NoCloud finds a seed. */
export const seedLabel = "cidata";

/** The four NoCloud files. */
export const seedFiles: readonly string[] = ["user-data", "meta-data", "network-config", "vendor-data"];

/** @returns the seed's files, its image and the readable plan. */
export function emitNode(plan: NodePlan, guest: Guest, vault: Vault): readonly Artifact[] {
  const seed = [
    yamlArtifact("user-data", userData(plan, guest, vault)),
    yamlArtifact("meta-data", metaData(plan)),
    yamlArtifact("network-config", networkConfig(plan)),
    yamlArtifact("vendor-data", vendorData(plan)),
  ];
  return [
    ...seed,
    { name: "seed.iso", bytes: writeIso(seedLabel, seed), origins: [] },
    artifact("plan.json", planJson(plan)),
  ];
}

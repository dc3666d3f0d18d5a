/** All files of one node, in memory. */
import type { NodePlan } from "../plan/model.ts";
import { autoinstallFiles } from "./autoinstall.ts";
import { type Guest, userData, type Vault, vendorData } from "./cloud-config.ts";
import { writeIso } from "./iso.ts";
import { type Artifact, artifact, type Memory, newMemory, yamlArtifact } from "./lines.ts";
import { Made } from "./made.ts";
import { metaData } from "./meta-data.ts";
import { networkConfig } from "./network-config.ts";
import { planJson } from "./plan-json.ts";
import { seedLabel } from "./seed-label.ts";

export { seedLabel } from "./seed-label.ts";

/** The four NoCloud files. */
export const seedFiles: readonly string[] = ["user-data", "meta-data", "network-config", "vendor-data"];

/**
 * Emits the nodes of one render.
 * @param memory for the files of the seed, its image and the readable plan
 * @returns gives a node's files from its plan: the seed's files, its image, the readable plan, and the installer's
 * files where the node is installed
 */
export function nodeEmitter(
  guest: Guest,
  vault: Vault,
  memory: Memory = newMemory,
): (plan: NodePlan) => readonly Artifact[] {
  const made = new Made();
  return (plan) => {
    const user = userData(plan, guest, vault, made);
    const network = networkConfig(plan);
    const seed = [
      yamlArtifact("user-data", user, memory),
      yamlArtifact("meta-data", metaData(plan), memory),
      yamlArtifact("network-config", network, memory),
      yamlArtifact("vendor-data", vendorData(plan), memory),
    ];
    return [
      ...seed,
      { name: "seed.iso", bytes: writeIso(seedLabel, seed, (size) => memory("seed.iso", size)), origins: [] },
      artifact("plan.json", planJson(plan, made), memory),
      ...(plan.install === undefined ? [] : autoinstallFiles(plan, plan.install, user, network, vault)),
    ];
  };
}

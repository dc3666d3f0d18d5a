/** What is kept of the nodes of a lab that has come to its verdict. */
import { type BootRecord, forgetRecords, gatherRecord, saveRecord } from "../../lab/report/boot-record.ts";
import { writeFailureBundle } from "../../lab/report/failure-bundle.ts";
import { openVault } from "../render.ts";
import type { Up } from "./bring-up.ts";

/** What was gathered of a lab. */
export interface Gathered {
  /** Of each node, in the order of the site. */
  readonly records: readonly BootRecord[];
  /** Paths of the bundles of nodes that are not READY. */
  readonly bundles: readonly string[];
}

/** Every secret that stands in a seed of the site: what no bundle may have. */
function secretsOf({ compiled }: Up): readonly string[] {
  const opened = openVault(compiled);
  if (opened === null || compiled.plan === null) throw new Error("a lab whose site has no secrets to be had");
  const { values, hashes } = opened.store.snapshot(compiled.plan.secrets.keys());
  return [...Object.values(values), ...Object.values(hashes)];
}

/** Gathers the record of each node, keeps it in the lab's folder, and packs a bundle for each that is not READY. */
export async function gather(up: Up): Promise<Gathered> {
  const { state, driver, result, source } = up;
  const { lab } = state;
  const bundles: string[] = [];
  forgetRecords(lab.folder);
  const records = await Promise.all(
    lab.machines.map(async (machine) => {
      const progress = result.nodes.find(({ node }) => node === machine.name);
      if (progress === undefined) throw new Error(`${machine.name} was not waited for`);
      const record = await gatherRecord(driver, lab, machine, {
        siteFile: state.siteFile,
        poweredOn: progress.since,
        progress,
      });
      saveRecord(lab.folder, record);
      if (progress.phase !== "ready" && result.outcome !== "interrupted") {
        const secrets = secretsOf(up);
        bundles.push(await writeFailureBundle({ driver, lab, machine, record, secrets, source }));
      }
      return record;
    }),
  );
  return { records, bundles: bundles.sort() };
}

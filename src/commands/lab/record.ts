/** What is kept of the nodes of a lab that has come to its verdict. */
import { type BootRecord, gatherRecord, saveRecord } from "../../lab/report/boot-record.ts";
import type { Up } from "./bring-up.ts";

/** Gathers the record of each node and keeps it in the lab's folder. */
export async function recordNodes({ state, driver, result }: Up): Promise<readonly BootRecord[]> {
  return await Promise.all(
    state.lab.machines.map(async (machine) => {
      const progress = result.nodes.find(({ node }) => node === machine.name);
      if (progress === undefined) throw new Error(`${machine.name} was not waited for`);
      const record = await gatherRecord(driver, state.lab, machine, progress);
      saveRecord(state.lab.folder, record);
      return record;
    }),
  );
}

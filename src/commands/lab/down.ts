/** `seedsmith lab down` */
import { relative } from "node:path";
import { exit } from "../../core/exit.ts";
import { driverNamed } from "../../lab/drivers.ts";
import { destroyFolder } from "../../lab/ledger.ts";
import { findLab, siteOf } from "./find.ts";
import { type LabRequest, printJson } from "./request.ts";

/** Takes down the lab of the site, or what is left of it. A second time there is nothing to do, which is fine. */
export async function down(request: LabRequest): Promise<number> {
  const found = findLab(request);
  if (found === null) {
    if (request.format === "json") printJson({ ok: true, site: null, removed: false });
    else process.stdout.write("there is no lab of this site: nothing to take down\n");
    return exit.fine;
  }
  const { folder, state } = found;
  const driver = state === null ? null : await driverNamed(state.lab.driver);
  if (driver !== null && state !== null) await driver.destroy(state.lab);
  // What a driver does not know any more, or never came to know, stands in the ledger.
  await destroyFolder(folder);
  const site = siteOf(folder);
  if (request.format === "json") printJson({ ok: true, site, removed: true });
  else
    process.stdout.write(
      `the lab of ${site} is down; nothing of it is left in ${relative(request.choice.cwd, folder)}\n`,
    );
  return exit.fine;
}

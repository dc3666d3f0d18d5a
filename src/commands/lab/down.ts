/** `seedsmith lab down` */
import { existsSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { exit } from "../../core/exit.ts";
import { driverNamed } from "../../lab/drivers.ts";
import { destroyFolder, keptFiles } from "../../lab/ledger.ts";
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
  await destroyFolder(folder, keptFiles);
  const left = existsSync(folder) ? readdirSync(folder) : [];
  const site = siteOf(folder);
  const shown = left.map((name) => join(relative(request.choice.cwd, folder), name));
  if (request.format === "json") printJson({ ok: true, site, removed: true, kept: shown });
  else {
    process.stdout.write(`the lab of ${site} is down; nothing of it is left on this host\n`);
    for (const path of shown) process.stdout.write(`kept: ${path}\n`);
  }
  return exit.fine;
}

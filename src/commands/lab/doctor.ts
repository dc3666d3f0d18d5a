/** `seedsmith lab doctor` */
import { resolve } from "node:path";
import { exit } from "../../core/exit.ts";
import { labCache } from "../../lab/cache.ts";
import { allDrivers } from "../../lab/drivers.ts";
import { copiesPackages } from "../../lab/package-cache.ts";
import { type LabRequest, printJson } from "./request.ts";

/** Prints what keeps each driver from running here; fine when one of them can. */
export async function doctor(request: LabRequest): Promise<number> {
  const cache = labCache();
  const found = await Promise.all(
    (await allDrivers()).map(async (driver) => ({ driver, inspection: await driver.inspect(cache) })),
  );
  const usable = found.some(({ inspection }) => inspection.obstacles.length === 0);
  const copied = copiesPackages(cache, resolve(request.choice.cwd, request.out));
  if (request.format === "json") {
    printJson({
      ok: usable,
      cache,
      copiesPackages: copied,
      drivers: found.map(({ driver: { name, summary }, inspection }) => ({ name, summary, ...inspection })),
    });
  } else {
    for (const { driver, inspection } of found) {
      const { obstacles, how } = inspection;
      process.stdout.write(
        `${driver.name.padEnd(10)} ${obstacles.length === 0 ? `runs here: ${how}` : "cannot run here"}\n`,
      );
      for (const { message, hint } of obstacles) process.stdout.write(`  ${message}\n    ${hint}\n`);
    }
    process.stdout.write(`cache      ${cache}\n`);
    if (copied)
      process.stdout.write(
        `  on another file system than ${request.out}/: nspawn copies kept packages into each machine, where it would link them\n    SEEDSMITH_CACHE or --out beside the other spares time and room\n`,
      );
  }
  return usable ? exit.fine : exit.tool;
}

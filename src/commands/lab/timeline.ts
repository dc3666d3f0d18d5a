/** `seedsmith lab timeline` */
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { exit } from "../../core/exit.ts";
import { suggest } from "../../core/suggest.ts";
import { LabError } from "../../lab/command.ts";
import { driverNamed } from "../../lab/drivers.ts";
import { type BootRecord, gatherRecord, readRecords, recordsFolder } from "../../lab/report/boot-record.ts";
import { timeline as timelineOf } from "../../lab/report/timeline.ts";
import { timelineSvg } from "../../lab/report/timeline-svg.ts";
import { timelineText } from "../../lab/report/timeline-text.ts";
import { findLabs } from "../../lab/state.ts";
import { findSite } from "../../load/library.ts";
import { type FoundLab, findLab, siteOf } from "./find.ts";
import { type LabRequest, printJson } from "./request.ts";

/** The records of a lab that is down. @throws LabError when there are none, or several labs' */
function kept({ choice, out }: LabRequest): BootRecord[] {
  const site = choice.site === null ? findSite(choice.cwd) : resolve(choice.cwd, choice.site);
  const found = findLabs(resolve(choice.cwd, out), (folder) => existsSync(join(folder, recordsFolder)))
    .map((folder) => [...readRecords(folder).values()])
    .filter(([first]) => first !== undefined);
  const own = found.filter(([first]) => first?.siteFile === site);
  const chosen = own.length === 1 ? own : choice.site === null ? found : own;
  if (chosen.length > 1)
    throw new LabError(
      `there are records of several sites below ${out}: ${chosen.map(([first]) => first?.site).join(", ")}`,
      "say which: --site FILE",
    );
  if (chosen[0] === undefined)
    throw new LabError(
      "nothing is known of a lab of this site",
      "seedsmith lab up or seedsmith test makes one",
    );
  return chosen[0];
}

/** The records of a lab that stands: those that were kept, and of the other nodes what their machines tell now. */
async function current({ folder, state }: FoundLab): Promise<BootRecord[]> {
  const records = readRecords(folder);
  if (state === null) return [...records.values()];
  const driver = await driverNamed(state.lab.driver);
  return await Promise.all(
    state.lab.machines.map(async (machine) => {
      const known = records.get(machine.name);
      if (known?.phase === "ready" || driver === null) return known;
      const now = await gatherRecord(driver, state.lab, machine, {
        siteFile: state.siteFile,
        poweredOn: known?.poweredOn ?? null,
      });
      // Of a machine that has died since, the record has more.
      const more = (known?.events.length ?? 0) - now.events.length;
      return known !== undefined && (more > 0 || (more === 0 && known.ended !== null)) ? known : now;
    }),
  ).then((all) => all.filter((record) => record !== undefined));
}

/** Prints what each node spent its first boot on, and draws it where that is wanted. */
export async function timeline(request: LabRequest): Promise<number> {
  const { choice, format, svg } = request;
  const found = findLab(request);
  const all = found === null ? kept(request) : await current(found);
  for (const name of choice.nodes) {
    const names = all.map(({ node }) => node);
    if (!names.includes(name))
      throw new LabError(
        `nothing is known of a node "${name}"`,
        suggest(name, names) ?? `there is: ${names.join(", ")}`,
      );
  }
  const records = all.filter(({ node }) => choice.nodes.length === 0 || choice.nodes.includes(node));
  const made = timelineOf(records);
  const site = records[0]?.site ?? (found === null ? "" : siteOf(found.folder));
  if (svg !== null) {
    const path = resolve(choice.cwd, svg);
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(`${path}.new`, timelineSvg(made, `First boot of ${site}`));
      renameSync(`${path}.new`, path);
    } catch (error) {
      throw new LabError(`${svg} cannot be written: ${(error as Error).message}`, "name another file");
    }
  }
  if (format === "json") {
    printJson({
      ok: true,
      site,
      zero: new Date(made.zero).toISOString(),
      length: made.length,
      nodes: made.nodes,
      longest: made.longest.slice(0, 50),
      packages: made.packages.slice(0, 50),
    });
    return exit.fine;
  }
  const columns = process.stdout.columns ?? 100;
  const names = Math.max(0, ...records.map(({ node }) => node.length));
  process.stdout.write(timelineText(made, Math.min(160, Math.max(30, columns - names - 4))));
  if (svg !== null) process.stdout.write(`\ndrawn in ${relative(choice.cwd, resolve(choice.cwd, svg))}\n`);
  return exit.fine;
}

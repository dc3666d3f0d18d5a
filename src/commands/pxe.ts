/** `seedsmith pxe assets` */
import { join, relative, resolve } from "node:path";
import type { Problem } from "../core/problem.ts";
import { labCache } from "../lab/cache.ts";
import { LabError } from "../lab/command.ts";
import { type Choice, type Compiled, compile } from "./compile.ts";
import { type Asset, bringAssets, missingFiles } from "./pxe/assets.ts";

/** @throws LabError for what cannot be had */
export async function pxeAssets(
  choice: Choice,
  out: string,
  progress: (line: string) => void,
): Promise<{
  compiled: Compiled;
  problems: readonly Problem[];
  assets: readonly Asset[];
  text: string;
}> {
  const compiled = await compile(choice);
  const { site, problems, workspace } = compiled;
  if (site === null || problems.failed) return { compiled, problems: problems.list, assets: [], text: "" };
  const { netboot } = site;
  if (netboot === null) throw noNetboot(site.name);
  for (const { file, from } of missingFiles(site, workspace))
    problems.add({
      code: "file-unreadable",
      at: from,
      message: `${file} is not there`,
      hint: "it is looked for from the site's folder",
    });
  if (problems.failed) return { compiled, problems: problems.list, assets: [], text: "" };
  const folder = join(resolve(choice.cwd, out), site.name);
  const assets = await bringAssets(site, netboot, workspace, folder, labCache(), progress);
  const width = Math.max(...assets.map(({ path }) => path.length));
  const lines = assets.map(
    ({ path, from, change }) => `${path.padEnd(width)}  ${change === "same" ? "there" : "new"}, from ${from}`,
  );
  lines.push(`all in ${relative(choice.cwd, join(folder, "pxe"))}`);
  return { compiled, problems: problems.list, assets, text: `${lines.join("\n")}\n` };
}

/** What commands say of a site whose machines do not boot from the network. */
export function noNetboot(site: string): LabError {
  return new LabError(
    `the site ${site} does not say how its machines boot from the network`,
    "write netboot: { server: ADDRESS } into it: docs/pxe.md",
  );
}

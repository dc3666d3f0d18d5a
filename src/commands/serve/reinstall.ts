/** `seedsmith reinstall NODE` */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { exit } from "../../core/exit.ts";
import { LabError } from "../../lab/command.ts";
import { takeLock } from "../../serve/lock.ts";
import { States } from "../../serve/states.ts";
import { compile } from "../compile.ts";
import type { ServeRequest } from "./request.ts";
import { control, readControl, stateFolder } from "./state-folder.ts";

/**
 * Lets a node's next boot from the network install it again: by the server that runs, or where none does in the state
 * that the next one reads.
 */
export async function reinstall(request: ServeRequest): Promise<number> {
  const { choice } = request;
  const compiled = await compile(choice);
  const { site, problems } = compiled;
  const node = choice.nodes[0] ?? "";
  if (site === null || problems.failed)
    return request.problems(compiled, problems.list, { command: "reinstall", node });
  const folder = stateFolder(compiled.workspace, site.name);
  let by: "server" | "state";
  const running = readControl(folder);
  const answered = running === null ? null : await control(running, `/control/reinstall/${node}`);
  if (answered !== null && answered.status === 200) by = "server";
  else if (answered !== null)
    throw new LabError(
      `the server that runs refused (${answered.status}): ${answered.text.trim()}`,
      answered.status === 404 ? `start it again: it does not know ${node} yet` : null,
    );
  else {
    if (!existsSync(folder))
      throw new LabError(
        `nothing was served for ${site.name} yet, so ${node} is installed at its first boot anyway`,
        "seedsmith serve",
      );
    const lock = takeLock(join(folder, "lock"));
    if ("holder" in lock)
      throw new LabError(
        `a server has ${relative(choice.cwd, folder)} open (${lock.holder}) and does not answer`,
        "end it, or wait until it answers",
      );
    try {
      const { states } = await States.open(folder, [], Date.now());
      await states.happened({ time: Date.now(), node, kind: "reinstall" });
      await states.close();
    } finally {
      lock.free();
    }
    by = "state";
  }
  if (request.format === "json")
    process.stdout.write(`${JSON.stringify({ ok: true, site: site.name, node, by }, null, 2)}\n`);
  else
    process.stdout.write(
      `${node}: the next time it boots from the network it is installed again, which wipes its disk\n${
        by === "state" ? "no server runs now; the next seedsmith serve knows it\n" : ""
      }`,
    );
  return exit.fine;
}

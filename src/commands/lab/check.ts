/** `seedsmith lab check` */
import { exit } from "../../core/exit.ts";
import { type CheckResult, checkNode, type NodeChecks } from "../../lab/check.ts";
import { machineNamed, openLab } from "./find.ts";
import { type LabRequest, printJson } from "./request.ts";

function line({ ok, name, seconds, message, from }: CheckResult): string {
  const took = seconds === null ? "" : ` (${seconds.toFixed(1)} s)`;
  if (ok) return `  ok    ${name}${took}\n`;
  return `  FAIL  ${name}${from === null ? "" : `  [${from}]`}${message === null ? "" : `: ${message}`}\n`;
}

/** What the checks of a node said, in words. */
export function checksText({ node, ok, checks, message }: NodeChecks): string {
  const bad = checks.filter((check) => !check.ok);
  const head = ok
    ? `${node}: ${checks.length} checks hold`
    : checks.length === 0
      ? `${node}: its checks could not be run: ${message}`
      : `${node}: ${bad.length} of ${checks.length} checks failed`;
  const lines = checks.map((check) => line(check) + check.tail.map((said) => `    | ${said}\n`).join(""));
  return `${head}\n${lines.join("")}`;
}

/** Runs every check again, on all nodes of the lab at once; 4 when one is red. */
export async function check(request: LabRequest): Promise<number> {
  const { state, driver } = await openLab(request);
  const { nodes: wanted } = request.choice;
  const machines = wanted.length === 0 ? state.lab.machines : wanted.map((name) => machineNamed(state, name));
  const results = await Promise.all(machines.map(({ name }) => checkNode(driver, state.lab, name)));
  const ok = results.every((result) => result.ok);
  if (request.format === "json") printJson({ ok, site: state.lab.site, nodes: results });
  else for (const result of results) process.stdout.write(checksText(result));
  return ok ? exit.fine : exit.node;
}

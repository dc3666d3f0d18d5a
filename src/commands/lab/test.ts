/** `seedsmith test`: up, check, report, down. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { exit } from "../../core/exit.ts";
import { checkNode, type NodeChecks } from "../../lab/check.ts";
import type { Driver, LabDescription } from "../../lab/driver.ts";
import { destroyFolder, keptFiles } from "../../lab/ledger.ts";
import { junitXml } from "../../lab/report/junit.ts";
import { summary, summaryText } from "../../lab/report/summary.ts";
import { bringUp, exitOf } from "./bring-up.ts";
import { checksText } from "./check.ts";
import { gather } from "./record.ts";
import type { LabRequest } from "./request.ts";
import { loginLines } from "./words.ts";

/** Writes a file whole or not at all. */
function writeWhole(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

async function takeDown(driver: Driver, lab: LabDescription): Promise<void> {
  await driver.destroy(lab);
  await destroyFolder(lab.folder, keptFiles);
}

/** Boots the nodes, runs every check once more, reports, and takes the lab down unless it is to be kept. */
export async function test(request: LabRequest): Promise<number> {
  const { choice, format } = request;
  const brought = await bringUp(request);
  if (typeof brought === "number") return brought;
  const { state, driver, result, source } = brought;
  const { lab, notices } = state;
  const say = (text: string): void => void (format === "json" ? null : process.stderr.write(text));
  const json = (value: object): void =>
    void (format === "json" ? process.stdout.write(`${JSON.stringify(value)}\n`) : null);

  // From here on Ctrl-C takes the lab down, which is what a test does in any case.
  const interrupt = (): void => {
    say("interrupted: taking the lab down\n");
    void takeDown(driver, lab).finally(() => process.exit(130));
  };
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, interrupt);
  let checks: readonly NodeChecks[] = [];
  if (result.outcome === "ready") {
    checks = await Promise.all(lab.machines.map(({ name }) => checkNode(driver, lab, name)));
    for (const one of checks) {
      json({ event: "lab-checks", ...one });
      say(checksText(one));
    }
  }
  const ok = result.outcome === "ready" && checks.every((one) => one.ok);
  const { records, bundles } = await gather(brought);
  if (request.report !== null) {
    const path = resolve(choice.cwd, request.report);
    writeWhole(path, junitXml(lab.site, records, source, { checks, notices }));
    say(`report: ${relative(choice.cwd, path)}\n`);
  }
  if (request.keep) say(`${loginLines(driver, lab)}kept: seedsmith lab down takes it down\n`);
  else {
    await takeDown(driver, lab);
    say("the lab is down\n");
    for (const path of bundles) say(`kept: ${relative(choice.cwd, path)}, logs and seed without secrets\n`);
  }
  const code = ok ? exit.fine : result.outcome === "ready" ? exit.node : exitOf(result);
  const targets = lab.targets.map(({ name }) => name).join(", ");
  const names = lab.machines.map(({ name }) => name).join(", ");
  const count = checks.reduce((sum, one) => sum + one.checks.length, 0);
  const nodes = summary(records);
  json({
    event: "lab-test",
    ok,
    nodes,
    site: lab.site,
    targets,
    driver: lab.driver,
    notices,
    bundles,
    seconds: (Date.now() - state.began) / 1000,
  });
  say(summaryText(nodes));
  for (const notice of notices) say(`notice: ${notice}\n`);
  say(
    ok
      ? `GREEN: ${names} on ${targets} by ${lab.driver}: READY, and ${count} checks held again\n`
      : `RED: ${names} on ${targets} by ${lab.driver}: ${result.outcome === "ready" ? "READY, and then a check failed" : result.outcome}\n`,
  );
  return code;
}

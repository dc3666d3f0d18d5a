/** `seedsmith lab status` */
import { exit } from "../../core/exit.ts";
import type { Driver } from "../../lab/driver.ts";
import { inWords, lastVerdict } from "../../lab/events.ts";
import { abandoned, type LabState } from "../../lab/state.ts";
import { openLab } from "./find.ts";
import { type LabRequest, printJson } from "./request.ts";
import { typed } from "./words.ts";

/** Ms for a node's log: one that is still booting does not answer, and what is known of it by then is told. */
const patience = 10_000;

/** How a node does. */
async function nodeStatus(driver: Driver, { lab }: LabState, name: string) {
  const { power, reason } = await driver.state(lab, name);
  const events = await driver.events(lab, name, 0, AbortSignal.timeout(patience)).then(
    (read) => read.events,
    () => [],
  );
  const verdict = lastVerdict(events);
  const last = events.at(-1);
  return {
    node: name,
    target: lab.machines.find((machine) => machine.name === name)?.target ?? "",
    power,
    reason,
    state: verdict?.event ?? (last === undefined ? "no word of the runner yet" : "running"),
    step: verdict?.event === "failed" ? (verdict.step ?? null) : null,
    from: verdict?.event === "failed" ? (verdict.from ?? null) : null,
    last: last === undefined ? null : inWords(last),
    login: driver.login(lab, name),
  };
}

/** Prints how the lab does; 4 when a node has failed or died. */
export async function status(request: LabRequest): Promise<number> {
  const { state, driver } = await openLab(request);
  const nodes = await Promise.all(state.lab.machines.map(({ name }) => nodeStatus(driver, state, name)));
  const bad = nodes.filter((node) => node.power === "dead" || node.state === "failed");
  const left = abandoned(state);
  if (request.format === "json") {
    printJson({
      ok: bad.length === 0,
      site: state.lab.site,
      id: state.lab.id,
      driver: state.lab.driver,
      how: state.how,
      folder: state.lab.folder,
      began: new Date(state.began).toISOString(),
      abandoned: left,
      notices: state.notices,
      differences: state.differences,
      nodes,
    });
  } else {
    process.stdout.write(
      `lab of ${state.lab.site} by ${state.lab.driver} (${state.how}), since ${new Date(state.began).toISOString()}\n`,
    );
    for (const notice of state.notices) process.stdout.write(`notice: ${notice}\n`);
    if (left !== null) process.stdout.write(`abandoned: ${left}; seedsmith lab down takes it down\n`);
    for (const node of nodes) {
      const power =
        node.power === "running" ? "" : ` (${node.power}${node.reason === "" ? "" : `: ${node.reason}`})`;
      process.stdout.write(`${node.node}  ${node.target}  ${node.state}${power}\n`);
      if (node.last !== null && node.state !== "ready") process.stdout.write(`  ${node.last}\n`);
      if (node.login.length > 0) process.stdout.write(`  ${typed(node.login)}\n`);
    }
  }
  return bad.length === 0 ? exit.fine : exit.node;
}

/** What boot tests share: a lab that is always taken down, logs when a test fails, progress on the terminal. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type BaseRoot, baseRoot } from "../../src/lab/base-root.ts";
import { consoleTail } from "../../src/lab/console.ts";
import { eventLog, inWords, readEvents } from "../../src/lab/events.ts";
import { Lab } from "../../src/lab/lab.ts";
import { destroyLab, labFolder, ownLabs, sweepLabs } from "../../src/lab/ledger.ts";
import { testsFolder } from "../support/runner.ts";

/** Base roots, packages and the disks of machines: `SEEDSMITH_CACHE`, or `.cache/` of the repository. */
export const cache: string = process.env.SEEDSMITH_CACHE ?? join(testsFolder, "..", ".cache");

const begin = Date.now();
let built: Promise<BaseRoot> | null = null;

/** Prints a progress line with the seconds since the run began. */
export function say(text: string): void {
  console.error(`[${String(Math.round((Date.now() - begin) / 1000)).padStart(4)}s] ${text}`);
}

/** The base root of all boot tests; built by the first who asks. */
export function base(): Promise<BaseRoot> {
  built ??= baseRoot({ cache, progress: (line) => say(`base root: ${line}`) });
  return built;
}

/** Destroys labs that a killed run has left. */
export async function sweep(): Promise<void> {
  for (const id of await sweepLabs(cache)) say(`destroyed the lab ${id} of an earlier run`);
}

/** Destroys all labs of this run, as when it is broken off. */
export async function closeLabs(): Promise<void> {
  for (const id of ownLabs(cache)) await destroyLab(cache, id);
}

/** Prints how far each machine of this run is, whenever that has changed; whichever test has made it. */
export function followMachines(): void {
  const said = new Map<string, string>();
  const look = () => {
    for (const id of ownLabs(cache)) {
      const machines = join(labFolder(cache, id), "machines");
      for (const name of existsSync(machines) ? readdirSync(machines) : []) {
        const log = join(machines, name, "root", eventLog);
        const event = existsSync(log) ? readEvents(readFileSync(log)).events.at(-1) : undefined;
        const now = event
          ? inWords(event)
          : (consoleTail(join(machines, name, "console.log"), 1)[0]?.trim() ?? "");
        const key = `${id} ${name}`;
        if (now === "" || said.get(key) === now) continue;
        said.set(key, now);
        say(`${name}: ${now.slice(0, 100)}`);
      }
    }
  };
  setInterval(look, 5000).unref();
}

/**
 * Gives a test a lab with nothing in it, and takes it down whatever the test does. When the test fails, the
 * logs of its machines are kept; with `SEEDSMITH_KEEP=1` the lab stays up as well.
 * @param name of the folder for logs
 */
export async function withLab(name: string, test: (lab: Lab) => Promise<void>): Promise<void> {
  const lab = await Lab.create({ cache, base: await base() });
  let kept = false;
  try {
    await test(lab);
  } catch (error) {
    const logs = join(cache, "logs", name);
    rmSync(logs, { recursive: true, force: true });
    await lab.collect(logs);
    for (const machine of lab.machines) {
      say(`${machine.name} is ${machine.state} ${machine.reason}; its console ends:`);
      for (const line of machine.consoleTail(15)) console.error(`    ${line}`);
    }
    say(`logs: ${logs}`);
    kept = process.env.SEEDSMITH_KEEP === "1";
    if (kept) {
      lab.leaveStanding();
      say(`the lab ${lab.id} is left standing`);
    }
    throw error;
  } finally {
    if (!kept) await lab.destroy();
  }
}

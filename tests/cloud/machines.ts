/** What the tests of whole clouds share. */
import type { RunnerEvent } from "../../src/lab/events.ts";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { addNode, makeLab, type Workspace } from "../boot/rendered.ts";

/** Instances have network cards of their own. */
export const binds: readonly string[] = ["/dev/net/tun"];

/** A lab with the site's controller and compute node, switched off. */
export async function cloudLab(
  workspace: Workspace,
): Promise<{ readonly lab: Lab; readonly con01: Machine; readonly com01: Machine }> {
  workspace.render();
  const lab = await makeLab();
  try {
    const con01 = await addNode(lab, workspace, "con01", binds);
    return { lab, con01, com01: await addNode(lab, workspace, "com01", binds) };
  } catch (error) {
    await lab.destroy();
    throw error;
  }
}

/** A command of a person at the controller. @returns what it printed @throws when it fails */
export async function openstack(controller: Machine, command: string, timeout = 120): Promise<string> {
  return (await controller.must(["sh", "-ec", `. /root/admin-openrc\n${command}`], { timeout })).trim();
}

/** The longest steps of a node's first boot, as lines. */
export function longest(machine: Machine, count = 5): readonly string[] {
  return machine
    .events()
    .filter(
      (event): event is RunnerEvent & { seconds: number } =>
        typeof event["seconds"] === "number" && event["seconds"] > 0,
    )
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, count)
    .map(({ seconds, step, name }) => `${machine.name} ${seconds} s ${step}: ${name}`);
}

/** Asks again until it holds. @returns seconds it took @throws with the last answer when it never does */
export async function until(
  what: string,
  seconds: number,
  holds: () => Promise<true | string>,
): Promise<number> {
  const begin = Date.now();
  for (;;) {
    const answer = await holds().catch((error: unknown) => String(error));
    if (answer === true) return Math.round((Date.now() - begin) / 1000);
    if (Date.now() - begin > seconds * 1000) throw new Error(`${what}: not within ${seconds} s: ${answer}`);
    await new Promise((done) => setTimeout(done, 1000));
  }
}

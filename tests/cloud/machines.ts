/** What the tests of whole clouds share. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { type BaseRoot, baseRoot } from "../../src/lab/base-root.ts";
import type { RunnerEvent } from "../../src/lab/events.ts";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { addNode, cache, makeLab, story, type Workspace } from "../boot/rendered.ts";

/** Instances have network cards of their own. */
export const binds: readonly string[] = ["/dev/net/tun"];

/**
 * A base root that has a node's packages in, and none of its services enabled: an image as people make it to save time.
 * (Left enabled, they start unconfigured, and those of nova keep the boot from its end, and cloud-init from its.)
 */
async function withPackages(workspace: Workspace, node: string): Promise<BaseRoot> {
  const { packages, blocks } = JSON.parse(readFileSync(workspace.path(node, "plan.json"), "utf8")) as {
    packages: readonly { readonly name: string }[];
    blocks: readonly { readonly actions: readonly { readonly kind: string; readonly unit?: string }[] }[];
  };
  const units = blocks.flatMap(({ actions }) => actions).filter(({ kind }) => kind === "unit");
  return await baseRoot({
    cache,
    release: "bookworm",
    added: { packages: packages.map(({ name }) => name), disable: units.map(({ unit }) => unit as string) },
    progress: (line) => console.log(`  image of ${node}: ${line}`),
  });
}

/**
 * A lab with the site's controller and compute node, switched off.
 * @param image `bare` as the distribution's cloud images are, or `installed`: with each node's packages in
 */
export async function cloudLab(
  workspace: Workspace,
  image: "bare" | "installed" = "bare",
): Promise<{ readonly lab: Lab; readonly con01: Machine; readonly com01: Machine }> {
  workspace.render();
  const lab = await makeLab();
  const add = async (node: string): Promise<Machine> =>
    await addNode(lab, workspace, node, {
      binds,
      ...(image === "bare" ? {} : { base: await withPackages(workspace, node) }),
    });
  try {
    const con01 = await add("con01");
    return { lab, con01, com01: await add("com01") };
  } catch (error) {
    await lab.destroy();
    throw error;
  }
}

/** Adds a node of any site with the networks management and provider, with those cards that the site says it has. */
export async function addSiteNode(lab: Lab, workspace: Workspace, node: string): Promise<Machine> {
  const site = parse(readFileSync(join(workspace.folder, "site.yaml"), "utf8")) as {
    nodes: { [name: string]: { interfaces: { [network: string]: { mac: string } } } };
  };
  const interfaces = Object.entries(site.nodes[node]?.interfaces ?? {});
  return await lab.addMachine({
    name: node,
    seed: workspace.seed(node),
    ports: interfaces.map(([segment, { mac }]) => ({
      segment,
      name: segment === "management" ? "ens3" : segment,
      mac,
    })),
    capabilities: ["all"],
    binds,
  });
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

/**
 * Switches machines on at the same moment and waits until each is READY; prints when each was, and its longest steps.
 * @param timeout seconds that each has
 * @param count how many steps
 * @returns when they were switched on, in milliseconds since 1970
 * @throws with the machine's last events when one has failed
 */
export async function readyTogether(
  machines: readonly Machine[],
  timeout: number,
  count = 5,
): Promise<number> {
  const powered = Date.now();
  await Promise.all(machines.map((machine) => machine.start()));
  const verdicts = machines.map(async (machine) => {
    const verdict = await machine.waitVerdict({ timeout });
    assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
    console.log(`  ${machine.name} READY ${Math.round((Date.now() - powered) / 1000)} s after power-on`);
  });
  await Promise.all(verdicts);
  for (const machine of machines) for (const line of longest(machine, count)) console.log(`  ${line}`);
  return powered;
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

/** Waits until a node's first boot is at a step. @param id of the step, without a number after it */
export async function untilStep(machine: Machine, id: string, seconds = 2400): Promise<void> {
  const there = (): boolean =>
    machine.events().some(({ event, step }) => event === "step-start" && step === id);
  for (const begin = Date.now(); !there(); ) {
    const over = machine.events().find(({ event }) => event === "ready" || event === "failed");
    if (over !== undefined || Date.now() - begin > seconds * 1000)
      throw new Error(`no step ${id}: ${await story(machine)}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

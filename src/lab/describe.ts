/** From plans to what a driver is given. */
import { createHash } from "node:crypto";
import { bytes } from "../core/duration.ts";
import type { NodePlan } from "../plan/model.ts";
import type { Site } from "../resolve/model.ts";
import type { LabMachine, LabNetwork, LabTarget } from "./driver.ts";

const mebibyte = 2 ** 20;
const gibibyte = 2 ** 30;

/** A MAC address for an interface that the site gives none: always the same, of the range that QEMU uses. */
function madeUpMac(site: string, node: string, network: string): string {
  const digest = createHash("sha256").update(`${site}/${node}/${network}`).digest("hex");
  return `52:54:00:${digest.slice(0, 2)}:${digest.slice(2, 4)}:${digest.slice(4, 6)}`;
}

/** The networks of a site. */
export function labNetworks(site: Site): readonly LabNetwork[] {
  return [...site.networks.values()].map(({ name, doc }) => ({
    name,
    cidr: doc.cidr,
    gateway: doc.gateway ?? null,
  }));
}

/** The target of a node. */
export function labTarget({ target: { name, family, version, codename } }: NodePlan): LabTarget {
  return { name, family, version, codename };
}

/**
 * A node as a machine.
 * @param disk as the site says it, such as `40G`
 * @param seed absolute path of the folder with its seed
 */
export function labMachine(plan: NodePlan, disk: string | undefined, seed: string): LabMachine {
  const size = (text: string, unit: number): number => Math.ceil((bytes(text) ?? 0) / unit);
  // A card that no file names keeps the name of its slot: the first of a virtual machine is ens3.
  const unnamed = plan.interfaces.filter(({ name }) => name === null).map(({ network }) => network);
  return {
    name: plan.node,
    target: plan.target.name,
    seed,
    cpus: plan.size.cpus,
    memory: size(plan.size.memory, mebibyte),
    disk: size(disk ?? "20G", gibibyte),
    firmware: "bios",
    address: plan.address,
    user: plan.users.find(({ keys }) => keys.length > 0)?.name ?? null,
    interfaces: plan.interfaces.map(({ network, name, mac, address }) => ({
      network,
      name: name ?? `ens${3 + unnamed.indexOf(network)}`,
      mac: (mac ?? madeUpMac(plan.site, plan.node, network)).toLowerCase(),
      address,
    })),
  };
}

/** A node's waits for nodes that are not among the chosen ones: `waiting node`, `node waited for`. */
export function waitsForOthers(
  plans: readonly NodePlan[],
): readonly { readonly node: string; readonly waitsFor: string }[] {
  const chosen = new Set(plans.map(({ node }) => node));
  const found = new Map<string, { node: string; waitsFor: string }>();
  for (const { node, blocks } of plans)
    for (const action of blocks.flatMap(({ actions }) => actions))
      if (action.kind === "wait" && action.for !== null && !chosen.has(action.for))
        found.set(`${node} ${action.for}`, { node, waitsFor: action.for });
  return [...found.values()];
}

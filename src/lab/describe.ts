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

/** The networks of a site, each by its first IPv4 range (by its first one where it has none). */
export function labNetworks(site: Site): readonly LabNetwork[] {
  return [...site.networks.values()].map(({ name, ranges }) => {
    const range = ranges.find(({ family }) => family === 4) ?? ranges[0];
    if (range === undefined) throw new Error(`the network ${name} has no range`);
    return { name, cidr: range.text, gateway: range.gateway };
  });
}

/**
 * Why a lab cannot wire a node as its site says, or null: a machine's card is on one network, and nothing here is a
 * switch that speaks LACP or carries several networks over one card.
 */
export function unwirable({ node, devices }: NodePlan): string | null {
  const shared = devices.find((device) => device.kind === "card" && device.networks.length > 1);
  const bond = devices.find(({ kind }) => kind === "bond");
  if (bond !== undefined) return `${node} has the bond ${bond.id}`;
  return shared === undefined
    ? null
    : `${node} has several networks on one card: ${shared.networks.join(", ")}`;
}

/** The target of a node. @param image where the target's file says that its official image is */
export function labTarget(
  { target: { name, family, version, codename } }: NodePlan,
  image: LabTarget["image"],
): LabTarget {
  return { name, family, version, codename, ...(image === undefined ? {} : { image }) };
}

/**
 * A node as a machine.
 * @param disk as the site says it, such as `40G`
 * @param seed absolute path of the folder with its seed
 * @param firmware as the site says it; BIOS where it does not
 */
export function labMachine(
  plan: NodePlan,
  disk: string | undefined,
  seed: string,
  firmware: LabMachine["firmware"] | null = null,
): LabMachine {
  const size = (text: string, unit: number): number => Math.ceil((bytes(text) ?? 0) / unit);
  const cards = plan.devices.filter((device) => device.kind === "card");
  // A card that no file names keeps the name of its slot: the first of a virtual machine is ens3.
  const unnamed = cards.filter(({ name }) => name === null);
  return {
    name: plan.node,
    target: plan.target.name,
    seed,
    cpus: plan.size.cpus,
    memory: size(plan.size.memory, mebibyte),
    disk: size(disk ?? "20G", gibibyte),
    firmware: firmware ?? "bios",
    address: plan.address,
    user: plan.users.find(({ keys }) => keys.length > 0)?.name ?? null,
    interfaces: cards.map((card) => {
      const network = card.networks[0] ?? "";
      const nic = plan.interfaces.find((one) => one.network === network);
      return {
        network,
        name: card.name ?? `ens${3 + unnamed.indexOf(card)}`,
        mac: (card.mac ?? madeUpMac(plan.site, plan.node, network)).toLowerCase(),
        address: nic?.address ?? null,
      };
    }),
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

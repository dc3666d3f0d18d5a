/** The command line that boots a node's seed in qemu without root. */
import type { Interface, NodePlan } from "../plan/model.ts";
import { formatAddress, parseAddress, parseCidr } from "../resolve/address.ts";
import { userNetworkAddresses } from "./user-network.ts";

/** qemu's user network takes the place of the management network. */
function userNetwork(nic: Interface): string[] {
  const own = parseAddress(nic.address ?? "");
  if (own === null || nic.address === null) return [];
  const cidr = parseCidr(`${formatAddress(own - (own % 2 ** (32 - nic.prefix)))}/${nic.prefix}`);
  if (cidr === null) return [];
  const { gateway, nameservers } = nic;
  const addresses = userNetworkAddresses({ cidr, gateway, nameservers, taken: [nic.address] });
  if (addresses === null) return [];
  return [
    `net=${formatAddress(cidr.network)}/${nic.prefix}`,
    `host=${addresses.host}`,
    `dns=${addresses.dns}`,
  ];
}

/**
 * The arguments of qemu for a node. Its management card is on a network with a way out; its other cards are there,
 * as cloud-init waits for all that it is to configure, and lead nowhere.
 * @param seed path of the node's seed.iso
 * @param image path of a cloud image of the node's target; it is not written to (-snapshot)
 */
export function qemuArguments(plan: NodePlan, seed: string, image: string): readonly string[] {
  const management = plan.interfaces.find((nic) => nic.role === "management");
  const cards = plan.devices.filter((device) => device.kind === "card");
  const main = cards.find(
    ({ networks }) => management !== undefined && networks.includes(management.network),
  );
  const mac = (card: (typeof cards)[number] | undefined): string[] =>
    card === undefined || card.mac === null ? [] : [`mac=${card.mac}`];
  const way = ["user", "model=virtio-net-pci", ...mac(main)];
  if (management !== undefined) way.push(...userNetwork(management));
  const others = cards.filter((card) => card !== main && card.mac !== null);
  return [
    "qemu-system-x86_64",
    ...["-accel", "kvm", "-accel", "tcg", "-cpu", "max"],
    ...["-m", plan.size.memory, "-smp", String(plan.size.cpus)],
    ...["-nographic", "-snapshot", "-drive", `file=${image},if=virtio,format=qcow2`],
    ...["-drive", `file=${seed},if=virtio,format=raw,readonly=on`, "-nic", way.join(",")],
    ...others.flatMap((card, index) => [
      "-nic",
      ["hubport", `hubid=${index + 1}`, "model=virtio-net-pci", ...mac(card)].join(","),
    ]),
  ];
}

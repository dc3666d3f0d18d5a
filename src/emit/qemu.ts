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
 * The arguments of qemu for a node.
 * @param seed path of the node's seed.iso
 * @param image path of a cloud image of the node's target; it is not written to (-snapshot)
 */
export function qemuArguments(plan: NodePlan, seed: string, image: string): readonly string[] {
  const management = plan.interfaces.find((nic) => nic.role === "management");
  const card = plan.devices.find(
    (device) =>
      device.kind === "card" && management !== undefined && device.networks.includes(management.network),
  );
  const nic = ["user", "model=virtio-net-pci"];
  if (card?.kind === "card" && card.mac !== null) nic.push(`mac=${card.mac}`);
  if (management !== undefined) nic.push(...userNetwork(management));
  return [
    "qemu-system-x86_64",
    ...["-accel", "kvm", "-accel", "tcg", "-m", plan.size.memory, "-smp", String(plan.size.cpus)],
    ...["-nographic", "-snapshot", "-drive", `file=${image},if=virtio,format=qcow2`],
    ...["-drive", `file=${seed},if=virtio,format=raw,readonly=on`, "-nic", nic.join(",")],
  ];
}

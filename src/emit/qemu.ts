/** The command line that boots a node's seed in qemu without root. */
import type { Interface, NodePlan } from "../plan/model.ts";
import { formatAddress, isHostOf, parseAddress, parseCidr } from "../resolve/address.ts";

/**
 * qemu's user network takes the place of the management network. It answers for two addresses, `host` and `dns`,
 * which must differ, and routes for whoever sends to either; so a name server that is also the gateway is the
 * one called `dns`.
 */
function userNetwork(nic: Interface): string[] {
  const own = parseAddress(nic.address ?? "");
  if (own === null) return [];
  const size = 2 ** (32 - nic.prefix);
  const cidr = parseCidr(`${formatAddress(own - (own % size))}/${nic.prefix}`);
  if (cidr === null) return [];
  const inside = (address: string | undefined | null): number | null => {
    const value = parseAddress(address ?? "");
    return value !== null && isHostOf(value, cidr) ? value : null;
  };
  const gateway = inside(nic.gateway);
  const server = inside(nic.nameservers[0]);
  const taken = new Set([own, gateway, server]);
  let free = cidr.broadcast - 1;
  const next = (): number => {
    while (taken.has(free)) free -= 1;
    taken.add(free);
    return free;
  };
  const dns = server ?? next();
  const host = gateway === null || gateway === dns ? next() : gateway;
  return [
    `net=${formatAddress(cidr.network)}/${nic.prefix}`,
    `host=${formatAddress(host)}`,
    `dns=${formatAddress(dns)}`,
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

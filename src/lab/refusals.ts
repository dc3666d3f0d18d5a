/** What speaks against a lab before anything is made. */
import { LabError } from "./command.ts";
import type { Driver, LabMachine, LabNetwork } from "./driver.ts";
import { hiddenAddresses, type OutsideAddress } from "./outside.ts";

/**
 * Refuses when the nodes take more memory than there is.
 * @param free MiB
 * @throws LabError
 */
export function refuseTooLarge(
  driver: Pick<Driver, "name" | "memory">,
  machines: readonly LabMachine[],
  free: number,
): void {
  const each = machines.map((machine) => ({ name: machine.name, memory: driver.memory(machine) }));
  const sum = each.reduce((total, { memory }) => total + memory, 0);
  if (sum <= free) return;
  throw new LabError(
    `the nodes take ${sum} MiB by ${driver.name} and this host has ${free} MiB free: ${each.map(({ name, memory }) => `${name} ${memory}`).join(", ")}`,
    "boot fewer nodes with --node, give them less (size: { memory: ... } in the site), or end what else runs here",
  );
}

/**
 * Finds out which outside addresses the site's networks hide.
 * @returns those that the driver reaches all the same, and what to say of it
 * @throws LabError when machines would lack what they need
 */
export function uncover(
  driver: Pick<Driver, "name" | "reachesHidden">,
  networks: readonly LabNetwork[],
  machines: readonly LabMachine[],
  outside: readonly OutsideAddress[],
): { readonly hidden: readonly string[]; readonly notices: readonly string[] } {
  const notices: string[] = [];
  const hidden = new Set<string>();
  for (const { address, what, network, cidr, needed } of hiddenAddresses(outside, networks)) {
    const holder =
      machines.find(({ interfaces }) => interfaces.some((one) => one.address === address))?.name ??
      (networks.some(({ gateway }) => gateway === address) ? `the gateway of ${network}` : null);
    const change = `give the network ${network} of the site another cidr`;
    const used = machines.some(({ interfaces }) =>
      interfaces.some((one) => one.network === network && one.address !== null),
    );
    if (!needed)
      notices.push(
        `${what}, ${address}, is inside of the site's network ${network} (${cidr}): machines do not reach the host's own network`,
      );
    else if (holder !== null)
      throw new LabError(
        `${address} is ${what} and, in the site, ${holder}: machines would find the latter`,
        change,
      );
    else if (driver.reachesHidden) {
      hidden.add(address);
      notices.push(
        `${what}, ${address}, is inside of the site's network ${network} (${cidr}); the lab routes it out`,
      );
    } else if (used)
      throw new LabError(
        `the site's network ${network} (${cidr}) hides ${what}, ${address}, from the machines`,
        `${change}, or use --driver nspawn, which routes around it`,
      );
  }
  return { hidden: [...hidden], notices };
}

/** Network configuration version 2, as netplan and cloud-init's own renderers of all targets accept it. */
import type { Interface, NodePlan } from "../plan/model.ts";
import { Lines } from "./lines.ts";
import { toYaml } from "./yaml.ts";

function ethernet(nic: Interface): object {
  const addressed = nic.address !== null;
  return {
    ...(nic.mac === null ? {} : { match: { macaddress: nic.mac } }),
    // set-name needs a match; without one the interface already goes by that name.
    ...(nic.mac === null || nic.name === null ? {} : { "set-name": nic.name }),
    dhcp4: false,
    dhcp6: false,
    // Addresses are those written here. Where routers are listened for, networkd has an interface "configuring",
    // and network-online.target and so the first boot wait, until it has given up on one: some twelve seconds.
    "accept-ra": false,
    ...(addressed
      ? { addresses: [`${nic.address}/${nic.prefix}`] }
      : // Up without an address, and nothing at boot waits for it.
        { "link-local": [], optional: true }),
    ...(nic.gateway === null && nic.routes.length === 0
      ? {}
      : {
          routes: [
            // The words `to: default` are unknown to cloud-init's own renderers of Debian 12; this is the same route.
            ...(nic.gateway === null ? [] : [{ to: "0.0.0.0/0", via: nic.gateway }]),
            ...nic.routes.map(({ to, via }) => ({ to, via })),
          ],
        }),
    ...(nic.nameservers.length === 0 && nic.search.length === 0
      ? {}
      : {
          nameservers: {
            ...(nic.nameservers.length === 0 ? {} : { addresses: nic.nameservers }),
            ...(nic.search.length === 0 ? {} : { search: nic.search }),
          },
        }),
    ...(nic.mtu === null ? {} : { mtu: nic.mtu }),
  };
}

/** The network-config of a node. */
export function networkConfig(plan: NodePlan): Lines {
  const lines = new Lines().add("version: 2\n", plan.from);
  if (plan.interfaces.length === 0) return lines;
  lines.add("ethernets:\n", plan.interfaces[0]?.from ?? plan.from);
  for (const nic of plan.interfaces) {
    const id = nic.mac === null ? (nic.name ?? nic.network) : nic.network;
    lines.add(toYaml({ [id]: ethernet(nic) }).replace(/^(?=.)/gm, "  "), nic.from);
  }
  return lines;
}

/**
 * OpenStack's network_data.json, by which a config drive carries a node's network. It says less than network-config:
 * what it cannot say is told, as cloud-init would leave it out without a word.
 */
import type { Position } from "../core/position.ts";
import type { Device, NodePlan } from "../plan/model.ts";
import { formatIp, netmask, parseRange } from "../resolve/address.ts";

/** Something that network_data.json cannot say. */
export interface Unsaid {
  readonly message: string;
  readonly hint: string;
  readonly from: Position;
  /** Whether the node can do without. */
  readonly bearable: boolean;
}

interface Address {
  readonly ip_address?: string;
  readonly netmask?: string;
}

function addressed(cidr: string): Address {
  const [address = "", prefix = "0"] = cidr.split("/");
  return { ip_address: address, netmask: maskOf(address.includes(":") ? 6 : 4, Number(prefix)) };
}

/** A prefix as nova writes it: as a mask in both families. */
function maskOf(family: 4 | 6, prefix: number): string {
  return family === 4 ? netmask(prefix) : formatIp(6, (2n ** 128n - 1n) ^ (2n ** BigInt(128 - prefix) - 1n));
}

function routeOf({ to, via }: { readonly to: string; readonly via: string }): object {
  const range = parseRange(to)?.range;
  if (range === undefined) throw new Error(`the route to ${to} was not checked`);
  return {
    network: formatIp(range.family, range.first),
    netmask: maskOf(range.family, range.prefix),
    gateway: via,
  };
}

/**
 * The value of network_data.json for a node, in the form of nova's schema with `name` of links on top, which
 * cloud-init reads and nova does not write.
 */
export function networkData(plan: NodePlan): { readonly value: object; readonly unsaid: readonly Unsaid[] } {
  const unsaid: Unsaid[] = [];
  const links: object[] = [];
  const networks: object[] = [];
  const servers = new Set<string>();
  const macs = new Map<string, string>();
  const tell = (device: Device, message: string, hint: string, bearable: boolean): void =>
    void unsaid.push({ message, hint, from: device.from, bearable });
  let bonds = 0;
  for (const device of plan.devices) {
    const size = device.mtu === null ? {} : { mtu: device.mtu };
    switch (device.kind) {
      case "card":
        if (device.mac === null) {
          tell(device, `the card ${device.id} is known by its name alone`, "give its MAC address", false);
          break;
        }
        macs.set(device.id, device.mac);
        links.push({
          id: device.id,
          ...(device.name === null ? {} : { name: device.name }),
          type: "phy",
          ethernet_mac_address: device.mac,
          ...size,
        });
        break;
      case "bond": {
        // cloud-init counts them, whatever they are called.
        const name = `bond${bonds++}`;
        if (device.id !== name)
          tell(device, `the bond ${device.id} would be called ${name}`, `call it ${name} in the site`, false);
        if (device.mac !== null) macs.set(device.id, device.mac);
        links.push({
          id: device.id,
          type: "bond",
          ...(device.mac === null ? {} : { ethernet_mac_address: device.mac }),
          bond_links: device.members,
          bond_mode: device.mode === "lacp" ? "802.3ad" : "active-backup",
          bond_miimon: 100,
          ...(device.hash === null ? {} : { bond_xmit_hash_policy: device.hash }),
          ...(device.rate === null ? {} : { bond_lacp_rate: device.rate }),
          ...(device.primary === null ? {} : { bond_primary: device.primary }),
          ...size,
        });
        break;
      }
      case "vlan": {
        const name = `${device.link}.${device.tag}`;
        if (device.id !== name)
          tell(
            device,
            `the VLAN ${device.id} would be called ${name}`,
            `say name: ${name} at the interface, so that files name it like this everywhere`,
            false,
          );
        links.push({
          id: device.id,
          type: "vlan",
          vlan_link: device.link,
          vlan_id: device.tag,
          vlan_mac_address: macs.get(device.link) ?? null,
          ...size,
        });
        break;
      }
      case "bridge":
        tell(
          device,
          `the bridge ${device.id} cannot be said`,
          "do without it, or use another carrier",
          false,
        );
        break;
    }
    const { ip } = device;
    if (ip === null) continue;
    const add = (more: object): void =>
      void networks.push({ id: `network${networks.length}`, link: device.id, ...more });
    const routes = { 4: [] as object[], 6: [] as object[] };
    for (const route of ip.routes) routes[route.via.includes(":") ? 6 : 4].push(routeOf(route));
    const taken = { 4: false, 6: false };
    // The routes of a family go with its first address.
    const routesOnce = (family: 4 | 6): object => {
      if (taken[family]) return {};
      taken[family] = true;
      return { routes: routes[family] };
    };
    for (const cidr of ip.addresses) {
      const family = cidr.includes(":") ? 6 : 4;
      add({ type: `ipv${family}`, ...addressed(cidr), ...routesOnce(family) });
    }
    if (ip.dhcp4) add({ type: "ipv4_dhcp", ...routesOnce(4) });
    if (ip.dhcp6) add({ type: "ipv6_dhcp", ...routesOnce(6) });
    else if (ip.acceptRa) add({ type: "ipv6_slaac", ...routesOnce(6) });
    for (const server of ip.nameservers) servers.add(server);
    if (ip.search.length > 0)
      tell(device, "search domains cannot be said", "use full names, or another carrier", true);
    if (ip.dhcp4 && !ip.dhcpRoutes)
      tell(
        device,
        "that DHCP brings no default route cannot be said",
        "have the DHCP server send none",
        true,
      );
  }
  const services = [...servers].map((address) => ({ type: "dns", address }));
  return { value: { links, networks, services }, unsaid };
}

/** Network configuration version 2, as netplan and cloud-init's own renderers of all targets accept it. */
import type { Device, NodePlan } from "../plan/model.ts";
import { YamlFile } from "./lines.ts";
import { toYaml } from "./yaml.ts";

const sections = { card: "ethernets", bond: "bonds", vlan: "vlans", bridge: "bridges" } as const;

/** What a device is made of. */
function made(device: Device): object {
  switch (device.kind) {
    case "card":
      return {
        ...(device.mac === null ? {} : { match: { macaddress: device.mac } }),
        // set-name needs a match; without one the card already goes by that name.
        ...(device.mac === null || device.name === null ? {} : { "set-name": device.name }),
      };
    case "bond":
      return {
        interfaces: device.members,
        ...(device.mac === null ? {} : { macaddress: device.mac }),
        parameters: {
          mode: device.mode === "lacp" ? "802.3ad" : "active-backup",
          ...(device.rate === null ? {} : { "lacp-rate": device.rate }),
          // Without it Linux never looks whether a card has a link.
          "mii-monitor-interval": 100,
          ...(device.hash === null ? {} : { "transmit-hash-policy": device.hash }),
          ...(device.primary === null ? {} : { primary: device.primary }),
        },
      };
    case "vlan":
      return { id: device.tag, link: device.link };
    case "bridge":
      return {
        interfaces: [device.port],
        ...(device.mac === null ? {} : { macaddress: device.mac }),
        // One port makes no loops; with the protocol on, it would carry nothing for half a minute.
        parameters: { stp: false, "forward-delay": 0 },
      };
  }
}

/** What else a device says, however it is made. */
function configured({ ip, mtu }: Device, gateway6: boolean): object {
  // Addresses are those written here. Where routers are listened for, networkd has an interface "configuring",
  // and network-online.target and so the first boot wait, until it has given up on one: some twelve seconds.
  const quiet = { dhcp4: false, dhcp6: false, "accept-ra": false };
  const size = mtu === null ? {} : { mtu };
  // Up without an address, and nothing at boot waits for it: the dead card of a bond, say.
  if (ip === null) return { ...quiet, "link-local": [], optional: true, ...size };
  const old = gateway6 ? ip.routes.find(({ to }) => to === "::/0") : undefined;
  const routes = ip.routes.filter((route) => route !== old);
  const overrides = {
    "use-routes": ip.dhcpRoutes,
    "use-dns": ip.dhcpDns,
    "use-hostname": false,
    "use-mtu": mtu === null,
  };
  return {
    dhcp4: ip.dhcp4,
    dhcp6: ip.dhcp6,
    "accept-ra": ip.acceptRa,
    // What the card is called by at PXE boot too, so that it gets the same address.
    ...(ip.dhcp4 ? { "dhcp-identifier": "mac", "dhcp4-overrides": overrides } : {}),
    // netplan wants the same in both where there are both.
    ...(ip.dhcp6 ? { "dhcp6-overrides": overrides } : {}),
    ...(ip.addresses.length === 0 ? {} : { addresses: ip.addresses }),
    ...(old === undefined ? {} : { gateway6: old.via }),
    ...(routes.length === 0 ? {} : { routes }),
    ...(ip.nameservers.length === 0 && ip.search.length === 0
      ? {}
      : {
          nameservers: {
            ...(ip.nameservers.length === 0 ? {} : { addresses: ip.nameservers }),
            ...(ip.search.length === 0 ? {} : { search: ip.search }),
          },
        }),
    ...size,
  };
}

/** The network-config of a node. */
export function networkConfig(plan: NodePlan): YamlFile {
  const file = new YamlFile().put({ version: 2 }, plan.from);
  for (const kind of ["card", "bond", "vlan", "bridge"] as const) {
    const devices = plan.devices.filter((device) => device.kind === kind);
    if (devices[0] === undefined) continue;
    const add = file.map(sections[kind], devices[0].from);
    for (const device of devices) {
      const value = { [device.id]: { ...made(device), ...configured(device, plan.target.gateway6) } };
      add(toYaml(value).replace(/^(?=.)/gm, "  "), value, device.from);
    }
  }
  return file;
}

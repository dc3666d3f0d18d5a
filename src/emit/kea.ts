/** Configuration of Kea's DHCPv4 server, for sites that have it in place of dnsmasq. TFTP is another program's. */
import type { Site } from "../resolve/model.ts";
import type { Firmware, Loader } from "../validate/documents.ts";
import { ownLoaders, pathPrefixOption } from "./dnsmasq.ts";
import { firstFile, httpBootUrl, loadersPath } from "./netboot.ts";

interface Class {
  readonly name: string;
  readonly test: string;
  readonly [key: string]: unknown;
}

/**
 * The configuration of a site's DHCP server.
 * @returns null where the site has no netboot, or does not give addresses itself: Kea is no proxy
 */
export function keaConfig(site: Site): string | null {
  const { netboot, management } = site;
  const [range] = management.ranges;
  if (netboot === null || netboot.dhcp !== "full" || range === undefined) return null;
  const nameservers = management.nameservers.filter((one) => !one.includes(":"));
  const reservations = site.nodes.flatMap((node) =>
    node.address === null
      ? []
      : (node.netboot?.macs ?? []).map((mac) => ({ "hw-address": mac, "ip-address": node.address })),
  );
  const config = {
    Dhcp4: {
      "interfaces-config": { interfaces: ["*"] },
      "lease-database": { type: "memfile" },
      "valid-lifetime": 3600,
      authoritative: true,
      "ip-reservations-unique": false,
      "next-server": netboot.server,
      "option-def": [{ name: "pxelinux-prefix", code: pathPrefixOption, type: "string", space: "dhcp4" }],
      "client-classes": classes(site),
      subnet4: [
        {
          id: 1,
          subnet: range.text,
          pools: netboot.pool === null ? [] : [{ pool: `${netboot.pool.first} - ${netboot.pool.last}` }],
          "option-data": [
            ...(range.gateway === null ? [] : [{ name: "routers", data: range.gateway }]),
            ...(nameservers.length === 0
              ? []
              : [{ name: "domain-name-servers", data: nameservers.join(", ") }]),
          ],
          reservations,
        },
      ],
    },
  };
  return `// DHCP of the site ${site.name}, by seedsmith. In place of "*" write the card on the management network.
${JSON.stringify(config, null, 2)}
`;
}

/** Which file each kind of machine is given; the conditions exclude each other. */
function classes(site: Site): readonly Class[] {
  const { netboot } = site;
  if (netboot === null) return [];
  const system = { bios: ["0x0000"], uefi: ["0x0007", "0x0009"], http: ["0x0010"] } as const;
  const asks = (kind: keyof typeof system): string =>
    `(${system[kind].map((code) => `option[93].hex == ${code}`).join(" or ")})`;
  const ipxe =
    "(option[175].exists or substring(option[77].hex, 0, 4) == 'iPXE' or substring(option[77].hex, 1, 4) == 'iPXE')";
  const macsOf = (loader: Loader): readonly string[] =>
    site.nodes.flatMap((node) => (node.netboot?.loader === loader ? node.netboot.macs : []));
  const isOne = (macs: readonly string[]): string =>
    `(${macs.map((mac) => `pkt4.mac == 0x${mac.replaceAll(":", "")}`).join(" or ")})`;
  const own = ownLoaders(site).filter((loader) => macsOf(loader).length > 0);
  const everybody = own.flatMap(macsOf);
  const groups: { name: string; condition: readonly string[]; loaders: Record<Firmware, Loader> }[] = [
    {
      name: "site",
      condition: everybody.length === 0 ? [] : [`not ${isOne(everybody)}`],
      loaders: netboot.loaders,
    },
    ...own.map((loader) => ({
      name: `own-${loader}`,
      condition: [isOne(macsOf(loader))],
      loaders: { bios: loader, uefi: loader },
    })),
  ];
  const made: Class[] = [];
  const add = (name: string, conditions: readonly string[], file: string, more: object = {}): void => {
    made.push({ name, test: conditions.join(" and "), "boot-file-name": file, ...more });
  };
  for (const { name, condition, loaders } of groups) {
    for (const firmware of ["bios", "uefi"] as const) {
      const loader = loaders[firmware];
      if (loader === "pxelinux" && firmware === "uefi") continue;
      const conditions = [asks(firmware), ...condition];
      if (loader === "ipxe") {
        add(`${name}-${firmware}-script`, [...conditions, ipxe], `${netboot.base}${loadersPath}boot.ipxe`);
        add(`${name}-${firmware}`, [...conditions, `not ${ipxe}`], firstFile(loader, firmware));
      } else
        add(
          `${name}-${firmware}`,
          conditions,
          firstFile(loader, firmware),
          loader === "pxelinux"
            ? {
                "option-data": [
                  { name: "pxelinux-prefix", data: `${netboot.base}/pxelinux/`, "always-send": true },
                ],
              }
            : {},
        );
    }
    if (loaders.uefi !== "pxelinux")
      add(`${name}-http`, [asks("http"), ...condition], httpBootUrl(netboot, loaders.uefi), {
        "option-data": [{ name: "vendor-class-identifier", data: "HTTPClient", "always-send": true }],
      });
  }
  return made;
}

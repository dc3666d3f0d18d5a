/** dnsmasq's configuration: DHCP or proxy-DHCP, and TFTP, for the loaders that a site's machines boot. */
import { netmask } from "../resolve/address.ts";
import type { Netboot, Node, Site } from "../resolve/model.ts";
import type { Loader } from "../validate/documents.ts";
import { firstFile, httpBootUrl, loadersPath } from "./netboot.ts";

/** The option that tells PXELINUX what its file names begin with (RFC 5071). */
export const pathPrefixOption = 210;

/**
 * The configuration of a site's DHCP and TFTP server.
 * @param tftpRoot the folder with the loaders, absolute; null leaves it to who starts dnsmasq, as where it lies is no
 * part of the site
 * @returns null where the site has no netboot, or leaves DHCP to others
 */
export function dnsmasqConfig(site: Site, tftpRoot: string | null): string | null {
  const { netboot, management } = site;
  const [range] = management.ranges;
  if (netboot === null || netboot.dhcp === "none" || range === undefined) return null;
  const [network] = range.text.split("/");
  const mask = netmask(range.prefix);
  const proxy = netboot.dhcp === "proxy";
  const lines = [
    `# DHCP${proxy ? " proxy" : ""} and TFTP of the site ${site.name}, by seedsmith.`,
    "# No DNS.",
    "port=0",
    `listen-address=${netboot.server}`,
    "bind-interfaces",
    ...(tftpRoot === null
      ? ["# TFTP is asked for on the command line: --enable-tftp --tftp-root=FOLDER/pxe/loaders"]
      : ["enable-tftp", `tftp-root=${tftpRoot}`]),
    "",
    ...(proxy
      ? ["# Another server gives the addresses.", `dhcp-range=${network},proxy,${mask}`]
      : [
          ...(netboot.pool === null
            ? ["# Addresses for the nodes alone.", `dhcp-range=${network},static,${mask},1h`]
            : [
                "# Addresses for machines that are no nodes; nodes have their own below.",
                `dhcp-range=${netboot.pool.first},${netboot.pool.last},${mask},1h`,
              ]),
          "dhcp-authoritative",
          `dhcp-option=option:router${range.gateway === null ? "" : `,${range.gateway}`}`,
          `dhcp-option=option:dns-server${management.nameservers
            .filter((one) => !one.includes(":"))
            .map((one) => `,${one}`)
            .join("")}`,
        ]),
    "",
    "# What asks: option 93. PXE by BIOS and by UEFI (7 is what firmware says, 9 what the standard meant), UEFI HTTP boot.",
    "dhcp-match=set:bios,option:client-arch,0",
    "dhcp-match=set:uefi,option:client-arch,7",
    "dhcp-match=set:uefi,option:client-arch,9",
    "dhcp-match=set:http,option:client-arch,16",
    "# iPXE asks again when it runs, and is then given its script.",
    "dhcp-match=set:ipxe,175",
    "dhcp-userclass=set:ipxe,iPXE",
    "",
    ...site.nodes.flatMap((node) => hostLines(node, proxy)),
    "",
    ...bootLines(netboot, netboot.loaders, ["tag:!own"], proxy),
    ...ownLoaders(site).flatMap((loader) =>
      bootLines(netboot, { bios: loader, uefi: loader }, [`tag:own-${loader}`], proxy),
    ),
  ];
  return `${lines.join("\n")}\n`;
}

/** Loaders that some node has in place of the site's. */
export function ownLoaders(site: Site): readonly Loader[] {
  return [...new Set(site.nodes.flatMap(({ netboot }) => netboot?.loader ?? []))].sort();
}

/** A node's own address for all of its cards in the management network: it boots with one of them at a time. */
function hostLines(node: Node, proxy: boolean): readonly string[] {
  const macs = node.netboot?.macs ?? [];
  const loader = node.netboot?.loader ?? null;
  const tags = loader === null ? [] : ["set:own", `set:own-${loader}`];
  const address = proxy || node.address === null ? [] : [node.address];
  if (macs.length === 0 || (tags.length === 0 && address.length === 0)) return [];
  return [`dhcp-host=${[...macs, ...tags, ...address].join(",")}`];
}

function bootLines(
  netboot: Netboot,
  loaders: Netboot["loaders"],
  condition: readonly string[],
  proxy: boolean,
): readonly string[] {
  const script = `${netboot.base}${loadersPath}boot.ipxe`;
  const lines: string[] = [];
  const boot = (tags: readonly string[], file: string): void => {
    lines.push(`dhcp-boot=${[...tags, file].join(",")}`);
  };
  for (const firmware of ["bios", "uefi"] as const) {
    const loader = loaders[firmware];
    if (loader === "pxelinux" && firmware === "uefi") continue;
    const tags = [`tag:${firmware}`, ...condition];
    const first = loader === "ipxe" ? [...tags, "tag:!ipxe"] : tags;
    if (loader === "ipxe") boot([...tags, "tag:ipxe"], script);
    if (proxy) {
      // By their names in dnsmasq: 0, 7 and 9.
      for (const system of firmware === "bios" ? ["x86PC"] : ["BC_EFI", "X86-64_EFI"])
        lines.push(
          `pxe-service=${[...condition, ...(loader === "ipxe" ? ["tag:!ipxe"] : []), system].join(",")},"seedsmith",${firstFile(loader, firmware)}`,
        );
      if (loader !== "ipxe") boot(tags, firstFile(loader, firmware));
    } else boot(first, firstFile(loader, firmware));
    if (loader === "pxelinux")
      lines.push(`dhcp-option-force=${tags.join(",")},${pathPrefixOption},${netboot.base}/pxelinux/`);
  }
  if (!proxy && loaders.uefi !== "pxelinux") {
    const tags = ["tag:http", ...condition];
    boot(tags, httpBootUrl(netboot, loaders.uefi));
    lines.push(`dhcp-option-force=${tags.join(",")},option:vendor-class,HTTPClient`);
  }
  return lines;
}

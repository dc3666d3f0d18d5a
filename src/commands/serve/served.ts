/** What a site's boot server serves: its seeds, and what its machines' loaders read. */
import { join } from "node:path";
import {
  grubEntry,
  grubRefusal,
  ipxeEntry,
  ipxeRefusal,
  pxelinuxEntry,
  pxelinuxRefusal,
} from "../../emit/netboot.ts";
import type { Netboot, Node, Site } from "../../resolve/model.ts";
import { type Identity, matchMachine } from "../../resolve/netboot.ts";
import type { Loader, Served, ServedNode } from "../../serve/server.ts";

/** Seconds for which a seed is given where the site says nothing. */
export const seedSecondsByDefault = 24 * 3600;

const entries = { ipxe: ipxeEntry, grub: grubEntry, pxelinux: pxelinuxEntry } as const;
const refusals = { ipxe: ipxeRefusal, grub: grubRefusal, pxelinux: pxelinuxRefusal } as const;

function servedNode(site: Site, node: Node): ServedNode {
  const onManagement = node.interfaces.get(site.management.name);
  return {
    name: node.name,
    macs: node.netboot?.macs ?? [],
    addresses: onManagement?.addresses.map(({ text }) => text) ?? [],
    installs: node.install !== null,
    installable: (node.netboot?.installer ?? null) !== null,
  };
}

/**
 * @param folder of the rendered site
 * @param tokens whether seeds are asked for by token
 */
export function servedSite(site: Site, netboot: Netboot, folder: string, tokens: boolean): Served {
  return {
    site: site.name,
    nodes: site.nodes.map((node) => servedNode(site, node)),
    seeds: folder,
    open: { assets: join(folder, "pxe", "assets"), loaders: join(folder, "pxe", "loaders") },
    match: (loader: Loader, asked: Identity) => {
      const found = matchMachine(site, asked);
      if (found.kind !== "node") return { node: null, text: () => refusals[loader](site, asked) };
      const { node } = found;
      return {
        node: node.name,
        text: (boot, token) => entries[loader](site, node, boot, token === null ? {} : { token }, asked.mac),
      };
    },
    seedSeconds: netboot.seedSeconds ?? seedSecondsByDefault,
    tokens,
  };
}

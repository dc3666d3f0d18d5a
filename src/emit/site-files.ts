/** Files that belong to the site as a whole: how its machines boot from the network. */
import type { Site } from "../resolve/model.ts";
import { dnsmasqConfig } from "./dnsmasq.ts";
import { keaConfig } from "./kea.ts";
import { type Artifact, artifact, Lines } from "./lines.ts";

/** @returns nothing where the site does not say how machines boot from the network */
export function siteFiles(site: Site): readonly Artifact[] {
  const { netboot } = site;
  if (netboot === null) return [];
  const file = (name: string, text: string | null): readonly Artifact[] =>
    text === null ? [] : [artifact(`pxe/${name}`, new Lines().add(text, netboot.from))];
  return [...file("dnsmasq.conf", dnsmasqConfig(site, null)), ...file("kea-dhcp4.conf", keaConfig(site))];
}

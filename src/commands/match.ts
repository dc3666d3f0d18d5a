/** `seedsmith match`: which node a machine is, and what it would boot from the network. */
import type { Problem } from "../core/problem.ts";
import { httpBootUrl, kernelLine, loaderOf, netBoot } from "../emit/netboot.ts";
import { parseMac } from "../resolve/address.ts";
import type { Node, Site } from "../resolve/model.ts";
import { type Identity, matchMachine } from "../resolve/netboot.ts";
import { uuidPattern } from "../validate/schema.ts";
import { type Choice, type Compiled, compile } from "./compile.ts";
import { noNetboot } from "./pxe.ts";

/** What was found, for programs. */
export interface Matched {
  readonly node: string;
  readonly by: readonly string[];
  /** What it boots as long as it has not reported installed; null for its disk. */
  readonly boots: { readonly kernel: string; readonly initrd: string; readonly arguments: string } | null;
  readonly loaders: { readonly [firmware: string]: string };
}

/**
 * Finds the node of a machine. Nobody, or marks of several nodes, are problems.
 * @throws LabError where the site has no netboot
 */
export async function match(
  choice: Choice,
  identity: Identity,
): Promise<{
  compiled: Compiled;
  problems: readonly Problem[];
  matched: Matched | null;
  text: string;
}> {
  const compiled = await compile(choice);
  const { site, problems } = compiled;
  const nothing = () => ({ compiled, problems: problems.list, matched: null, text: "" });
  if (site === null || problems.failed) return nothing();
  if (site.netboot === null) throw noNetboot(site.name);
  if (identity.mac !== undefined && parseMac(identity.mac) === null)
    problems.add({
      code: "bad-mac",
      at: null,
      message: `"${identity.mac}" is not the MAC address of a network card`,
      hint: "six pairs of hexadecimal digits, the second digit even",
    });
  if (identity.serial?.trim() === "")
    problems.add({
      code: "wrong-value",
      at: null,
      message: "a serial number has at least one character",
      hint: "dmidecode -s system-serial-number on the machine shows it",
    });
  if (identity.uuid !== undefined && !new RegExp(uuidPattern).test(identity.uuid))
    problems.add({
      code: "wrong-value",
      at: null,
      message: `"${identity.uuid}" is not a UUID`,
      hint: "as dmidecode -s system-uuid shows it: 4c4c4544-0032-3510-8054-b3c04f4d3732",
    });
  if (problems.failed) return nothing();
  const said = (["mac", "serial", "uuid"] as const)
    .filter((mark) => identity[mark] !== undefined)
    .map((mark) => `${mark} ${identity[mark]}`)
    .join(", ");
  const found = matchMachine(site, identity);
  if (found.kind === "nobody") {
    problems.add({
      code: "no-match",
      at: null,
      message: `no node of the site has ${said}: the machine is told so, and boots what its firmware boots next`,
      hint: "a node is known by the MAC addresses of its interfaces, and by netboot: { macs, serial, uuid }",
    });
    return nothing();
  }
  if (found.kind === "ambiguous") {
    problems.add({
      code: "no-match",
      at: null,
      message: `the machine would be ${found.nodes.map(({ node, by }) => `${node.name} (by its ${by})`).join(" and ")}: it is told that it is nobody`,
      hint: "one of them stands at the wrong node",
      also: found.nodes.flatMap(({ node, by }) =>
        node.netboot === null ? [] : [{ at: node.netboot.from, label: `${node.name}, by its ${by}` }],
      ),
    });
    return nothing();
  }
  const { node, by } = found;
  const matched = describe(site, node, by, identity.mac);
  return { compiled, problems: problems.list, matched, text: text(site, node, matched) };
}

function describe(site: Site, node: Node, by: readonly string[], mac: string | undefined): Matched {
  const { netboot } = site;
  const boot = netboot === null ? null : netBoot(netboot, node, {}, parseMac(mac ?? "") ?? undefined);
  const firmwares = node.firmware === null ? (["bios", "uefi"] as const) : [node.firmware];
  return {
    node: node.name,
    by,
    boots:
      boot === null
        ? null
        : { kernel: boot.kernel, initrd: boot.initrd, arguments: kernelLine(boot, "direct") },
    loaders:
      netboot === null
        ? {}
        : Object.fromEntries(firmwares.map((firmware) => [firmware, loaderOf(netboot, node, firmware)])),
  };
}

function text(site: Site, node: Node, { by, boots, loaders }: Matched): string {
  const { netboot } = site;
  const ways = Object.entries(loaders).map(([firmware, loader]) =>
    firmware === "uefi" && netboot !== null
      ? `${firmware} by ${loader} (by UEFI HTTP boot: ${httpBootUrl(netboot, loader as "grub" | "ipxe")})`
      : `${firmware} by ${loader}`,
  );
  const lines = [`${node.name}, by its ${by.join(", ")}`, `loader: ${ways.join("; ")}`];
  if (boots === null) lines.push(`boots its disk: netboot.installers has nothing for ${node.target.target}`);
  else
    lines.push(
      "boots, until it has reported installed:",
      `  kernel ${boots.kernel}`,
      `  initrd ${boots.initrd}`,
      `  with   ${boots.arguments}`,
      "and its disk after that, until seedsmith reinstall",
    );
  return `${lines.join("\n")}\n`;
}

/**
 * `seedsmith publish`: a copy of what is rendered for a web server's group. The paths below www/ are those that the boot
 * server answers; entries are files that say install, as a web server knows no states.
 */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import type { Problem } from "../core/problem.ts";
import { dnsmasqConfig } from "../emit/dnsmasq.ts";
import { keaConfig } from "../emit/kea.ts";
import {
  grubEntry,
  grubRefusal,
  ipxeEntry,
  ipxeRefusal,
  pxelinuxEntry,
  pxelinuxRefusal,
} from "../emit/netboot.ts";
import { nginxConfig, servedSeed } from "../emit/nginx.ts";
import { seedFiles } from "../emit/node.ts";
import { LabError } from "../lab/command.ts";
import type { Site } from "../resolve/model.ts";
import { type Choice, type Compiled, compile } from "./compile.ts";
import { missingAssets, pxeFolder, writeLoaderTexts } from "./pxe/assets.ts";
import { noNetboot } from "./pxe.ts";

/** Tells a copy of ours from other folders. */
const marker = ".seedsmith-published";

/** @throws LabError for what the host refuses, and for what is not rendered */
export async function publish(
  choice: Choice,
  out: string,
  to: string,
  group: string,
): Promise<{
  compiled: Compiled;
  problems: readonly Problem[];
  folder: string;
  files: number;
  text: string;
}> {
  const compiled = await compile(choice);
  const { site, problems } = compiled;
  const folder = resolve(choice.cwd, to);
  if (site === null || problems.failed)
    return { compiled, problems: problems.list, folder, files: 0, text: "" };
  const { netboot } = site;
  if (netboot === null) throw noNetboot(site.name);
  const from = join(resolve(choice.cwd, out), site.name);
  const gid = groupNamed(group);
  const unrendered = site.nodes.filter(
    (node) => !existsSync(join(from, node.name, servedSeed(node), "user-data")),
  );
  if (unrendered.length > 0)
    throw new LabError(
      `${unrendered.length} nodes have no seed in ${out}/${site.name}, such as ${unrendered[0]?.name}`,
      "seedsmith render",
    );
  writeLoaderTexts(netboot, from);
  const missing = missingAssets(site, from);
  if (missing.length > 0)
    throw new LabError(`missing in ${out}/${site.name}/pxe: ${missing.join(", ")}`, "seedsmith pxe assets");
  if (existsSync(folder) && !existsSync(join(folder, marker)) && readdirSync(folder).length > 0)
    throw new LabError(
      `${to} has files that publish did not put there`,
      "name a new folder, or an empty one: what is in it would be lost",
    );
  mkdirSync(dirname(folder), { recursive: true });
  const making = mkdtempSync(join(dirname(folder), `.${basename(folder)}-`));
  let files = 0;
  try {
    const put = (name: string, content: string | { readonly copy: string }): void => {
      const path = join(making, name);
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      if (typeof content === "string") writeFileSync(path, content, { mode: 0o600 });
      else copyFileSync(content.copy, path, constants.COPYFILE_FICLONE);
      files += 1;
    };
    fill(site, from, folder, put, group);
    put(marker, `${site.name}\n`);
    hand(making, gid, group);
    const old = `${making}.old`;
    if (existsSync(folder)) renameSync(folder, old);
    renameSync(making, folder);
    rmSync(old, { recursive: true, force: true });
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return {
    compiled,
    problems: problems.list,
    folder,
    files,
    text: `${files} files in ${to}, readable for the group ${group}: 0640, folders 0750\nnginx: include ${join(folder, "nginx.conf")}\nevery node's entry says install: after an installation replace it, or nodes install again at each boot from the network\n`,
  };
}

/** Everything of the copy; `folder` is where it will lie. */
function fill(
  site: Site,
  from: string,
  folder: string,
  put: (name: string, content: string | { readonly copy: string }) => void,
  group: string,
): void {
  for (const node of site.nodes) {
    const part = servedSeed(node);
    const given = part === "" ? seedFiles : ["user-data", "meta-data", "network-config", "vendor-data"];
    for (const file of given) {
      const source = join(from, node.name, part, file);
      // A client that asks for network-config or vendor-data and finds none asks again, some for minutes.
      put(`www/seed/${node.name}/${part}${file}`, existsSync(source) ? { copy: source } : "");
    }
    for (const mac of node.netboot?.macs ?? []) {
      const dashed = mac.replaceAll(":", "-");
      put(`www/ipxe/${dashed}`, ipxeEntry(site, node, "install", {}, mac));
      put(`www/grub/${mac}`, grubEntry(site, node, "install", {}, mac));
      put(`www/pxelinux/pxelinux.cfg/01-${dashed}`, pxelinuxEntry(site, node, "install", {}, mac));
    }
    const uuid = node.netboot?.uuid ?? null;
    if (uuid !== null) put(`www/pxelinux/pxelinux.cfg/${uuid}`, pxelinuxEntry(site, node, "install"));
  }
  put("www/refusals/ipxe", ipxeRefusal(site, {}));
  put("www/refusals/grub", grubRefusal(site, {}));
  put("www/pxelinux/pxelinux.cfg/default", pxelinuxRefusal(site, {}));
  for (const [name, path] of filesBelow(pxeFolder(from))) {
    if (!name.startsWith("loaders/") && !name.startsWith("assets/")) continue;
    put(`www/${name}`, { copy: path });
    if (/^loaders\/[^/]+\.(0|c32)$/.test(name))
      put(`www/pxelinux/${name.slice("loaders/".length)}`, { copy: path });
    if (name === "loaders/grub/grub.cfg") put("www/grub/grub.cfg", { copy: path });
  }
  const loaders = join(folder, "www", "loaders");
  for (const [name, text] of [
    ["nginx.conf", nginxConfig(site, join(folder, "www"))],
    ["dnsmasq.conf", dnsmasqConfig(site, loaders)],
    ["kea-dhcp4.conf", keaConfig(site)],
  ] as const)
    if (text !== null)
      put(name, name === "dnsmasq.conf" ? `${text}# May read the copy.\ngroup=${group}\n` : text);
}

/** Regular files below a folder, with their names from there. Links are not followed. */
function filesBelow(folder: string): readonly (readonly [string, string])[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .sort()
    .map((name) => [name, join(folder, name)] as const)
    .filter(([name, path]) => !/(^|\/)\./.test(name) && lstatSync(path).isFile());
}

/** Gives all of a folder to a group: readable, and not writable. */
function hand(folder: string, gid: number, group: string): void {
  const give = (path: string): void => {
    const isFolder = lstatSync(path).isDirectory();
    try {
      chownSync(path, process.getuid?.() ?? 0, gid);
    } catch (error) {
      throw new LabError(
        `the copy cannot be given to the group ${group}: ${(error as Error).message}`,
        "run it as root, or as a member of the group",
      );
    }
    chmodSync(path, isFolder ? 0o750 : 0o640);
    if (isFolder) for (const name of readdirSync(path)) give(join(path, name));
  };
  give(folder);
}

/** @throws LabError where there is no such group */
function groupNamed(name: string): number {
  let line: string | undefined;
  try {
    line = execFileSync("getent", ["group", name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    line = existsSync("/etc/group")
      ? readFileSync("/etc/group", "utf8")
          .split("\n")
          .find((one) => one.startsWith(`${name}:`))
      : undefined;
  }
  const gid = Number(line?.split(":")[2]);
  if (line === undefined || !Number.isInteger(gid))
    throw new LabError(`there is no group "${name}" here`, "nginx of Debian and Ubuntu runs as www-data");
  return gid;
}

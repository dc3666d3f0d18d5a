/** `seedsmith pxe assets`: loaders out of the distribution's packages, and what installers boot, by digest. */
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { ownLoaders } from "../../emit/dnsmasq.ts";
import { firstFile, grubConfig, grubOverHttp, ipxeScript } from "../../emit/netboot.ts";
import { LabError, must } from "../../lab/command.ts";
import { installed } from "../../lab/host.ts";
import { digestOfFile, fetchFile } from "../../lab/images/fetch.ts";
import { unpackPackages } from "../../lab/packages.ts";
import { toolEnvironment } from "../../lab/tools.ts";
import type { BootFile, Netboot, Site } from "../../resolve/model.ts";
import type { Firmware, Loader } from "../../validate/documents.ts";

/** A file of a package, and where it lies in the loaders' folder. Of several paths the first that is there. */
interface Part {
  readonly to: string;
  readonly from: string;
  readonly paths: readonly string[];
}

/** Debian's and Ubuntu's packages; the names are what firmware and loaders ask for. */
const parts: { readonly [way: string]: readonly Part[] } = {
  "ipxe bios": [{ to: "undionly.kpxe", from: "ipxe", paths: ["usr/lib/ipxe/undionly.kpxe"] }],
  "ipxe uefi": [
    { to: "snponly.efi", from: "ipxe", paths: ["usr/lib/ipxe/snponly.efi", "usr/lib/ipxe/ipxe.efi"] },
  ],
  "grub uefi": [
    // shim asks for grubx64.efi in the folder that it came from.
    {
      to: "bootx64.efi",
      from: "shim-signed",
      paths: ["usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/shimx64.efi.signed.latest"],
    },
    {
      to: "grubx64.efi",
      from: "grub-efi-amd64-signed",
      paths: ["usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"],
    },
    // Debian's signed GRUB has no HTTP in it, and fetches this by TFTP. Under Secure Boot it may not.
    {
      to: "grub/x86_64-efi/http.mod",
      from: "grub-efi-amd64-bin",
      paths: ["usr/lib/grub/x86_64-efi/http.mod"],
    },
  ],
  "pxelinux bios": [
    { to: "lpxelinux.0", from: "pxelinux", paths: ["usr/lib/PXELINUX/lpxelinux.0"] },
    { to: "ldlinux.c32", from: "syslinux-common", paths: ["usr/lib/syslinux/modules/bios/ldlinux.c32"] },
  ],
};

/** A GRUB that is in no package, put together so that it asks the server for nothing but its configuration. */
interface MadeGrub {
  readonly to: string;
  readonly format: string;
  /** The package with its modules, and where they lie in it. */
  readonly from: string;
  readonly modules: string;
  readonly prefix: string;
  /** What only this one needs. */
  readonly own: readonly string[];
}

const grubModules = [
  ...["chain", "configfile", "echo", "http", "linux", "minicmd", "normal", "part_gpt", "part_msdos"],
  ...["search", "sleep", "test"],
];

const madeGrubs: { readonly [way: string]: MadeGrub } = {
  "grub bios": {
    to: firstFile("grub", "bios"),
    format: "i386-pc-pxe",
    from: "grub-pc-bin",
    modules: "usr/lib/grub/i386-pc",
    prefix: "(tftp)/grub",
    own: ["biosdisk", "pxe", "tftp"],
  },
  // For UEFI HTTP boot: the signed one cannot load its module for HTTP over HTTP.
  "grub uefi": {
    to: grubOverHttp,
    format: "x86_64-efi",
    from: "grub-efi-amd64-bin",
    modules: "usr/lib/grub/x86_64-efi",
    prefix: "(http)/loaders/grub",
    own: ["efinet", "fat"],
  },
};

/** Loaders and firmwares that machines of a site boot with; any machine may come, so both firmwares. */
function ways(site: Site, netboot: Netboot): readonly (readonly [Loader, Firmware])[] {
  const all: [Loader, Firmware][] = [
    [netboot.loaders.bios, "bios"],
    [netboot.loaders.uefi, "uefi"],
  ];
  for (const loader of ownLoaders(site))
    for (const node of site.nodes)
      if (node.netboot?.loader === loader && node.firmware !== null) all.push([loader, node.firmware]);
  return [...new Map(all.map((way) => [way.join(" "), way])).values()].filter(
    ([loader, firmware]) => !(loader === "pxelinux" && firmware === "uefi"),
  );
}

/** The folder of what every machine may read. */
export function pxeFolder(siteFolder: string): string {
  return join(siteFolder, "pxe");
}

/** The files in the loaders' folder that depend on the site alone: machines read them without a word of who they are. */
function loaderTexts(netboot: Netboot): readonly (readonly [string, string])[] {
  return [
    ["boot.ipxe", ipxeScript(netboot)],
    ["grub/grub.cfg", grubConfig(netboot)],
  ];
}

/** Writes what of the loaders' folder is text, where it differs. They are for everybody: TFTP servers want that. */
export function writeLoaderTexts(netboot: Netboot, siteFolder: string): void {
  for (const [name, text] of loaderTexts(netboot)) {
    const path = join(pxeFolder(siteFolder), "loaders", name);
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.new`, text);
    chmodSync(`${path}.new`, 0o644);
    renameSync(`${path}.new`, path);
  }
}

/** The installers that some node boots. */
function installersOf(site: Site) {
  return [...new Set(site.nodes.flatMap(({ netboot }) => netboot?.installer ?? []))];
}

function filesOf(site: Site): readonly { readonly target: string; readonly file: BootFile }[] {
  return installersOf(site).flatMap(({ target, kernel, initrd, image }) =>
    [kernel, initrd, ...(image === null ? [] : [image])].map((file) => ({ target, file })),
  );
}

function grubsOf(way: string): readonly MadeGrub[] {
  const made = madeGrubs[way];
  return made === undefined ? [] : [made];
}

/** What machines of a site would ask for in vain, as paths below its pxe folder. */
export function missingAssets(site: Site, siteFolder: string): readonly string[] {
  const { netboot } = site;
  if (netboot === null) return [];
  const wanted = [
    ...ways(site, netboot).flatMap(([loader, firmware]) => [
      `loaders/${firstFile(loader, firmware)}`,
      ...[...(parts[`${loader} ${firmware}`] ?? []), ...grubsOf(`${loader} ${firmware}`)].map(
        ({ to }) => `loaders/${to}`,
      ),
    ]),
    ...filesOf(site).map(({ target, file }) => `assets/${target}/${file.name}`),
  ];
  return [...new Set(wanted)].filter((path) => !existsSync(join(pxeFolder(siteFolder), path)));
}

/** An asset as it came. */
export interface Asset {
  /** Below the site's pxe folder. */
  readonly path: string;
  /** A package, a URL or a file. */
  readonly from: string;
  readonly change: "created" | "same";
}

/**
 * Brings what machines of a site boot into its output folder.
 * @param workspace the folder of the site, which files here are named from
 * @throws LabError for what cannot be had
 */
export async function bringAssets(
  site: Site,
  netboot: Netboot,
  workspace: string,
  siteFolder: string,
  cache: string,
  progress: (line: string) => void,
): Promise<readonly Asset[]> {
  const folder = pxeFolder(siteFolder);
  const made: Asset[] = [];
  const needed = ways(site, netboot).map((way) => way.join(" "));
  const wanted = needed.flatMap((way) => parts[way] ?? []);
  const grubs = needed.flatMap(grubsOf);
  const packages = await unpackPackages(
    [
      ...new Set([
        ...[...wanted, ...grubs].map(({ from }) => from),
        ...(grubs.length > 0 ? ["grub-common"] : []),
      ]),
    ],
    cache,
    progress,
  );
  for (const { to, from, paths } of wanted) {
    const found = paths.map((path) => join(packages.get(from) ?? "", path)).find(existsSync);
    if (found === undefined)
      throw new LabError(`the package ${from} has no ${paths[0]} here`, "is its release an older one?");
    made.push(await copy(found, folder, `loaders/${to}`, from, null));
  }
  for (const grub of grubs) made.push(await makeGrub(grub, packages, folder));
  writeLoaderTexts(netboot, siteFolder);
  for (const { target, file } of filesOf(site)) {
    const path = `assets/${target}/${file.name}`;
    made.push(
      file.source.kind === "file"
        ? await copy(resolve(workspace, file.source.file), folder, path, file.source.file, file.sha256)
        : await fetchAsset(file.source.url, file.sha256 ?? "", folder, path, { progress }),
    );
  }
  return made;
}

/** The files of the site's own that installers are to boot and that are not there, and where the site names them. */
export function missingFiles(
  site: Site,
  workspace: string,
): readonly { readonly file: string; readonly from: BootFile["from"] }[] {
  return filesOf(site).flatMap(({ file: { source, from } }) =>
    source.kind === "file" && !existsSync(resolve(workspace, source.file))
      ? [{ file: source.file, from }]
      : [],
  );
}

/**
 * Fetches a file of an installer, unless it is there already.
 * @param sha256 what it must have
 * @param path below the site's pxe folder
 * @throws LabError when it cannot be had, or is another one
 */
export async function fetchAsset(
  url: string,
  sha256: string,
  folder: string,
  path: string,
  options: Parameters<typeof fetchFile>[3] = {},
): Promise<Asset> {
  const place = join(folder, path);
  if (existsSync(place)) {
    options.progress?.(`checking ${path}`);
    if ((await digestOfFile(place, "sha256")) === sha256) return { path, from: url, change: "same" };
  }
  mkdirSync(dirname(place), { recursive: true });
  options.progress?.(`fetching ${url}`);
  await fetchFile(url, { algorithm: "sha256", hex: sha256 }, place, options);
  return { path, from: url, change: "created" };
}

async function copy(
  from: string,
  folder: string,
  path: string,
  source: string,
  sha256: string | null,
): Promise<Asset> {
  const digest = await digestOfFile(from, "sha256");
  if (sha256 !== null && digest !== sha256)
    throw new LabError(
      `${source} is not what the site says: its sha256 is ${digest}, and must be ${sha256}`,
      "look whether it is the right version",
    );
  const place = join(folder, path);
  if (existsSync(place) && (await digestOfFile(place, "sha256")) === digest)
    return { path, from: source, change: "same" };
  mkdirSync(dirname(place), { recursive: true });
  copyFileSync(from, `${place}.new`, constants.COPYFILE_FICLONE);
  chmodSync(`${place}.new`, 0o644);
  renameSync(`${place}.new`, place);
  return { path, from: source, change: "created" };
}

async function makeGrub(
  grub: MadeGrub,
  packages: ReadonlyMap<string, string>,
  folder: string,
): Promise<Asset> {
  const modules = join(packages.get(grub.from) ?? "", grub.modules);
  const env = toolEnvironment();
  const tool = installed("grub-mkimage", env.PATH ?? "")
    ? "grub-mkimage"
    : join(packages.get("grub-common") ?? "", "usr/bin/grub-mkimage");
  const path = `loaders/${grub.to}`;
  const place = join(folder, path);
  mkdirSync(dirname(place), { recursive: true });
  try {
    const how = ["-d", modules, "-O", grub.format, "-o", `${place}.new`, "-p", grub.prefix];
    await must([tool, ...how, ...grubModules, ...grub.own], { env });
    chmodSync(`${place}.new`, 0o644);
    const same = existsSync(place) && readFileSync(place).equals(readFileSync(`${place}.new`));
    renameSync(`${place}.new`, place);
    return { path, from: grub.from, change: same ? "same" : "created" };
  } catch (error) {
    rmSync(`${place}.new`, { force: true });
    throw error;
  }
}

/**
 * What boot loaders read: an entry for a node, by loader, and what a machine that is no node is told. All are made
 * from one description of what is booted; each loader has its own way to quote it.
 */
import type { Problem } from "../core/problem.ts";
import type { BootFile, Netboot, Node, Site } from "../resolve/model.ts";
import type { Identity } from "../resolve/netboot.ts";
import type { Loader } from "../validate/documents.ts";
import { autoinstallFolder } from "./autoinstall.ts";

/** What a node is told to boot: its installer, or its own disk. */
export type Answer = "install" | "local";

export interface EntryOptions {
  /** What the server wants to see before it gives a seed: a part of the seed's and the report's path. */
  readonly token?: string;
}

/** What is booted over the network. */
export interface NetBoot {
  /** URLs. */
  readonly kernel: string;
  readonly initrd: string;
  /** Words of the kernel's command line, without those that a loader adds. */
  readonly words: readonly string[];
}

/**
 * How long the command line may be in characters: Linux's COMMAND_LINE_SIZE on x86 and arm64 is 2048 with the byte
 * that ends it, which is also what its header tells loaders (cmdline_size, 2047). Loaders cut off what is more, or the
 * kernel does, without a word.
 */
export const kernelLineLimit = 2047;

/** The URL of a file of the site's assets. */
function assetUrl(netboot: Netboot, target: string, { name }: BootFile): string {
  return `${netboot.base}/assets/${target}/${name}`;
}

/** The folder of a node's seed on the server, with a slash at the end, upon which cloud-init pastes names of files. */
export function seedUrl(netboot: Netboot, node: Node, { token }: EntryOptions = {}): string {
  const folder = token === undefined ? node.name : `${node.name}/${token}`;
  return `${netboot.base}/seed/${folder}/${node.install === null ? "" : `${autoinstallFolder}/`}`;
}

/** Where what happens to a node is told. */
export function reportUrl(netboot: Netboot, node: string, { token }: EntryOptions = {}): string {
  return `${netboot.base}/report/${node}${token === undefined ? "" : `/${token}`}`;
}

/**
 * What a node boots to be installed.
 * @param mac the card that it booted from, if it is known: the installer's network comes up on it
 * @returns null where no installer is known for its target
 */
export function netBoot(
  netboot: Netboot,
  node: Node,
  options: EntryOptions = {},
  mac: string | undefined = node.netboot?.macs[0],
): NetBoot | null {
  const installer = node.netboot?.installer ?? null;
  if (installer === null) return null;
  const { target, image } = installer;
  const boot = {
    kernel: assetUrl(netboot, target, installer.kernel),
    initrd: assetUrl(netboot, target, installer.initrd),
  };
  const seed = seedUrl(netboot, node, options);
  const common = ["ip=dhcp", ...(mac === undefined ? [] : [`BOOTIF=01-${dashed(mac)}`])];
  const url = image === null ? [] : [`url=${assetUrl(netboot, target, image)}`];
  const words =
    node.install === null
      ? [
          ...common,
          ...url,
          `ds=nocloud;s=${seed}`,
          `seedsmith.report=${reportUrl(netboot, node.name, options)}`,
        ]
      : [
          // The live server lies in memory, as an image in an image.
          ...["root=/dev/ram0", "ramdisk_size=1500000", ...common, ...url],
          // cloud-init would take url= for its own and fetch the ISO image as its configuration.
          "cloud-config-url=/dev/null",
          "autoinstall",
          // 22.04's first media know HTTP only by the old name; the later ones and 24.04 know both.
          `ds=${node.install.release === "22.04" ? "nocloud-net" : "nocloud"};s=${seed}`,
        ];
  return { ...boot, words: [...words, ...installer.arguments, ...consoleWords(node)] };
}

/** The installer speaks where the installed system will. */
function consoleWords(node: Node): readonly string[] {
  return node.console.map((one) => `console=${one}`);
}

function dashed(mac: string): string {
  return mac.replaceAll(":", "-");
}

/** The command line as a loader hands it to the kernel, with what that loader adds. */
export function kernelLine(boot: NetBoot, loader: Loader | "direct"): string {
  const words = boot.words.join(" ");
  switch (loader) {
    case "ipxe":
      return `${basename(boot.kernel)} initrd=${basename(boot.initrd)} ${words}`;
    case "grub":
      return `BOOT_IMAGE=${grubPath(boot.kernel)} ${words}`;
    case "pxelinux":
      return `BOOT_IMAGE=${boot.kernel} initrd=${boot.initrd} ${words}`;
    case "direct":
      return words;
  }
}

/** Command lines that would be cut off, at the place that has the words of one's own. */
export function kernelLineProblems(site: Site): readonly Problem[] {
  const { netboot } = site;
  if (netboot === null) return [];
  const problems: Problem[] = [];
  for (const node of site.nodes) {
    // The longest token that a server hands out.
    const boot = netBoot(netboot, node, { token: "0".repeat(tokenLength) });
    if (boot === null || node.netboot?.installer == null) continue;
    const loaders = node.netboot.loader === null ? Object.values(netboot.loaders) : [node.netboot.loader];
    const length = Math.max(...loaders.map((loader) => kernelLine(boot, loader).length));
    if (length > kernelLineLimit)
      problems.push({
        code: "bad-netboot",
        at: node.netboot.installer.from,
        message: `the kernel's command line of ${node.name} would have ${length} characters, and the kernel reads ${kernelLineLimit}`,
        hint: "what is more would be cut off without a word: take out arguments, or shorten names",
      });
  }
  return problems;
}

/** Characters that are reckoned with for a token in URLs. */
export const tokenLength = 64;

function basename(url: string): string {
  return url.slice(url.lastIndexOf("/") + 1);
}

/** The loader that a node gets on a firmware. */
export function loaderOf(netboot: Netboot, node: Node, firmware: "bios" | "uefi"): Loader {
  return node.netboot?.loader ?? netboot.loaders[firmware];
}

// Quoting

/** iPXE splits at blanks, and knows neither quotes nor an escape; a semicolon inside of a word is a semicolon. */
function ipxeLine(words: readonly string[]): string {
  return words.join(" ");
}

/** In GRUB a semicolon ends a statement, and `$`, braces, `*` and more are its shell's. */
export function grubWord(word: string): string {
  return /^[A-Za-z0-9_.,:/=+@%-]+$/.test(word) ? word : `'${word}'`;
}

/** `http://host:port/path` as GRUB writes it. */
function grubPath(url: string): string {
  const { host, path } = parts(url);
  return `(http,${host})${path}`;
}

function parts(url: string): { readonly host: string; readonly path: string } {
  const match = /^http:\/\/([^/]+)(\/.*)$/.exec(url);
  if (match === null) throw new Error(`not a URL of the boot server: ${url}`);
  return { host: match[1] ?? "", path: match[2] ?? "" };
}

/** PXELINUX takes the rest of the line as it is. */
function pxelinuxLine(words: readonly string[]): string {
  return words.join(" ");
}

// Entries

const title = (site: Site, node: Node, answer: Answer): string =>
  answer === "install"
    ? `seedsmith: ${site.name}: installing ${node.name}`
    : `seedsmith: ${site.name}: ${node.name} boots its disk`;

/** What is booted, or null for the disk. */
function bootOf(site: Site, node: Node, answer: Answer, options: EntryOptions, mac?: string): NetBoot | null {
  if (answer === "local" || site.netboot === null) return null;
  return netBoot(site.netboot, node, options, mac);
}

/**
 * What iPXE is told by GET /ipxe/MAC. UEFI takes it for success when iPXE ends with `exit`, and shows its menu then; after
 * `exit 1` it boots what is next.
 */
export function ipxeEntry(
  site: Site,
  node: Node,
  answer: Answer,
  options: EntryOptions = {},
  mac?: string,
): string {
  const boot = bootOf(site, node, answer, options, mac);
  if (boot === null)
    return `#!ipxe
echo ${title(site, node, "local")}
iseq \${platform} efi && exit 1 ||
sanboot --no-describe --drive 0x80 || exit
`;
  return `#!ipxe
echo ${title(site, node, "install")}
kernel ${boot.kernel} ${ipxeLine([`initrd=${basename(boot.initrd)}`, ...boot.words])}
initrd ${boot.initrd}
boot
`;
}

/** What iPXE is told on a machine that is no node: it goes on with what its firmware boots next. */
export function ipxeRefusal(site: Site, identity: Identity): string {
  return `#!ipxe
echo ${refusal(site, identity)}
echo seedsmith: going on with what the firmware boots next
sleep 10
exit 1
`;
}

/** What GRUB is told by GET /grub/MAC, on either firmware. */
export function grubEntry(
  site: Site,
  node: Node,
  answer: Answer,
  options: EntryOptions = {},
  mac?: string,
): string {
  const boot = bootOf(site, node, answer, options, mac);
  if (boot === null) return `echo '${title(site, node, "local")}'\n${grubLocal(node)}`;
  return `echo '${title(site, node, "install")}'
linux ${grubPath(boot.kernel)} ${boot.words.map(grubWord).join(" ")}
initrd ${grubPath(boot.initrd)}
boot
`;
}

/**
 * The disk from GRUB. Firmware takes it for success when a UEFI program ends, and may show its menu then, so the
 * disk's own loader is started; where there is none, the firmware goes on.
 */
function grubLocal(node: Node): string {
  const { family } = node.target;
  return `if [ "$grub_platform" = efi ]; then
  for loader in /EFI/${family}/shimx64.efi /EFI/BOOT/BOOTX64.EFI; do
    if search --no-floppy --set=root --file $loader; then
      chainloader $loader
      boot
    fi
  done
else
  insmod biosdisk
  insmod chain
  set root=(hd0)
  chainloader +1
  boot
fi
exit 1
`;
}

export function grubRefusal(site: Site, identity: Identity): string {
  return `echo '${refusal(site, identity)}'
echo 'seedsmith: going on with what the firmware boots next'
sleep 10
exit 1
`;
}

/** What PXELINUX is told by GET /pxelinux/pxelinux.cfg/01-MAC. */
export function pxelinuxEntry(
  site: Site,
  node: Node,
  answer: Answer,
  options: EntryOptions = {},
  mac?: string,
): string {
  const boot = bootOf(site, node, answer, options, mac);
  const head = `DEFAULT seedsmith
PROMPT 0
SAY ${title(site, node, boot === null ? "local" : "install")}
LABEL seedsmith
`;
  if (boot === null) return `${head}  LOCALBOOT 0\n`;
  return `${head}  KERNEL ${boot.kernel}
  INITRD ${boot.initrd}
  APPEND ${pxelinuxLine(boot.words)}
`;
}

export function pxelinuxRefusal(site: Site, identity: Identity): string {
  return `DEFAULT seedsmith
PROMPT 0
TIMEOUT 100
SAY ${refusal(site, identity)}
LABEL seedsmith
  LOCALBOOT 0
`;
}

/** Shown on the machine's screen, so that whoever stands there knows what to write into the site. */
function refusal(site: Site, identity: Identity): string {
  const marks = (["mac", "serial", "uuid"] as const)
    .filter((mark) => identity[mark] !== undefined)
    .map((mark) => `${mark} ${plain(identity[mark] ?? "")}`);
  const who = marks.length === 0 ? "this machine" : `the machine with ${marks.join(", ")}`;
  return `seedsmith: ${who} is no node of the site ${site.name}`;
}

/** A machine's own words, which a loader must not read as its language. */
function plain(text: string): string {
  return text.replace(/[^A-Za-z0-9.:_-]+/g, "_").slice(0, 64);
}

/** The command line of a kernel that something else loads, such as qemu's -kernel or kexec. */
export function directKernel(
  site: Site,
  node: Node,
  options: EntryOptions = {},
): { readonly kernel: string; readonly initrd: string; readonly append: string } | null {
  const boot = bootOf(site, node, "install", options);
  return boot === null
    ? null
    : { kernel: boot.kernel, initrd: boot.initrd, append: kernelLine(boot, "direct") };
}

// Files that do not depend on who asks

/** Where the TFTP root's files are on the HTTP server. */
export const loadersPath = "/loaders/";

/** The first script of iPXE, wherever it was loaded from. */
export function ipxeScript(netboot: Netboot): string {
  return `#!ipxe
chain --replace ${netboot.base}/ipxe/\${netX/mac:hexhyp}?uuid=\${uuid}&serial=\${serial:uristring} ||
echo seedsmith: ${netboot.base} does not answer
sleep 10
exit 1
`;
}

/** grub/grub.cfg: what GRUB reads first, by TFTP or HTTP. */
export function grubConfig(netboot: Netboot): string {
  const { host } = parts(`${netboot.base}/`);
  return `# Each machine gets an entry of its own, by the MAC address of the card that it booted from.
insmod http
configfile (http,${host})/grub/$net_default_mac
echo 'seedsmith: ${netboot.base} does not answer'
sleep 10
exit 1
`;
}

/**
 * GRUB for UEFI HTTP boot, below the TFTP root. Not shim: the GRUB that it would fetch has no HTTP in it, and cannot load
 * that over HTTP.
 */
export const grubOverHttp = "grubhttpx64.efi";

/** The URL that firmware with UEFI HTTP boot is given. */
export function httpBootUrl(netboot: Netboot, loader: Loader = netboot.loaders.uefi): string {
  const file = loader === "grub" ? grubOverHttp : firstFile(loader, "uefi");
  return `${netboot.base}${loadersPath}${file}`;
}

/** The file that firmware is given first, below the TFTP root. */
export function firstFile(loader: Loader, firmware: "bios" | "uefi"): string {
  switch (loader) {
    case "ipxe":
      return firmware === "bios" ? "undionly.kpxe" : "snponly.efi";
    case "grub":
      return firmware === "bios" ? "grub/i386-pc/core.0" : "bootx64.efi";
    case "pxelinux":
      return "lpxelinux.0";
  }
}

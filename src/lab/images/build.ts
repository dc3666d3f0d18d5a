/**
 * Builds a bootable image from the distribution's packages, for where no host with images is reachable. Needs
 * neither a loop device nor a mount, and no root: mmdebstrap makes the root in a user namespace, mkfs.ext4
 * fills a file system from a folder, mtools fill the ESP, and what must see a disk runs on the image's own
 * kernel.
 */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { machineApt } from "../apt-sources.ts";
import { LabError, must, run } from "../command.ts";
import { tethered } from "../tether.ts";
import { missingTools, toolEnvironment } from "../tools.ts";
import { alone } from "./claim.ts";
import {
  capabilitiesPath,
  espGrub,
  finishCommand,
  finishedWord,
  finishPath,
  finishScript,
  fstab,
  type ImageRecipe,
  identifiers,
  imageRecipe,
  layout,
  mke2fsConfiguration,
  partitionTable,
  recipeKey,
} from "./recipe.ts";
import { buildLock, type Image, imageByKey, imagesFolder, placeImage } from "./store.ts";

/** What is built with, and the Debian package of each. */
const tools: Readonly<Record<string, string>> = {
  mmdebstrap: "mmdebstrap",
  sfdisk: "fdisk",
  "mkfs.ext4": "e2fsprogs",
  mformat: "mtools",
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-img": "qemu-utils",
};

/** Tools of whoever is not root. */
const rootlessTools: Readonly<Record<string, string>> = { fakeroot: "fakeroot", newuidmap: "uidmap" };

/** A release that can be built. */
export interface BuildTarget {
  /** Such as `debian-12`. */
  readonly name: string;
  readonly family: string;
  /** Such as `bookworm`. */
  readonly codename: string;
}

export interface BuildOptions {
  readonly cache: string;
  /** Told what is going on, a line at a time. */
  readonly progress?: (line: string) => void;
}

/**
 * Why an image of a target cannot be built here.
 * @returns a LabError with a hint, or null when nothing is known to be in the way
 */
export async function buildObstacle(target: BuildTarget): Promise<LabError | null> {
  if (target.family !== "debian")
    return new LabError(
      `an image of ${target.name} cannot be built: that is there for Debian's releases only`,
    );
  if (process.platform !== "linux" || process.arch !== "x64")
    return new LabError("images are built on Linux on x86-64", `seedsmith lab images fetch ${target.name}`);
  const missing = missingTools({ ...tools, ...(process.getuid?.() === 0 ? {} : rootlessTools) });
  if (missing !== null) return new LabError(`an image cannot be built: ${missing.message}`, missing.hint);
  try {
    await machineApt(target.codename);
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    return error;
  }
  return null;
}

/**
 * Gives the image of a target, building it when the cache has none of its recipe: a few minutes. While another process
 * builds it, that one's is waited for.
 * @throws LabError when this machine cannot build it, or the build fails
 */
export async function buildImage(target: BuildTarget, options: BuildOptions): Promise<Image> {
  const obstacle = await buildObstacle(target);
  if (obstacle !== null) throw obstacle;
  const recipe = imageRecipe(await machineApt(target.codename), target.name, target.codename);
  const key = recipeKey(recipe);
  const { cache, progress = () => {} } = options;
  const there = () => imageByKey(cache, target.name, key);
  const found = there();
  if (found !== null) return found;
  requireSpace(cache);
  mkdirSync(imagesFolder(cache), { recursive: true });
  return await alone(
    buildLock(cache, target.name, key),
    there,
    () =>
      placeImage(
        cache,
        { target: target.name, key, origin: { kind: "built", key }, format: "qcow2", file: "disk.qcow2" },
        (folder) => make(recipe, key, folder, progress),
      ),
    (pid) => progress(`process ${pid} builds the image of ${target.name}: waiting for it`),
  );
}

/** MiB that a build takes at its fullest, and its image in the end less than half of. */
const spaceNeeded = 3000;

/** @throws LabError when the cache's disk has no room for a build */
function requireSpace(cache: string): void {
  mkdirSync(cache, { recursive: true });
  const { bavail, bsize } = statfsSync(cache);
  const free = Math.floor((bavail * bsize) / 2 ** 20);
  if (free >= spaceNeeded) return;
  throw new LabError(
    `building an image takes ${spaceNeeded} MiB, and the disk of ${cache} has ${free} MiB free`,
    "make room, or set SEEDSMITH_CACHE to a folder on another disk",
  );
}

async function make(
  recipe: ImageRecipe,
  key: string,
  folder: string,
  progress: (line: string) => void,
): Promise<void> {
  const ids = identifiers(key);
  const work = join(folder, "work");
  mkdirSync(work, { mode: 0o755 });
  const at = (name: string) => join(work, name);
  writeFileSync(join(folder, "recipe.json"), `${JSON.stringify(recipe, null, 2)}\n`);

  await bootstrap(recipe, at("root.tar"), progress);

  progress("writing the file systems");
  const disk = at("disk.raw");
  writeFileSync(disk, "");
  truncateSync(disk, layout.disk);
  await must(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk], {
    stdin: partitionTable(ids),
    env: toolEnvironment(),
  });
  for (const [path, text] of Object.entries({ ...recipe.files, "/etc/fstab": fstab(ids) })) {
    mkdirSync(dirname(join(at("files"), path)), { recursive: true });
    writeFileSync(join(at("files"), path), text);
  }
  writeFileSync(join(at("files"), finishPath), finishScript);
  chmodSync(join(at("files"), finishPath), 0o755);
  writeFileSync(at("mke2fs.conf"), mke2fsConfiguration);
  writeFileSync(at("fill"), fillScript);
  const fill = [
    ...(process.getuid?.() === 0 ? [] : ["fakeroot", "--"]),
    ...["sh", "-eu", at("fill"), work, disk, ids.root],
    ...[String(layout.root.start * 512), `${layout.root.size / 2}k`],
  ];
  await must(tethered(fill, true), {
    timeout: 1800,
    env: { ...toolEnvironment(), MKE2FS_CONFIG: at("mke2fs.conf") },
  });
  await fillEsp(ids.esp, espGrub(ids), disk, work);

  progress("installing GRUB on the image's own kernel");
  const log = at("finish.log");
  await must(tethered(finishCommand(disk, at("vmlinuz"), at("initrd.img"), log)), { timeout: 900 });
  const said = (await must(["cat", log])).replaceAll("\r", "");
  if (!said.includes(finishedWord)) {
    const end = said.trimEnd().split("\n").slice(-15).join("\n");
    throw new LabError(`the image of ${recipe.target} does not come to an end of its build:\n${end}`);
  }
  const convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, join(folder, "disk.qcow2")];
  await must(tethered(convert), { timeout: 900 });
  // With these it can be started without its boot loader, as to find out whether KVM works.
  for (const name of ["vmlinuz", "initrd.img"]) copyFileSync(at(name), join(folder, name));
  rmSync(work, { recursive: true, force: true });
}

async function bootstrap(recipe: ImageRecipe, tar: string, progress: (line: string) => void): Promise<void> {
  const argv = [
    "mmdebstrap",
    // Root where we are, else a user namespace, else fakechroot.
    "--mode=auto",
    "--variant=apt",
    "--format=tar",
    "--dpkgopt=force-unsafe-io",
    `--include=${recipe.packages.join(",")}`,
    `--customize-hook=chroot "$1" systemctl enable ${recipe.enable.join(" ")}`,
    `--customize-hook=chroot "$1" getcap -r /usr >"$1${capabilitiesPath}"`,
    ...recipe.settings.map((line) => `--aptopt=${line.replace(/;$/, "")}`),
    ...[recipe.release, tar, "-"],
  ];
  try {
    await must(tethered(argv, true), {
      stdin: recipe.sources,
      timeout: 3600,
      // What a killed build leaves is then swept with the rest. Who is not root has another user write it, who must get there.
      ...(process.getuid?.() === 0 ? { env: { ...process.env, TMPDIR: dirname(tar) } } : {}),
      onLine: (line) => {
        if (line.startsWith("I: ")) progress(line.slice(3));
      },
    });
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    throw new LabError(
      `the root of the image cannot be made: ${error.message}`,
      "is the package archive reachable? try apt-get update",
    );
  }
}

/**
 * Unpacks the root and makes a file system of it. One process tree, so that under fakeroot owners and modes are
 * remembered from the one to the other. Devices are left out: the kernel makes them.
 */
const fillScript = `work=$1 disk=$2 uuid=$3 offset=$4 size=$5
mkdir -p "$work/root"
tar -xf "$work/root.tar" -C "$work/root" --numeric-owner --exclude='./dev/*'
rm "$work/root.tar"
cd "$work/root"
rm -f etc/apt/sources.list etc/apt/sources.list.d/* etc/ssh/ssh_host_* etc/resolv.conf var/lib/systemd/random-seed
ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
cp -R --no-preserve=ownership "$work/files/." .
mkdir -p boot/efi
for name in vmlinuz initrd.img; do cp -L "$name" "$work/$name"; done
cp usr/lib/shim/shimx64.efi.signed "$work/shim"
cp usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed "$work/grub"
chmod 0644 "$work/vmlinuz" "$work/initrd.img"
mkfs.ext4 -q -F -L root -U "$uuid" -E "offset=$offset,hash_seed=$uuid" -d . "$disk" "$size"
cd /
rm -rf "$work/root"
`;

/** Makes the ESP: the removable path for firmware without settings, and the distribution's own. */
async function fillEsp(serial: string, grub: string, disk: string, work: string): Promise<void> {
  const at = `${disk}@@${layout.esp.start * 512}`;
  const env = { ...toolEnvironment(), MTOOLS_SKIP_CHECK: "1", MTOOLSRC: "/dev/null" };
  const size = ["-T", String(layout.esp.size), "-h", "16", "-s", "63"];
  await must(["mformat", "-i", at, "-F", "-c", "1", ...size, "-N", serial, "-v", "UEFI", "::"], { env });
  // mformat leaves a partition table in the boot sector, and GRUB would look for partitions in the partition.
  const file = openSync(disk, "r+");
  writeSync(file, Buffer.alloc(64), 0, 64, layout.esp.start * 512 + 446);
  closeSync(file);
  await must(["mmd", "-i", at, "::/EFI", "::/EFI/BOOT", "::/EFI/debian"], { env });
  writeFileSync(join(work, "grub.cfg"), grub);
  for (const [name, path] of [
    ["shim", "EFI/BOOT/BOOTX64.EFI"],
    ["grub", "EFI/BOOT/grubx64.efi"],
    ["shim", "EFI/debian/shimx64.efi"],
    ["grub", "EFI/debian/grubx64.efi"],
    // The signed GRUB reads this one, wherever it was started from.
    ["grub.cfg", "EFI/debian/grub.cfg"],
  ] as const)
    await must(["mcopy", "-i", at, join(work, name), `::/${path}`], { env });
}

/**
 * Looks whether a file is an image of that format, where there is qemu to tell.
 * @throws LabError when it is not
 */
export async function checkDisk(disk: string, format: "qcow2" | "raw"): Promise<void> {
  // An image may be fetched for another machine, on one without qemu: its digest was right.
  if (missingTools({ "qemu-img": "qemu-utils" }) !== null) return;
  const info = await run(["qemu-img", "info", "--output=json", "-f", format, disk]);
  if (info.status !== 0) throw new LabError(`${disk} is no ${format} image: ${info.stderr.trim()}`);
}

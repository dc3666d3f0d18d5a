/**
 * Base roots: the file system that machines share read-only below their own overlay.
 *
 * Built with mmdebstrap from the machine's own apt configuration, once, and kept in the cache under a digest
 * of everything that went into it. It stands in for the official cloud image: the packages below are those of
 * a Debian cloud image that a first boot depends on, without kernel and boot loader.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { arch } from "node:os";
import { dirname, join } from "node:path";
import { type AptConfiguration, machineApt, toDeb822 } from "./apt-sources.ts";
import { cloudFiles, cloudPackages, cloudUnits } from "./cloud-image.ts";
import { LabError, must } from "./command.ts";
import { processStart, requireHost } from "./host.ts";
import { tethered } from "./tether.ts";
import { removeTree } from "./tree.ts";

/** What is installed on top of a cloud image, without recommends; it may replace packages of the image. */
export interface Added {
  readonly packages: readonly string[];
  /** Units of these packages that no boot starts by itself. */
  readonly disable: readonly string[];
}

/** A base root in the cache. */
export interface BaseRoot {
  /** The folder that holds the root file system. Nothing may write below it. */
  readonly path: string;
  /** Digest of the recipe; another recipe never has the same path. */
  readonly key: string;
  readonly release: string;
  readonly architecture: string;
}

export interface BaseRootOptions {
  /** Cache folder. */
  readonly cache: string;
  /** Code name of the Debian release. */
  readonly release?: string;
  /** What it has beyond a cloud image; nothing unless told. */
  readonly added?: Added;
  /** Told what is going on while it builds, a line at a time. */
  readonly progress?: (line: string) => void;
}

/**
 * netplan matches an interface by its permanent address, and the kernel gives a veth none (only what a driver
 * read from hardware counts). So in the lab networkd is told to compare the current address instead, and only
 * with veths: a bridge or VLAN on top of one has the same address and must not match. What the seed says and
 * what netplan makes of it stays as on metal.
 */
const matchCurrentAddress = `[Service]
ExecStartPre=-+/bin/sh -c "find /run/systemd/network -name '*.network' -exec sed -i 's/^PermanentMACAddress=/Kind=veth\\\\nMACAddress=/' {} + 2>/dev/null"
`;

interface Recipe {
  /** Raise when the code below makes a different root from the same recipe. */
  readonly format: 2;
  readonly release: string;
  readonly architecture: string;
  readonly packages: readonly string[];
  readonly added?: Added;
  readonly sources: string;
  /** Written into the finished root. */
  readonly files: Readonly<Record<string, string>>;
  /** Run inside the root at the end of the build. */
  readonly enable: readonly string[];
}

/** Releases in which systemd itself brings what is a package of its own in later ones. */
const withResolved: readonly string[] = ["jammy"];

function recipe(apt: AptConfiguration, release: string, added: Added | undefined): Recipe {
  return {
    format: 2,
    release,
    architecture: arch(),
    packages: cloudPackages.filter((name) => name !== "systemd-resolved" || !withResolved.includes(release)),
    ...(added === undefined ? {} : { added }),
    sources: toDeb822(apt.sources),
    files: {
      ...cloudFiles(apt, release),
      "/etc/systemd/system/systemd-networkd.service.d/50-lab.conf": matchCurrentAddress,
    },
    enable: cloudUnits,
  };
}

/** Removes what builds left behind whose process is gone. @param cache the cache folder */
export async function sweepBuilds(cache: string): Promise<void> {
  const folder = join(cache, "roots");
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const pid = /^\.building-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && processStart(Number(pid)) === null) await removeTree(join(folder, name));
  }
}

/**
 * Gives the base root, building it when the cache has none of this recipe (a minute or so).
 * @throws LabError when this machine cannot build it: not root, no mmdebstrap, no apt source of the release
 */
export async function baseRoot(options: BaseRootOptions): Promise<BaseRoot> {
  const release = options.release ?? "bookworm";
  const apt = await machineApt(release);
  const made = recipe(apt, release, options.added);
  const key = createHash("sha256")
    .update(JSON.stringify([made, apt.settings]))
    .digest("hex")
    .slice(0, 16);
  const folder = join(options.cache, "roots");
  const home = join(folder, `debian-${release}-${key}`);
  const found: BaseRoot = { path: join(home, "root"), key, release, architecture: made.architecture };
  if (existsSync(home)) return found;

  requireHost({ mmdebstrap: "mmdebstrap" });
  mkdirSync(folder, { recursive: true });
  await sweepBuilds(options.cache);
  const building = join(folder, `.building-${process.pid}-${randomBytes(3).toString("hex")}`);
  const root = join(building, "root");
  mkdirSync(building, { mode: 0o755 });
  try {
    await bootstrap(made, apt, root, options.progress);
    finish(made, apt, root);
    writeFileSync(join(building, "recipe.json"), `${JSON.stringify(made, null, 2)}\n`);
    try {
      renameSync(building, home);
    } catch (error) {
      // Somebody else built the same one meanwhile.
      if (!existsSync(home)) throw error;
    }
  } finally {
    if (existsSync(building)) await removeTree(building);
  }
  return found;
}

async function bootstrap(
  made: Recipe,
  apt: AptConfiguration,
  root: string,
  progress?: (line: string) => void,
): Promise<void> {
  const enable = `chroot "$1" systemctl enable ${made.enable.join(" ")}`;
  const argv = [
    "mmdebstrap",
    "--mode=root",
    "--variant=apt",
    `--include=${made.packages.join(",")}`,
    `--customize-hook=${enable}`,
  ];
  if (made.added !== undefined) {
    const { packages, disable } = made.added;
    // Not among those that are included: apt is then asked for all at once, and refuses what replaces one of the image.
    const install = `apt-get --yes --no-install-recommends -oDPkg::Chroot-Directory="$1" install ${packages.join(" ")}`;
    argv.push(`--customize-hook=APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" ${install}`);
    argv.push(`--customize-hook=chroot "$1" systemctl disable ${disable.join(" ")}`);
  }
  for (const line of apt.settings) argv.push(`--aptopt=${line.replace(/;$/, "")}`);
  try {
    // No process and no mount of a build outlives this one.
    await must(tethered([...argv, made.release, root, "-"], true), {
      stdin: made.sources,
      timeout: 1800,
      onLine: (line) => {
        if (line.startsWith("I: ")) progress?.(line.slice(3));
      },
    });
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    throw new LabError(
      `the base root cannot be built: ${error.message}`,
      "is the package archive reachable? try apt-get update",
    );
  }
}

function finish(made: Recipe, apt: AptConfiguration, root: string): void {
  // mmdebstrap names the same sources its own way; apt complains about entries that stand twice.
  const sources = join(root, "etc/apt/sources.list.d");
  for (const name of readdirSync(sources)) rmSync(join(sources, name));
  for (const [path, text] of Object.entries(made.files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  for (const source of apt.sources) {
    for (const key of (source.options["Signed-By"] ?? "").split(/\s+/)) {
      if (!key.startsWith("/") || existsSync(join(root, key))) continue;
      mkdirSync(dirname(join(root, key)), { recursive: true });
      copyFileSync(key, join(root, key));
      chmodSync(join(root, key), 0o644);
    }
  }
}

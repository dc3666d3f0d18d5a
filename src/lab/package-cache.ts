/**
 * Downloaded Debian packages, kept between machines. Machines never share a live folder, for apt locks it:
 * each gets hard links of its own, and hands back what it has fetched when it is off.
 */
import { randomBytes } from "node:crypto";
import { copyFileSync, existsSync, linkSync, mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

/** Where apt keeps what it has downloaded; only whole and checked files, unfinished ones lie in `partial/`. */
const archives = "var/cache/apt/archives";

function link(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    copyFileSync(from, to);
  }
}

/** The number of the file system that a path is on, or will be once it is made. */
function deviceOf(path: string): number {
  for (let at = path; ; at = dirname(at)) {
    try {
      return statSync(at).dev;
    } catch (error) {
      if (at === dirname(at)) throw error;
    }
  }
}

/**
 * Whether kept packages are copied into machines, as a link cannot lead from one file system into another.
 * @param cache what labs share
 * @param folder where machines are, or will be
 */
export function copiesPackages(cache: string, folder: string): boolean {
  return deviceOf(cache) !== deviceOf(folder);
}

/** MiB that all kept packages of a folder take. */
export function sizeOfPackages(cache: string): number {
  return Math.round(debs(cache).reduce((sum, name) => sum + statSync(join(cache, name)).size, 0) / 2 ** 20);
}

function debs(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".deb")) : [];
}

/**
 * Puts all cached packages into a machine that is off.
 * @param upper the writable layer of its root
 * @returns how many
 */
export function offerPackages(cache: string, upper: string): number {
  const found = debs(cache);
  if (found.length === 0) return 0;
  const target = join(upper, archives);
  mkdirSync(target, { recursive: true, mode: 0o755 });
  for (const name of found) if (!existsSync(join(target, name))) link(join(cache, name), join(target, name));
  return found.length;
}

/**
 * Takes over what a machine has downloaded. A file that several machines hand in at once is whole all the same.
 * @returns how many were new
 */
export function keepPackages(cache: string, upper: string): number {
  const source = join(upper, archives);
  mkdirSync(cache, { recursive: true });
  let count = 0;
  for (const name of debs(source)) {
    if (existsSync(join(cache, name))) continue;
    const passing = join(cache, `.${name}.${randomBytes(4).toString("hex")}`);
    link(join(source, name), passing);
    renameSync(passing, join(cache, name));
    count += 1;
  }
  return count;
}

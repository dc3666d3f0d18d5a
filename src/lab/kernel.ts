/** What this host's kernel has, for machines that have no kernel of their own. */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

/** Where a kernel tells of itself. */
export interface KernelFiles {
  /** `/sys/module`: a folder for each module that is loaded. */
  readonly loaded: string;
  /** `/lib/modules/<release>`: what could be loaded, and what is built in. */
  readonly modules: string;
  /** `/proc/config.gz`: what it was built with. */
  readonly config: string;
}

const own = (): KernelFiles => ({
  loaded: "/sys/module",
  modules: join("/lib/modules", release()),
  config: "/proc/config.gz",
});

/** Dashes and underscores are one in names of modules. */
const plain = (name: string): string => name.replaceAll("-", "_");

/**
 * Whether a kernel has a module: loaded, built in, or there to be loaded.
 * @returns null where it does not tell
 */
export function kernelHas(module: string, files: KernelFiles = own()): boolean | null {
  const name = plain(module);
  if (existsSync(join(files.loaded, name))) return true;
  let told = false;
  for (const list of ["modules.dep", "modules.builtin"]) {
    let text: string;
    try {
      text = readFileSync(join(files.modules, list), "utf8");
    } catch {
      continue;
    }
    told = true;
    for (const [, found = ""] of text.matchAll(/([^/\s]+)\.ko(?:\.\w+)?(?::.*)?$/gm))
      if (plain(found) === name) return true;
  }
  if (told) return false;
  try {
    const config = gunzipSync(readFileSync(files.config)).toString("utf8");
    const option = `CONFIG_${name.toUpperCase()}`;
    if (new RegExp(`^${option}=y$`, "m").test(config)) return true;
    // As a module it would have to be in a folder that is not there.
    return new RegExp(`^(?:# ${option} is not set|${option}=m)$`, "m").test(config) ? false : null;
  } catch {
    return null;
  }
}

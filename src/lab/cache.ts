/** Where labs keep what they share: base roots, images, packages. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** `SEEDSMITH_CACHE`, else `seedsmith` in the user's cache folder. */
export function labCache(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment.SEEDSMITH_CACHE) return resolve(environment.SEEDSMITH_CACHE);
  return join(environment.XDG_CACHE_HOME || join(homedir(), ".cache"), "seedsmith");
}

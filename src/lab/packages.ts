/** Files out of the distribution's packages, without installing them. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { LabError, must } from "./command.ts";
import { missingTools, toolEnvironment } from "./tools.ts";

/**
 * Unpacks the newest version of some of Debian's or Ubuntu's packages, as this machine's apt knows it.
 * @param cache where what was unpacked is kept, by the package's name, version and architecture
 * @returns the folder that each package's files lie in, by its name
 * @throws LabError where there is no apt, or it does not find a package
 */
export async function unpackPackages(
  names: readonly string[],
  cache: string,
  progress: (line: string) => void = () => {},
): Promise<ReadonlyMap<string, string>> {
  const missing = missingTools({ "apt-get": "apt", "dpkg-deb": "dpkg" });
  if (missing !== null)
    throw new LabError(
      `packages of the distribution cannot be had: ${missing.message}`,
      "run it on Debian or Ubuntu, once; what it writes can be copied",
    );
  const home = join(cache, "unpacked");
  mkdirSync(home, { recursive: true });
  const found = new Map<string, string>();
  for (const name of names) {
    const folder = join(home, await versionOf(name));
    if (!existsSync(folder)) {
      progress(`fetching ${name}`);
      const making = mkdtempSync(join(home, ".making-"));
      try {
        await must(["apt-get", "download", "-qq", name], {
          cwd: making,
          timeout: 600,
          env: toolEnvironment(),
        });
        const file = readdirSync(making).find((one) => one.endsWith(".deb"));
        if (file === undefined) throw new LabError(`apt-get downloaded nothing for ${name}`);
        await must(["dpkg-deb", "-x", join(making, file), join(making, "files")]);
        renameSync(join(making, "files"), folder);
      } catch (error) {
        // Somebody else has unpacked it meanwhile.
        if (!existsSync(folder)) throw error;
      } finally {
        rmSync(making, { recursive: true, force: true });
      }
    }
    found.set(name, folder);
  }
  return found;
}

/** A package's name with the version that apt would install, as one word. */
async function versionOf(name: string): Promise<string> {
  const policy = await must(["apt-cache", "policy", name], { env: { ...toolEnvironment(), LC_ALL: "C" } });
  const version = /^ +Candidate: (\S+)$/m.exec(policy)?.[1];
  if (version === undefined || version === "(none)")
    throw new LabError(
      `apt knows no package ${name}`,
      "apt-get update; the package is in Debian's main archive",
    );
  return `${name}_${version.replaceAll(/[^A-Za-z0-9.+~-]/g, "_")}`;
}

/** Which tools are missing, and the package that brings them. */
import { delimiter } from "node:path";
import type { Obstacle } from "./driver.ts";
import { installed } from "./host.ts";

/** The environment of this process, with tools for administrators in PATH: not every user has them there. */
export function toolEnvironment(): NodeJS.ProcessEnv {
  const path = (process.env.PATH ?? "").split(delimiter);
  const more = ["/usr/local/sbin", "/usr/sbin", "/sbin"].filter((folder) => !path.includes(folder));
  return { ...process.env, PATH: [...path, ...more].join(delimiter) };
}

/**
 * @param tools programs, and the Debian package of each
 * @returns what is missing, or null
 */
export function missingTools(tools: Readonly<Record<string, string>>): Obstacle | null {
  const { PATH: path = "" } = toolEnvironment();
  const missing = Object.keys(tools).filter((tool) => !installed(tool, path));
  if (missing.length === 0) return null;
  const packages = [...new Set(missing.map((tool) => tools[tool]))].join(" ");
  return {
    message: `missing: ${missing.join(", ")}`,
    hint:
      process.platform === "darwin" ? "brew install qemu mtools e2fsprogs" : `apt-get install ${packages}`,
  };
}

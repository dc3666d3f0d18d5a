/** The command line's program for tests that run it as a process: starting it from sources costs half a second each time. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..", "..");

export interface Program {
  readonly path: string;
  readonly remove: () => void;
}

/**
 * Bundles a program of the repository, as its sources are now, into a file in a folder of its own. It believes to be
 * its source file, so it finds the package where that is, and not what the package's build made.
 * @param entry path of the program's source below the repository
 */
export async function bundled(entry: string): Promise<Program> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-program-"));
  const path = join(folder, "program.cjs");
  await build({
    entryPoints: [join(root, entry)],
    outfile: path,
    bundle: true,
    format: "cjs",
    platform: "node",
    target: "node20",
    define: { "import.meta.url": JSON.stringify(pathToFileURL(join(root, entry)).href) },
    logLevel: "warning",
  });
  return { path, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

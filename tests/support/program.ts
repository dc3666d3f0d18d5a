/** Programs for tests that run them as processes: starting one from sources costs half a second each time. */
import { type ChildProcessByStdio, execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..", "..");

export interface Program {
  readonly path: string;
  readonly remove: () => void;
}

/** How a program ended, and what it said. */
export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Waits for a program's end. */
export function outcomeOf(child: ChildProcessByStdio<null, Readable, Readable>): Promise<Outcome> {
  return new Promise((done) => {
    let out = "";
    let err = "";
    child.stdout.on("data", (data: Buffer) => {
      out += data.toString();
    });
    child.stderr.on("data", (data: Buffer) => {
      err += data.toString();
    });
    child.on("close", (code) => done({ code, out, err }));
  });
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

/**
 * The package as it would be installed, in a folder of its own: the program as the package's build makes it, from the
 * sources as they are now, and with it the compiled library, which reading again takes a second each time.
 */
export function built(): Program {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-package-"));
  const { files } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { files: string[] };
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  for (const name of [...files, "node_modules"])
    if (name !== "dist") symlinkSync(join(root, name), join(folder, name), "junction");
  execFileSync(process.execPath, [join(root, "scripts", "build.mjs"), join(folder, "dist")]);
  return {
    path: join(folder, "dist", "cli.js"),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

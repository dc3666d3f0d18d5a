// Builds dist/: the bundled program, and the built-in library compiled to JSON. Runs on `npm ci` (prepare).
// Plain JavaScript, as nothing can run TypeScript before esbuild is there.
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = join(root, "dist");
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });

await build({
  entryPoints: { cli: join(root, "src/cli.ts"), index: join(root, "src/index.ts") },
  outdir: dist,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  chunkNames: "chunks/[name]-[hash]",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "linked",
  banner: {
    js: "import{createRequire as seedsmithRequire}from'node:module';const require=seedsmithRequire(import.meta.url);",
  },
  logLevel: "warning",
});
chmodSync(join(dist, "cli.js"), 0o755);

// Compile the library with the code just built; any problem in it fails the build.
const { compileLibrary } = await import(pathToFileURL(join(dist, "index.js")).href);
const { library, report } = await compileLibrary(root);
if (report !== "") {
  console.error(report);
  process.exit(1);
}
const files = {};
for (const entry of readdirSync(join(root, "templates"), { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || entry.name === "component.yaml" || entry.name.endsWith(".md")) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  files[relative(root, path).split("\\").join("/")] = readFileSync(path, "utf8");
}
writeFileSync(join(dist, "library.json"), JSON.stringify({ ...library, files }));

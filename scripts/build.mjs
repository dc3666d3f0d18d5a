// `node scripts/build.mjs [FOLDER]`: builds dist/, or FOLDER: the bundled program, and the built-in library compiled to
// JSON. Runs on `npm ci` (prepare). Plain JavaScript, as nothing can run TypeScript before esbuild is there.
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const dist = resolve(process.argv[2] ?? join(root, "dist"));
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });

// CommonJS, as Node starts it faster than modules, and as V8 can keep what it compiled of a script.
writeFileSync(join(dist, "package.json"), '{ "type": "commonjs" }\n');
const bundle = (name, entry, more) =>
  build({
    entryPoints: { [name]: join(root, entry) },
    outdir: dist,
    bundle: true,
    format: "cjs",
    platform: "node",
    target: "node20",
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "linked",
    supported: { "dynamic-import": false },
    define: { "import.meta.url": "seedsmithUrl" },
    logLevel: "warning",
    ...more,
  });
const url = { js: 'const seedsmithUrl=require("node:url").pathToFileURL(__filename).href;' };
await bundle("index", "src/index.ts", { banner: url });
// Labs and the boot server are programs of their own, which the command line loads when they are asked for: they and
// their libraries are as large as all the rest, and a render should not pay for reading them.
await bundle("lab", "src/commands/lab.ts", { banner: url });
await bundle("serve", "src/commands/serve.ts", { banner: url });
const programsApart = {
  name: "programs-apart",
  setup(build) {
    build.onResolve({ filter: /^\.\/commands\/(?:lab|serve)\.ts$/ }, ({ kind, path }) =>
      kind === "dynamic-import"
        ? { path: path.replace(/^.*\/(.*)\.ts$/, "./$1.js"), external: true }
        : undefined,
    );
  },
};
// The keeper of a lab's machine: a process for each, so it should be small.
await bundle("keep", "src/lab/keep.ts", { banner: url });
await bundle("program", "src/cli.ts", {
  plugins: [programsApart],
  banner: { js: "(function(require,module,seedsmithUrl){" },
  footer: { js: "})" },
});
// The code cache only saves time: V8 refuses one that another version made, and compiles the program.
const start = `"use strict";
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { Script } = require("node:vm");
const filename = join(__dirname, "program.js");
let cachedData;
try {
  cachedData = readFileSync(join(__dirname, "program.cache"));
} catch {}
const script = new Script(readFileSync(filename, "utf8"), { filename, cachedData });
script.runInThisContext()(require, module, require("node:url").pathToFileURL(__filename).href);
`;
writeFileSync(join(dist, "cli.js"), `#!/usr/bin/env node\n${start}`);
chmodSync(join(dist, "cli.js"), 0o755);

// Compile the library with the code just built; any problem in it fails the build.
const { compileLibrary, readyMadeSource } = await import(pathToFileURL(join(dist, "index.js")).href);
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
// Whether a document fits its schema, as code: compiling the schemas takes longer than a small site's check.
await build({
  stdin: { contents: readyMadeSource(), resolveDir: root },
  outfile: join(dist, "schemas.js"),
  bundle: true,
  platform: "node",
  target: "node20",
  minify: true,
  logLevel: "warning",
});

// Run the program once, so that the cache holds what a render needs. V8 takes a cache only under the settings that it
// was made with, and the program is read before a render changes any: here it changes none.
const warm = mkdtempSync(join(tmpdir(), "seedsmith-build-"));
const maker = join(dist, "make-cache.js");
writeFileSync(
  maker,
  `require("node:v8").setFlagsFromString = () => {};
${start}process.on("exit", () => {
  require("node:fs").writeFileSync(join(__dirname, "program.cache"), script.createCachedData());
});
`,
);
spawnSync(process.execPath, [maker, "render"], { cwd: warm, stdio: "ignore" });
writeFileSync(
  maker,
  start.replace(/^script\.run.*/m, "process.exitCode = script.cachedDataRejected === false ? 0 : 1;"),
);
if (spawnSync(process.execPath, [maker]).status !== 0) {
  console.error("build: V8 does not take the cache that it made of the program");
  process.exit(1);
}
rmSync(maker);
rmSync(warm, { recursive: true, force: true });

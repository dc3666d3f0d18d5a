import { readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import * as assert from "uvu/assert";
import { listFiles, root } from "./support/build-site.ts";
import { suite } from "./support/suite.ts";

/** docs/architecture.md: each folder of src/ imports only from those before it. */
const folders = [
  "core",
  "load",
  "validate",
  "resolve",
  "plan",
  "emit",
  "verify",
  "write",
  "lab",
  "serve",
  "commands",
];
/** cli.ts and index.ts stand above all folders. */
const rank = (file: string): number => {
  const folder = file.split("/")[0] ?? "";
  return file.includes("/") ? folders.indexOf(folder) : folders.length;
};

interface Import {
  readonly from: string;
  readonly line: number;
  readonly to: string;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, "src", file), "utf8");
  return [...text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)"([^"]+)"/g)].map((match) => ({
    from: file,
    line: text.slice(0, match.index).split("\n").length,
    to: match[1] ?? "",
  }));
}

const files = listFiles(join(root, "src")).filter((file) => file.endsWith(".ts"));
const imports = files.flatMap(importsOf);
const inside = imports
  .filter(({ to }) => to.startsWith("."))
  .map((one) => ({ ...one, to: posix.join(dirname(one.from), one.to) }));

suite("architecture", (test) => {
  test("every folder of src/ has a place in the order", () => {
    assert.equal(
      files.filter((file) => rank(file) < 0),
      [],
    );
    assert.ok(inside.length > 50);
  });

  test("a folder imports only from folders before it, and from itself", () => {
    const wrong = inside
      .filter(({ from, to }) => rank(to) < 0 || rank(to) > rank(from))
      .map(({ from, line, to }) => `src/${from}:${line} imports src/${to}`);
    assert.equal(wrong, []);
  });

  test("modules do not import each other in a circle", () => {
    const graph = new Map<string, string[]>();
    for (const { from, to } of inside) graph.set(from, [...(graph.get(from) ?? []), to]);
    const done = new Set<string>();
    const visit = (file: string, chain: readonly string[]): void => {
      assert.not.ok(chain.includes(file), `circle: ${[...chain, file].join(" -> ")}`);
      if (done.has(file)) return;
      for (const next of graph.get(file) ?? []) visit(next, [...chain, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
  });

  test("everything from load to emit is pure but load: no disk, clock, chance or environment", () => {
    const pure = ["core", "validate", "resolve", "plan", "emit"];
    // Compression, and loading a large package only when it is needed.
    const harmless = ["node:zlib", "node:module"];
    const wrong: string[] = [];
    for (const file of files.filter((one) => pure.includes(one.split("/")[0] ?? ""))) {
      for (const { to, line } of imports.filter(({ from }) => from === file)) {
        if (to.startsWith("node:") && !harmless.includes(to)) wrong.push(`src/${file}:${line} imports ${to}`);
      }
      const text = readFileSync(join(root, "src", file), "utf8");
      for (const word of ["Date.now", "new Date(", "Math.random", "process.", "toLocale", "localeCompare"]) {
        if (text.includes(word)) wrong.push(`src/${file} uses ${word}`);
      }
    }
    assert.equal(wrong, []);
  });

  test("only the modules that read or write YAML, templates and shapes know those packages", () => {
    const allowed: Record<string, readonly string[]> = {
      yaml: ["load/yaml.ts", "emit/yaml.ts"],
      mustache: ["resolve/template.ts"],
      ajv: ["validate/validate.ts", "validate/ready-made.ts"],
      unixcrypt: ["write/secret-store.ts"],
    };
    const wrong = imports
      .filter(({ from, to }) => allowed[to] !== undefined && !allowed[to]?.includes(from))
      .map(({ from, line, to }) => `src/${from}:${line} imports ${to}`);
    assert.equal(wrong, []);
  });
});

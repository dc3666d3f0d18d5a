import { createRequire } from "node:module";
import { join } from "node:path";
import { Script } from "node:vm";
import fc from "fast-check";
import * as assert from "uvu/assert";
import { Problems } from "../../src/core/problem.ts";
import { readLibrary, readText } from "../../src/load/library.ts";
import type { Data, Loaded } from "../../src/load/marks.ts";
import { loadYaml } from "../../src/load/yaml.ts";
import { readyMadeSource } from "../../src/validate/ready-made.ts";
import type { Kind } from "../../src/validate/schema.ts";
import { validate } from "../../src/validate/validate.ts";
import { root } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

type ReadyMade = { readonly [kind in Kind]: (value: unknown) => boolean };

function load(source: string): ReadyMade {
  const module = { exports: {} };
  const run = new Script(`(function (module, exports, require) {${source}\n})`).runInThisContext() as (
    ...parts: unknown[]
  ) => void;
  run(module, module.exports, createRequire(import.meta.url));
  return module.exports as ReadyMade;
}

/** The value with something done to what stands at a path, which wraps around where the value is smaller. */
function changed(value: Data, path: readonly number[], change: (part: Data) => Data): Data {
  const [step, ...rest] = path;
  if (step === undefined || value === null || typeof value !== "object") return change(value);
  const keys = Object.keys(value);
  if (keys.length === 0) return change(value);
  const key = keys[step % keys.length] as string;
  const inner = changed((value as Record<string, Data>)[key] as Data, rest, change);
  return Array.isArray(value)
    ? value.map((item: Data, index) => (String(index) === key ? inner : item))
    : { ...value, [key]: inner };
}

const changes: readonly ((part: Data) => Data)[] = [
  (part) => part,
  () => null,
  () => "",
  () => "some text",
  () => 7,
  () => true,
  () => [],
  () => ({}),
  (part) => [part],
  (part) => ({ use: part, "no such key": part }),
  (part) =>
    part !== null && typeof part === "object" && !Array.isArray(part) ? { ...part, extra: 1 } : "{{x}}",
  (part) =>
    part !== null && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).slice(1))
      : -1.5,
];

suite("validate/ready-made", (test) => {
  test("a document fits the code made of its schema exactly when nothing is wrong with it", () => {
    const fits = load(readyMadeSource());
    const problems = new Problems();
    const documents: { readonly kind: Kind; readonly loaded: Loaded }[] = [
      ...readLibrary(root, root, loadYaml, problems),
    ];
    for (const name of ["example", "pxe", "storage", "three-controllers"]) {
      const shown = `sites/${name}/site.yaml`;
      const loaded = loadYaml(shown, readText(join(root, shown), shown, problems) ?? "", problems);
      if (loaded !== null) documents.push({ kind: "site", loaded });
    }
    assert.is(problems.list.length, 0);
    for (const { kind, loaded } of documents) assert.is(fits[kind](loaded.value), true, loaded.file);
    const seen = { right: 0, wrong: 0 };
    fc.assert(
      fc.property(
        fc.constantFrom(...documents),
        fc.array(fc.nat(40), { minLength: 1, maxLength: 6 }),
        fc.constantFrom(...changes),
        ({ kind, loaded }, path, change) => {
          const value = changed(loaded.value, path, change);
          const found = new Problems();
          validate(kind, { ...loaded, value }, found);
          const right = fits[kind](value);
          assert.is(right, found.list.length === 0, `${loaded.file}: ${found.list[0]?.message}`);
          seen[right ? "right" : "wrong"] += 1;
        },
      ),
      { numRuns: 3000, seed: 7 },
    );
    assert.ok(seen.right > 300 && seen.wrong > 300, JSON.stringify(seen));
  });
});

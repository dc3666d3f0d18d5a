import * as assert from "uvu/assert";
import { Problems } from "../../src/core/problem.ts";
import { type Loaded, positionOf } from "../../src/load/marks.ts";
import { loadYaml } from "../../src/load/yaml.ts";
import { suite } from "../support/suite.ts";

function load(text: string): { loaded: Loaded | null; codes: string[] } {
  const problems = new Problems();
  const loaded = loadYaml("a.yaml", text, problems);
  return { loaded, codes: problems.list.map(({ code, at }) => `${code} ${at?.line}:${at?.column}`) };
}

suite("YAML with positions", (test) => {
  test("keys and values know where they stand", () => {
    const { loaded } = load("a: 1\nb:\n  - { c: x }\n  - |\n    text\n");
    const at = (path: (string | number)[], part?: "key"): string => {
      const { line, column } = positionOf(loaded as Loaded, path, part);
      return `${line}:${column}`;
    };
    assert.is(at(["a"], "key"), "1:1");
    assert.is(at(["a"]), "1:4");
    assert.is(at(["b", 0, "c"], "key"), "3:7");
    assert.is(at(["b", 0, "c"]), "3:10");
    assert.is(at(["b", 1]), "4:5");
    assert.is(at(["b", 7, "nothing"]), "3:3", "the deepest part that exists");
  });

  test("values are those of YAML 1.2", () => {
    const { loaded } = load('a: yes\nb: 0o17\nc: 010\nd: "1"\ne: ~\nf: 1_000\ng: 12:30:45\nh: .inf\n');
    assert.equal(loaded?.value, {
      a: "yes",
      b: 15,
      c: 10,
      d: "1",
      e: null,
      f: "1_000",
      g: "12:30:45",
      h: ".inf",
    });
  });

  test("aliases are values, up to a point, and end where they would expand without end", () => {
    assert.equal(load("a: &x { b: 1 }\nc: *x\n").loaded?.value, { a: { b: 1 }, c: { b: 1 } });
    let bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (let n = 1; n < 30; n++) bomb += `a${n}: &a${n} [${`*a${n - 1}, `.repeat(10)}]\n`;
    assert.match(load(bomb).codes.join(), /^yaml-alias/);
    assert.match(load("a: &a [*a]\n").codes.join(), "yaml-alias 1:8");
  });

  test("a key named __proto__ is data", () => {
    const { loaded } = load("__proto__: { x: 1 }\nconstructor: 2\n");
    assert.equal(Object.keys(loaded?.value as object), ["__proto__", "constructor"]);
    assert.is(({} as { x?: number }).x, undefined);
  });

  test("every mistake of a file is reported in one go", () => {
    assert.equal(load("a: 1\na: 2\nb: 3\nb: 4\n").codes, [
      "yaml-duplicate-key 2:1",
      "yaml-duplicate-key 4:1",
    ]);
  });

  test("line ends of Windows are fine", () => {
    assert.equal(load("a: 1\r\nb: x\r\n").loaded?.value, { a: 1, b: "x" });
  });

  test("duplicates that are spelt differently are duplicates", () => {
    assert.equal(load('a: 1\n"a": 2\n').codes, ["yaml-duplicate-key 2:1"]);
  });
});

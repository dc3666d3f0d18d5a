import fc from "fast-check";
import mustache from "mustache";
import * as assert from "uvu/assert";
import { Problems } from "../../src/core/problem.ts";
import { fill, type Value } from "../../src/core/text.ts";
import { plainTokens, render, type Scope } from "../../src/resolve/template.ts";
import { suite } from "../support/suite.ts";

const scalar = fc.oneof(
  fc.string({ unit: fc.constantFrom(..."ab<&\"' \n"), maxLength: 5 }),
  fc.integer({ min: -2, max: 3 }),
  fc.boolean(),
);
/** Every name that a generated template may use exists, so that strictness has nothing to say. */
const scope: fc.Arbitrary<Scope> = fc.record({
  word: scalar,
  flag: fc.boolean(),
  count: fc.integer({ min: 0, max: 2 }),
  list: fc.array(scalar, { maxLength: 3 }),
  items: fc.array(fc.record({ name: scalar, first: fc.boolean(), at: fc.integer({ min: 0, max: 2 }) }), {
    maxLength: 3,
  }),
  map: fc.record({ key: scalar, deep: fc.record({ er: scalar }) }),
}) as never;

const { template } = fc.letrec<{ template: string }>((tie) => {
  const inner = tie("template") as fc.Arbitrary<string>;
  const section = (name: string) => inner.map((text) => `{{#${name}}}${text}{{/${name}}}`);
  const inverted = (name: string) => inner.map((text) => `{{^${name}}}${text}{{/${name}}}`);
  const alone = (name: string) => inner.map((text) => `\n{{#${name}}}\n${text}\n{{/${name}}}\n`);
  return {
    template: fc
      .array(
        fc.oneof(
          { maxDepth: 3 },
          fc
            .string({ unit: fc.constantFrom(..."ab \n\t{}#$"), maxLength: 6 })
            .map((text) => text.replace(/\{\{+/g, "{").replace(/\{$/, "")),
          fc.constantFrom(
            "{{word}}",
            "{{{word}}}",
            "{{&word}}",
            "{{ word }}",
            "{{map.key}}",
            "{{map.deep.er}}",
          ),
          fc.constantFrom(
            "{{#list}}{{.}},{{/list}}",
            "{{#items}}{{name}}{{^first}};{{/first}}{{at}}{{/items}}",
          ),
          fc.constantFrom(
            "{{! comment }}",
            "\n  {{! alone }}\n",
            "{{#map}}{{key}}{{/map}}",
            "{{#items}}\n{{name}}\n{{/items}}\n",
          ),
          fc.constantFrom("flag", "count", "list", "word").chain(inverted),
          fc.constantFrom("flag", "count", "items").chain(section),
          fc.constantFrom("flag", "items").chain(alone),
        ),
        { maxLength: 5 },
      )
      .map((parts) => parts.join("")),
  };
});

const rendering = (problems: Problems) => ({ problems, source: () => null });

suite("templates", (test) => {
  test("render as mustache itself does, where every name is known", () => {
    fc.assert(
      fc.property(template, scope, (text, view) => {
        const problems = new Problems();
        const { value } = render(text, view, { file: "t", text }, rendering(problems));
        assert.equal(problems.list, []);
        assert.is(
          fill(value, () => ""),
          mustache.render(text, view, {}, { escape: (one: unknown) => String(one) }),
        );
      }),
      { numRuns: 1500 },
    );
  });

  test("know a template's line for every line of the output", () => {
    fc.assert(
      fc.property(template, scope, (text, view) => {
        const { value, lines } = render(text, view, { file: "t", text }, rendering(new Problems()));
        const out = fill(value, () => "");
        const count = out === "" ? 0 : out.split("\n").length - (out.endsWith("\n") ? 1 : 0);
        assert.is(lines.length, count, JSON.stringify(out));
        for (const line of lines) assert.ok(line >= 1 && line <= text.split("\n").length);
      }),
      { numRuns: 1000 },
    );
  });

  test("an unknown name is a problem at its line and column, never nothing", () => {
    const text = "a\n b {{word}}\n  {{#list}}{{wrod}}{{/list}}\n";
    const problems = new Problems();
    render(text, { word: "x", list: ["y"] }, { file: "t", text }, rendering(problems));
    assert.equal(
      problems.list.map(({ code, at, hint }) => [code, at?.line, at?.column, at?.length, hint]),
      [["unknown-name", 3, 12, 8, "there is: list, word"]],
    );
  });

  test("a list, a map or nothing cannot stand in a text", () => {
    for (const value of [["a"], { a: "b" }, null] as Value[]) {
      const problems = new Problems();
      render("{{it}}", { it: value }, { file: "t", text: "{{it}}" }, rendering(problems));
      assert.equal(
        problems.list.map(({ code }) => code),
        ["template-value"],
      );
    }
  });

  test("names inherited from JavaScript's own objects do not exist", () => {
    for (const name of ["constructor", "map.constructor", "word.length", "list.length", "__proto__"]) {
      const problems = new Problems();
      const text = `{{${name}}}`;
      render(text, { word: "x", map: {}, list: [] }, { file: "t", text }, rendering(problems));
      assert.equal(
        problems.list.map(({ code }) => code),
        ["unknown-name"],
        name,
      );
    }
  });

  test("templates whose tags only name values are taken apart as mustache does", () => {
    const piece = fc.oneof(
      fc.string({ unit: fc.constantFrom(..."ab \n\t{}.$"), maxLength: 4 }),
      fc.constantFrom(
        "{{word}}",
        "{{ a.b-c }}",
        "{{\n.\n}}",
        "{{{word}}}",
        "{{&word}}",
        "{{!no}}",
        "{{ two words }}",
      ),
    );
    let plain = 0;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const text = pieces.join("");
        const tokens = plainTokens(text);
        if (tokens === null) return;
        plain += 1;
        assert.equal(tokens, mustache.parse(text), JSON.stringify(text));
      }),
      { numRuns: 3000 },
    );
    assert.ok(plain > 300, `${plain} of them`);
    for (const text of ["{{{a}}}", "{{a}}{{#b}}{{/b}}", "{{a}} {{b", "{{", "{{a b}}"])
      assert.is(plainTokens(text), null);
  });

  test("partials, other delimiters and broken sections are problems", () => {
    for (const text of ["{{>x}}", "{{=<% %>=}}", "{{#flag}}", "{{/flag}}", "{{flag", "{{#flag}}{{/word}}"]) {
      const problems = new Problems();
      render(text, { flag: true, word: "" }, { file: "t", text }, rendering(problems));
      assert.equal(
        problems.list.map(({ code }) => code),
        ["template-syntax"],
        text,
      );
    }
  });
});

import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { CORE_SCHEMA, load, YAML11_SCHEMA } from "js-yaml";
import * as assert from "uvu/assert";
import { nodeEmitter } from "../../src/emit/node.ts";
import { toYaml } from "../../src/emit/yaml.ts";
import { compileFiles, fakeVault, fileOf, siteText } from "../support/build-site.ts";
import { python } from "../support/python.ts";
import { suite } from "../support/suite.ts";

/** Words that one reader or another takes for something else than a string. */
const words = fc.constantFrom(
  ...[
    "yes",
    "No",
    "ON",
    "off",
    "y",
    "N",
    "true",
    "~",
    "null",
    "",
    "=",
    "<<",
    "---",
    "...",
    "-",
    "?",
    ":",
    "#",
    "@a",
  ],
  ...[
    "0755",
    "0o755",
    "0x1F",
    "0b1",
    "1_000",
    "1e3",
    "1.",
    ".5",
    "+.inf",
    ".NaN",
    "12:30:45",
    "2001-01-01",
    "1:2",
  ],
  ...[
    "2001-12-14t21:59:43.10-05:00",
    "52:54:00:12:34:56",
    "- a",
    "a: b",
    "a #b",
    "'",
    '"',
    "!!str a",
    "&a",
    "*a",
  ],
  ...[
    "%YAML",
    "|",
    ">",
    "[a",
    "{a",
    "a,b",
    " a",
    "a ",
    "\ta",
    "a\t",
    "a\n",
    "a\n\n",
    "\na",
    " \n a\n",
    "a\r\nb",
  ],
  ...[
    "\u0085",
    "a\u2028b",
    "\ufeff",
    "a\u00a0",
    "é",
    "\u{1F600}",
    "a\u0085b\n",
    "a\nb\u2028c\n",
    "\u007f",
    "\u0007",
  ],
  ...["$my_ip", "it's", "C:\\x", "a\\nb", "\u2029x\ny\n", "#!/bin/sh\n\tx\n", "x\n---\ny\n", "a\n\u00a0b\n"],
);
/** Whether UTF-8 can hold it. */
const wellFormed = (text: string): boolean => !/\p{Surrogate}/u.test(text);

const string = fc.oneof(
  words,
  fc.string({ unit: "binary", maxLength: 20 }).filter(wellFormed),
  fc.string({ unit: fc.constantFrom(..."ab01:#-'\"\\\n\t .,{}[]&*!|>%@`é\u2028\u0085\r"), maxLength: 12 }),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    string,
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(
      string.filter((key) => key !== "__proto__"),
      tie("value"),
      { maxKeys: 4, noNullPrototype: true },
    ),
  ),
}));
const document = fc.dictionary(fc.constantFrom("a", "b c", "yes", "0600", "é"), value, {
  noNullPrototype: true,
  minKeys: 1,
});

/** The same value in JSON, keys in order. */
const canonical = (one: unknown): string =>
  JSON.stringify(one, (_, item: unknown) =>
    item !== null && typeof item === "object" && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : item,
  );

const imported = spawnSync(python, ["-c", "import yaml"], { encoding: "utf8" });
const noPyYaml = imported.error === undefined && imported.status === 0 ? null : "python3 has no module yaml";

/** Reads texts with PyYAML, which is what cloud-init and netplan read with. */
function readWithPyYaml(texts: readonly string[]): unknown[] {
  const program = `
import json, sys, yaml
def read(text):
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        return {"cannot be read": str(error)}
print(json.dumps([read(text) for text in json.load(sys.stdin)], default=lambda value: {"no JSON": repr(value)}))
`;
  const result = spawnSync(python, ["-c", program], {
    input: JSON.stringify(texts),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, PYTHONIOENCODING: "utf-8" },
  });
  if (result.status !== 0) throw new Error(result.stderr);
  return JSON.parse(result.stdout) as unknown[];
}

suite("emitted YAML", (test) => {
  test("reads back as the value that was written, as 1.1 and as 1.2", () => {
    fc.assert(
      fc.property(document, (one) => {
        const text = toYaml(one);
        assert.is(text.at(-1), "\n");
        assert.is(canonical(load(text, { schema: YAML11_SCHEMA })), canonical(one), text);
        assert.is(canonical(load(text, { schema: CORE_SCHEMA })), canonical(one), text);
      }),
      { numRuns: 400 },
    );
  });

  test("reads back so when it is one item of a list among others", () => {
    fc.assert(
      fc.property(fc.array(string, { minLength: 1, maxLength: 4 }), (contents) => {
        const items = contents.map((content) => ({ path: "/x", content }));
        const text = `#cloud-config\nwrite_files:\n${items.map((item) => toYaml([item])).join("")}`;
        assert.is(canonical(load(text, { schema: YAML11_SCHEMA })), canonical({ write_files: items }));
      }),
      { numRuns: 300 },
    );
  });

  if (noPyYaml === null) {
    test("reads back so with PyYAML", () => {
      const values = fc.sample(document, { numRuns: 300, seed: 7 });
      const read = readWithPyYaml(values.map(toYaml));
      for (const [index, one] of values.entries()) {
        assert.is(canonical(read[index]), canonical(one), JSON.stringify(toYaml(one)));
      }
    });
  } else test.skip(`reads back so with PyYAML (skipped: ${noPyYaml})`, () => {});
});

const forbidden =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is left out
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]/;
/** What a site file may hold: no control characters, and no tags. */
const written = string.filter((text) => !text.includes("{{") && !forbidden.test(text));

suite("what a person writes", (test) => {
  test("survives to the seed as it was written: options in templates, templates, cloud_config", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(written, { minLength: 4, maxLength: 12 }), async (texts) => {
        const names = texts.map((_, index) => `o${index}`);
        const { compiled, plans, problems } = await compileFiles({
          "templates/components/p/component.yaml": `component: p\nsummary: s\noptions:\n${names.map((name) => `  ${name}: { type: string }\n`).join("")}files:\n${names
            .map((name) => `  - { path: /etc/${name}, template: "<{{options.${name}}}>" }\n`)
            .join(
              "",
            )}${texts.map((text, index) => `  - { path: /etc/t${index}, template: ${JSON.stringify(text)} }\n`).join("")}`,
          "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p]\n",
          "sites/x/site.yaml": siteText(
            { n: "p" },
            `cloud_config: { final_message: ${JSON.stringify(texts[0])} }\noptions:\n  p:\n${texts.map((text, index) => `    o${index}: ${JSON.stringify(text)}\n`).join("")}`,
          ),
        });
        assert.equal(problems, []);
        const plan = plans.get("n");
        assert.ok(plan !== undefined);
        const artifacts = nodeEmitter(compiled.guest, fakeVault)(plan);
        const bytes = artifacts.find(({ name }) => name === "user-data")?.bytes;
        const data = load(new TextDecoder().decode(bytes), { schema: YAML11_SCHEMA }) as {
          final_message: string;
          write_files: { path: string; content: string }[];
        };
        assert.is(data.final_message, texts[0]);
        const staged = new Map(data.write_files.map(({ path, content }) => [path, content]));
        const program = JSON.parse(staged.get("/var/lib/seedsmith/seed/program.json") ?? "") as {
          files: { path: string; stage: string }[];
        };
        const contentOf = (path: string): string | undefined =>
          staged.get(program.files.find((file) => file.path === path)?.stage ?? "");
        for (const [index, text] of texts.entries()) {
          assert.is(contentOf(`/etc/o${index}`), `<${text}>`);
          assert.is(contentOf(`/etc/t${index}`), text);
          assert.ok(fileOf(plan, `/etc/t${index}`).content.kind === "whole");
        }
      }),
      { numRuns: 10 },
    );
  });
});

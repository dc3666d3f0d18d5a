import fc from "fast-check";
import { CORE_SCHEMA, load, YAML11_SCHEMA } from "js-yaml";
import * as assert from "uvu/assert";
import { writeIso } from "../../src/emit/iso.ts";
import { type Artifact, YamlFile, yamlArtifact } from "../../src/emit/lines.ts";
import { seedFiles } from "../../src/emit/node.ts";
import { isoDifferences, readIso } from "../../src/verify/iso-reader.ts";
import { readBack, VersionsDiffer, verifyNode } from "../../src/verify/reparse.ts";
import { rendered } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const long = "0123456789 filler\n    ".repeat(40).trimEnd();
const item = (content: string, mode = '"0644"'): string =>
  `- path: /etc/x\n  permissions: ${mode}\n  owner: root:root\n  content: ${content}\n    ${long}\n`;

/** The plain way: the whole text, twice. Null where the two differ. */
function whole(text: string): unknown {
  const [old, core] = [load(text, { schema: YAML11_SCHEMA }), load(text, { schema: CORE_SCHEMA })];
  return JSON.stringify(old) === JSON.stringify(core) ? core : null;
}

function inPieces(text: string): unknown {
  try {
    return readBack(text);
  } catch (error) {
    if (error instanceof VersionsDiffer) return null;
    throw error;
  }
}

const texts: Record<string, string> = {
  "equal items": `#cloud-config\nhostname: a\nwrite_files:\n${item("|")}${item("|")}`,
  "an item that 1.1 reads as octal": `#cloud-config\nwrite_files:\n${item("|", "0644")}${item("|")}`,
  "a word that 1.1 reads as true": `#cloud-config\na: yes\nwrite_files:\n${item("|")}`,
  "such a word after the items": `#cloud-config\nwrite_files:\n${item("|")}b: on\n`,
  "items that are not the last thing": `#cloud-config\nwrite_files:\n${item("|")}- path: b\nb: c\n`,
  "a list whose key 1.1 reads as true": `on:\n- a\n- b\n`,
  "a list that is a key's only value": `a:\n- a\n-  b\nb:\nc: 1\n`,
  "an alias in an item of what stands in another": `a:\n- x: &x 1\n- x: *x\n`,
  "words at the left margin of a folded text": `a: >\n  b\n\nc: d\n`,
  "a block that ends in blank lines": `#cloud-config\nwrite_files:\n${item("|+")}\n\n${item("|")}`,
};
const broken: Record<string, string> = {
  "a quoted text that is not closed": `#cloud-config\nwrite_files:\n${item('"')}${item("|")}`,
  "an item below a text": `#cloud-config\nwrite_files: x\n${item("|")}`,
  "a quoted text around an item": `#cloud-config\na: "b\n${item("|")}c: d"\n`,
  "an item indented wrongly": `#cloud-config\nwrite_files:\n${item("|")}  b: c\n   d: e\n`,
  "a key twice": `#cloud-config\na: b\nc: d\na: b\n`,
  "a list twice": `a:\n- b\na:\n- b\n`,
  "a word without a colon": `a: b\nword\nb: c\n`,
  "an item after a value": `a: b\n- c\n`,
  "two documents": `#cloud-config\nwrite_files:\n${item("|")}---\na: b\n`,
  "an alias of an item": `#cloud-config\nwrite_files:\n${item("|")}b: *x\n`,
  nothing: "",
};

suite("verify/reparse", (test) => {
  for (const [name, text] of Object.entries(texts)) {
    test(`reads ${name} as the whole text reads`, () => {
      assert.equal(inPieces(text), whole(text));
      for (const when of ["again", "remembered"]) assert.equal(inPieces(text), whole(text), when);
    });
  }
  for (const [name, text] of Object.entries(broken)) {
    test(`refuses ${name}`, () => {
      assert.throws(() => whole(text), undefined, "the whole text is readable");
      assert.throws(() => readBack(text));
    });
  }
});

suite("verify/pieces", (test) => {
  const word = fc.constantFrom("a", "b", "on", "0644", "x y", "1.0", "*", "&x", "*x", "é");
  const line = fc.oneof(
    fc.tuple(
      fc.constantFrom("a: ", "b:\n- ", "- ", "on: ", "- path: ", "  ", "    ", "- a: &x ", "- b: *x "),
      word,
    ),
    fc.tuple(
      fc.constantFrom("a: ", "- c: ", "c: "),
      fc.constantFrom("|\n  x", ">-\n  x\n\n   y", "'it", '"it"', "[1,", "{}"),
    ),
    fc.tuple(fc.constantFrom("#", "---", "", "a", "\t", "\u0085", "a: x\rb: "), fc.constantFrom("", "x")),
  );
  const text = fc
    .array(line, { maxLength: 7 })
    .map((lines) => lines.map((words) => `${words.join("")}\n`).join(""));

  test("a block of text reads as it reads whole, whatever block was read before it", () => {
    const odd = fc.constantFrom(
      "",
      " ",
      "    ",
      "\t",
      "---",
      "...",
      "# x",
      "- a",
      "a: b",
      '"',
      "é",
      "\u0085x",
      "\u2028",
      "|",
      "x  ",
    );
    const ordinary = fc.constantFrom("{", '  "node": "a",', '  "node": "b",', "}", "x: 1");
    const lines = fc.array(fc.oneof({ weight: 6, arbitrary: ordinary }, odd), {
      minLength: 1,
      maxLength: 12,
    });
    const change = fc.record({ at: fc.nat(40), line: fc.oneof(odd, ordinary), more: fc.boolean() });
    const head = fc.constantFrom(
      "- path: /a\n",
      '- path: /a\n  permissions: "0600"\n',
      "- path: /a\n  x: on\n",
      "- path: on\n",
    );
    const block = (first: string, body: readonly string[]): string =>
      `#cloud-config\nwrite_files:\n${first}  content: |\n${[...filler, ...body].map((one) => (one === "" ? "\n" : `    ${one}\n`)).join("")}`;
    const filler = Array.from(
      { length: 30 },
      (_, index) => `"a line of the block, number ${index}, as others have it",`,
    );
    fc.assert(
      fc.property(
        head,
        lines,
        fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 4 }),
        (first, start, changes) => {
          let body: string[] = [...start];
          for (const each of [[], ...changes]) {
            for (const { at, line, more } of each) body.splice(at % (body.length + 1), more ? 0 : 1, line);
            if (body.length === 0) body = ["x"];
            const text = block(first, body);
            let expected: unknown;
            try {
              expected = whole(text);
            } catch {
              assert.throws(() => readBack(text));
              continue;
            }
            assert.equal(inPieces(text), expected);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("any text reads as it reads whole, whatever was read before it", () => {
    let readable = 0;
    fc.assert(
      fc.property(text, (one) => {
        let wanted: unknown = "unreadable";
        try {
          wanted = whole(one);
        } catch {}
        if (wanted !== "unreadable" && wanted !== undefined) readable += 1;
        for (const when of ["at first", "again", "remembered"]) {
          let got: unknown = "unreadable";
          try {
            got = inPieces(one);
          } catch {}
          assert.equal(got, wanted, `${when}: ${JSON.stringify(one)}`);
        }
      }),
      { seed: 11, numRuns: 5000 },
    );
    assert.ok(readable > 300, `${readable} of the texts are YAML`);
  });
});

const at = { file: "f", line: 1, column: 1 };

/** A node's seed with this user-data, and what it is to mean. */
function seed(text: string, meant: object): Artifact[] {
  const rest: [string, object][] = [
    ["meta-data", { "instance-id": "a" }],
    ["network-config", { version: 2 }],
    ["vendor-data", {}],
  ];
  const files = [
    { name: "user-data", bytes: new TextEncoder().encode(text), origins: [], meant },
    ...rest.map(([name, value]) => yamlArtifact(name, new YamlFile().put({ ...value }, at))),
  ];
  return [...files, { name: "seed.iso", bytes: writeIso("cidata", files), origins: [] }];
}

suite("verify/node", (test) => {
  test("finds nothing wrong with a seed in which nothing is", () => {
    assert.equal(verifyNode(seed("#cloud-config\nhostname: a\n", { hostname: "a" })), []);
  });

  test("wants cloud-init's header", () => {
    assert.equal(verifyNode(seed("hostname: a\n", { hostname: "a" })), [
      "user-data does not begin with #cloud-config",
    ]);
  });

  test("refuses what reads differently by version, and what is no YAML", () => {
    assert.match(verifyNode(seed("#cloud-config\na: yes\n", { a: true }))[0] ?? "", /reads differently/);
    assert.match(verifyNode(seed('#cloud-config\na: "b\n', { a: "b" }))[0] ?? "", /cannot be read back/);
  });

  const content = `${"a line\n".repeat(100)}the last one`;
  const file = (path: string, text: string): object => ({ path, content: text });
  for (const [what, wanted, written, place] of [
    ["a word", { hostname: "a" }, { hostname: "b" }, "hostname"],
    ["a number for a text", { a: { b: "1" } }, { a: { b: 1 } }, "a.b"],
    ["null for nothing", { a: {} }, { a: { b: null } }, "a"],
    ["a key that is missing", { a: 1, b: 2 }, { a: 1 }, ""],
    ["a text for a list", { a: ["b"] }, { a: "b" }, "a"],
    [
      "a line break more at the end of a file",
      { write_files: [file("/a", content), file("/b", content)] },
      { write_files: [file("/a", content), file("/b", `${content}\n`)] },
      "write_files[1].content",
    ],
    [
      "two files in the other order",
      { write_files: [file("/a", content), file("/b", content)] },
      { write_files: [file("/b", content), file("/a", content)] },
      "write_files[0].path",
    ],
  ] as const) {
    test(`refuses ${what}, and says where`, () => {
      const text = `#cloud-config\n${new YamlFile().put(written, at).lines.text}`;
      for (const when of ["at first", "again", "remembered"]) {
        assert.equal(verifyNode(seed(text, written)), [], when);
        assert.equal(
          verifyNode(seed(text, wanted)),
          [`user-data does not read as what was written${place === "" ? "" : `: ${place} differs`}`],
          when,
        );
      }
    });
  }

  test("says where something differs, and not what stands there", () => {
    const wrong = verifyNode(seed("#cloud-config\na: secret1\n", { a: "secret2" })).join();
    assert.not.match(wrong, /secret/);
  });

  test("refuses a file of which nobody says what it is to mean", () => {
    const [userData, ...rest] = seed("#cloud-config\nhostname: a\n", { hostname: "a" });
    const { meant: _, ...silent } = userData as Artifact;
    assert.ok(verifyNode([silent, ...rest]).length > 0);
  });

  test("refuses an image that holds something else than the files", () => {
    const good = seed("#cloud-config\nhostname: a\n", { hostname: "a" });
    const other = seed("#cloud-config\nhostname: b\n", { hostname: "b" });
    const wrong = verifyNode([...good.slice(0, -1), ...other.slice(-1)]);
    assert.ok(wrong.length > 0);
    for (const one of wrong) assert.match(one, /^seed\.iso: .*user-data/);
  });

  test("finds a wrong byte in a node's files, whatever nodes of its kind were read before it", async () => {
    const { nodes } = await rendered("two");
    for (const artifacts of nodes.values()) {
      const good = artifacts.filter(({ name }) => [...seedFiles, "seed.iso"].includes(name));
      const user = good.find(({ name }) => name === "user-data") as Artifact;
      const meant = JSON.stringify(user.meant);
      let found = 0;
      fc.assert(
        fc.property(
          fc.array(fc.nat(user.bytes.length - 1), { minLength: 1, maxLength: 3 }),
          fc.constantFrom("x", "0", " ", "\n", ":", "-", "#", '"', "\t", "\u00ff"),
          (places, planted) => {
            assert.equal(verifyNode(good, "kind"), []);
            assert.equal(verifyNode(good, "kind"), []);
            const bytes = Uint8Array.from(user.bytes);
            for (const place of places) bytes[place] = planted.charCodeAt(0);
            let isRight = false;
            try {
              isRight =
                JSON.stringify(whole(new TextDecoder("utf-8", { fatal: true }).decode(bytes))) === meant;
            } catch {}
            const files = good
              .filter(({ name }) => name !== "seed.iso")
              .map((file) => (file === user ? { ...file, bytes } : file));
            const image = { name: "seed.iso", bytes: writeIso("cidata", files), origins: [] };
            const wrong = verifyNode([...files, image], "kind");
            assert.is(
              wrong.length === 0,
              isRight,
              `${places.join()} ${JSON.stringify(planted)}: ${wrong.join()}`,
            );
            if (!isRight) found += 1;
          },
        ),
        { seed: 7, numRuns: 60 },
      );
      assert.ok(found > 20, `${found} of the bytes matter`);
    }
  });

  test("finds a wrong byte anywhere in an image, whatever image was read before it", () => {
    const good = seed("#cloud-config\nhostname: a\n", { hostname: "a" });
    const image = good.at(-1) as Artifact;
    const files = good.slice(0, -1);
    /** All that an image says, read without anything that is remembered. */
    const said = (bytes: Uint8Array): string => {
      const reading = readIso(bytes);
      return JSON.stringify(reading, (_, value: unknown) =>
        value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value,
      );
    };
    const right = said(image.bytes);
    let bad = 0;
    for (let place = 16 * 2048; place < image.bytes.length; place += 7) {
      assert.equal(isoDifferences(image.bytes, "cidata", files), []);
      const bytes = Uint8Array.from(image.bytes);
      bytes[place] = (bytes[place] as number) ^ 0x5a;
      const isWrong = said(bytes) !== right;
      assert.is(isoDifferences(bytes, "cidata", files).length > 0, isWrong, `byte ${place}`);
      if (isWrong) bad += 1;
    }
    assert.ok(bad > 300, `${bad} of the bytes matter`);
  });

  // What a bug in an emitter would do to a real seed: YAML that every reader agrees on, and that is wrong.
  for (const [bug, plant, place] of [
    [
      "drops the line break at the end of files",
      (text: string) => text.replaceAll("content: |\n", "content: |-\n"),
      /write_files\[0\]\.content/,
    ],
    [
      "gives another mode",
      (text: string) => text.replace('permissions: "0600"', 'permissions: "0644"'),
      /write_files\[\d+\]\.permissions/,
    ],
    [
      "forgets the last file",
      (text: string) => text.slice(0, text.lastIndexOf("\n- path: ") + 1),
      /write_files/,
    ],
    [
      "indents a line of a file wrongly",
      (text: string) => text.replace('\n      "generation"', '\n       "generation"'),
      /write_files\[\d+\]\.content/,
    ],
    [
      "writes the host's name in capitals",
      (text: string) =>
        text.replace(/^hostname: (.*)$/m, (line) => line.replace(/ .*/, (name) => name.toUpperCase())),
      /hostname/,
    ],
  ] as const) {
    test(`finds an emitter that ${bug}`, async () => {
      const { nodes } = await rendered("two");
      for (const artifacts of [...nodes.values(), ...nodes.values()]) {
        assert.equal(verifyNode(artifacts), []);
        const broken = artifacts.map((one) => {
          if (one.name !== "user-data") return one;
          const text = new TextDecoder().decode(one.bytes);
          assert.is.not(plant(text), text, "the bug is planted");
          return { ...one, bytes: new TextEncoder().encode(plant(text)) };
        });
        const files = broken.filter(({ name }) => seedFiles.includes(name));
        const image = { name: "seed.iso", bytes: writeIso("cidata", files), origins: [] };
        const wrong = verifyNode([...files, image]);
        assert.is(wrong.length, 1, wrong.join());
        assert.match(wrong[0] ?? "", place);
      }
    });
  }

  test("finds nothing wrong with the fixtures", async () => {
    const { nodes } = await rendered("two");
    for (const artifacts of nodes.values()) assert.equal(verifyNode(artifacts), []);
  });
});

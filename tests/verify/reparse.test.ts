import { CORE_SCHEMA, load, YAML11_SCHEMA } from "js-yaml";
import * as assert from "uvu/assert";
import { writeIso } from "../../src/emit/iso.ts";
import { type Artifact, artifact, Lines } from "../../src/emit/lines.ts";
import { readsTheSame, verifyNode } from "../../src/verify/reparse.ts";
import { rendered } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const long = "0123456789 filler\n    ".repeat(40).trimEnd();
const item = (content: string, mode = '"0644"'): string =>
  `- path: /etc/x\n  permissions: ${mode}\n  owner: root:root\n  content: ${content}\n    ${long}\n`;

/** The plain way: the whole text, twice. */
function whole(text: string): boolean {
  return (
    JSON.stringify(load(text, { schema: YAML11_SCHEMA })) ===
    JSON.stringify(load(text, { schema: CORE_SCHEMA }))
  );
}

const texts: Record<string, string> = {
  "equal items": `#cloud-config\nhostname: a\nwrite_files:\n${item("|")}${item("|")}`,
  "an item that 1.1 reads as octal": `#cloud-config\nwrite_files:\n${item("|", "0644")}${item("|")}`,
  "a word that 1.1 reads as true": `#cloud-config\na: yes\nwrite_files:\n${item("|")}`,
  "such a word after the items": `#cloud-config\nwrite_files:\n${item("|")}b: on\n`,
  "items that are not the last thing": `#cloud-config\nwrite_files:\n${item("|")}- path: b\nb: c\n`,
  "a block that ends in blank lines": `#cloud-config\nwrite_files:\n${item("|+")}\n\n${item("|")}`,
};
const broken: Record<string, string> = {
  "a quoted text that is not closed": `#cloud-config\nwrite_files:\n${item('"')}${item("|")}`,
  "an item below a text": `#cloud-config\nwrite_files: x\n${item("|")}`,
  "a quoted text around an item": `#cloud-config\na: "b\n${item("|")}c: d"\n`,
  "an item indented wrongly": `#cloud-config\nwrite_files:\n${item("|")}  b: c\n   d: e\n`,
  "two documents": `#cloud-config\nwrite_files:\n${item("|")}---\na: b\n`,
  "an alias of an item": `#cloud-config\nwrite_files:\n${item("|")}b: *x\n`,
  nothing: "",
};

suite("verify/reparse", (test) => {
  for (const [name, text] of Object.entries(texts)) {
    test(`reads ${name} as the whole text reads`, () => {
      assert.is(readsTheSame(text), whole(text));
      assert.is(readsTheSame(text), whole(text), "and again, remembered");
    });
  }
  for (const [name, text] of Object.entries(broken)) {
    test(`refuses ${name}`, () => {
      assert.throws(() => whole(text), undefined, "the whole text is readable");
      assert.throws(() => readsTheSame(text));
    });
  }
});

/** A node's seed in which nothing is wrong. */
function seed(userData: string): Artifact[] {
  const files = [
    ["user-data", userData],
    ["meta-data", "instance-id: a\n"],
    ["network-config", "version: 2\n"],
    ["vendor-data", "#cloud-config\n{}\n"],
  ].map(([name = "", text = ""]) => artifact(name, new Lines().add(text, { file: "f", line: 1, column: 1 })));
  return [...files, { name: "seed.iso", bytes: writeIso("cidata", files), origins: [] }];
}

suite("verify/node", (test) => {
  test("finds nothing wrong with a seed in which nothing is", () => {
    assert.equal(verifyNode(seed("#cloud-config\nhostname: a\n")), []);
  });

  test("wants cloud-init's header", () => {
    assert.equal(verifyNode(seed("hostname: a\n")), ["user-data does not begin with #cloud-config"]);
  });

  test("refuses what reads differently by version, and what is no YAML", () => {
    assert.match(verifyNode(seed("#cloud-config\na: yes\n"))[0] ?? "", /reads differently/);
    assert.match(verifyNode(seed('#cloud-config\na: "b\n'))[0] ?? "", /cannot be read back/);
  });

  test("refuses an image that holds something else than the files", () => {
    const good = seed("#cloud-config\nhostname: a\n");
    const other = seed("#cloud-config\nhostname: b\n");
    const wrong = verifyNode([...good.slice(0, -1), ...other.slice(-1)]);
    assert.ok(wrong.length > 0);
    for (const one of wrong) assert.match(one, /^seed\.iso: .*user-data/);
  });

  test("finds nothing wrong with the fixtures", async () => {
    const { nodes } = await rendered("two");
    for (const artifacts of nodes.values()) assert.equal(verifyNode(artifacts), []);
  });
});

import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { validateXML } from "xmllint-wasm";
import { junitXml } from "../../../src/lab/report/junit.ts";
import { element, text, xmlDocument } from "../../../src/lab/report/xml.ts";
import { suite } from "../../support/suite.ts";
import { event } from "../watch/fake-lab.ts";
import { at, ran, record } from "./records.ts";

const schema = readFileSync(join(import.meta.dirname, "junit.xsd"), "utf8");

/** Lets libxml2 judge a report by the schema. */
async function judge(contents: string): Promise<string[]> {
  const { errors } = await validateXML({ xml: [{ fileName: "junit.xml", contents }], schema: [schema] });
  return errors.map(({ rawMessage }) => rawMessage);
}

const count = (xml: string, pattern: RegExp): number => [...xml.matchAll(pattern)].length;
const hostile = `<&>"' ]]> \x00\x08\x1b[31m\x7f\ud800 \ufffe\uffff 名前 🙂 &amp; <!-- --> <?xml?> \r\n\t`;

const good = record("con01", [
  event("con01", 10, "run-start"),
  ...ran("con01", "db/one", 11, 20),
  ...ran("con01", "db/two", 20, 20, "step-skip"),
  ...ran("con01", "db/check", 21, 22.5, "check-ok"),
  event("con01", 23, "ready"),
]);
const failing = record(
  "com01",
  [
    event("com01", 10, "run-start"),
    ...ran("com01", "a/one", 11, 20, "step-fail", {
      from: "site.yaml:7",
      message: "exit 1",
      tail: "first\nlast",
    }),
    event("com01", 20, "failed", {
      step: "a/one",
      name: "name of a/one",
      from: "site.yaml:7",
      message: "exit 1",
    }),
  ],
  {
    actions: {
      "a/one": { kind: "step", name: "one", from: "site.yaml:7" },
      "a/two": { kind: "check", name: "two", from: "site.yaml:9" },
    },
    failure: { step: "a/one", name: "one", from: "site.yaml:7", message: "exit 1", tail: ["last"] },
    differences: ["meta-data is not the site's"],
  },
);

suite("junit.xml", (test) => {
  test("a suite a node, a case a step, check and verdict, with times", async () => {
    const xml = junitXml("boot", [good]);
    assert.equal(await judge(xml), []);
    assert.equal([count(xml, /<testsuite /g), count(xml, /<testcase /g)], [1, 4]);
    assert.match(xml, /<testsuites name="seedsmith boot" tests="4" failures="0" errors="0" time="23.000">/);
    assert.match(
      xml,
      /<testcase name="name of db\/check \[db\/check\]" classname="boot.con01" time="1.500"\/>/,
    );
    assert.match(xml, /<testcase name="READY" classname="boot.con01" time="23.000"\/>/);
  });

  test("a failure has the source line, its text and the last output; what was not reached is skipped", async () => {
    const xml = junitXml("boot", [good, failing], () => "  run: [mariadb]");
    assert.equal(await judge(xml), []);
    assert.match(xml, /<testsuite name="com01"[^>]* tests="3" failures="2" errors="0" skipped="1"/);
    assert.match(
      xml,
      /<failure message="exit 1" type="failure">exit 1\nasked for by site.yaml:7\n {2}7 \| run: \[mariadb\]\n\| first\n\| last<\/failure>/,
    );
    assert.match(xml, /<testcase name="two \[a\/two\]"[^>]*>\s*<skipped message="not reached"\/>/);
    assert.match(xml, /<property name="differs from production" value="meta-data is not the site's"\/>/);
  });

  test("a node that did not become READY fails, also when no step did", async () => {
    const events = [event("a", 1, "run-start"), ...ran("a", "x", 2, 3), ...ran("a", "y", 4, 90).slice(0, 1)];
    const xml = junitXml("boot", [record("a", events, { gathered: at(600) })]);
    assert.equal(await judge(xml), []);
    assert.match(xml, /tests="3" failures="1" errors="1"/);
    assert.match(xml, /<error message="begun and not ended" type="error">/);
    assert.match(xml, /<testcase name="name of y \[y\]" [^>]*time="596.000">/);
    const dead = record("a", [], {
      phase: "failed",
      ended: at(9),
      failure: { step: null, name: null, from: null, message: "the machine died", tail: [] },
    });
    assert.match(junitXml("boot", [dead]), /<failure message="the machine died"/);
  });

  test("of a step that was run again the last one counts", async () => {
    const xml = junitXml("boot", [
      record("a", [
        event("a", 1, "run-start"),
        ...ran("a", "x", 2, 3, "step-fail", { message: "no" }),
        event("a", 3, "failed"),
        event("a", 10, "run-start"),
        ...ran("a", "x", 11, 15),
        event("a", 16, "ready"),
      ]),
    ]);
    assert.equal([count(xml, /<testcase /g), count(xml, /<failure/g)], [2, 0]);
  });

  test("hostile characters make no other document", async () => {
    const xml = junitXml(
      `boot`,
      [
        record(
          "a",
          [
            event("a", 1, "run-start"),
            ...ran("a", `x${hostile}`, 2, 3, "step-fail", {
              name: hostile,
              from: hostile,
              message: hostile,
              tail: `${hostile}\n]]>\n${hostile}`,
            }),
            event("a", 3, "failed", { message: hostile }),
          ],
          {
            differences: [hostile],
            failure: { step: hostile, name: hostile, from: hostile, message: hostile, tail: [hostile] },
          },
        ),
      ],
      () => hostile,
    );
    assert.equal(await judge(xml), []);
    assert.match(xml, /名前 🙂 &amp;amp; &lt;!-- --&gt;/);
  });

  test("no node at all is still a document", async () => {
    assert.equal(await judge(junitXml("boot", [])), []);
  });

  test("the judge is not blind", async () => {
    const wrong = [
      junitXml("boot", [good]).replace('time="23.000"', 'time="-1"'),
      junitXml("boot", [good]).replace("</testsuites>", "<more/></testsuites>"),
      junitXml("boot", [good]).replace("READY", "READY\u0001"),
    ];
    for (const xml of wrong) assert.ok((await judge(xml)).length > 0, xml.slice(0, 200));
  });
});

suite("XML", (test) => {
  test("attributes keep line breaks, null ones are left out", () => {
    const xml = xmlDocument(element("a", { b: 'x\n"<', c: null, d: 1 }, [text("]]>"), element("e", {})]));
    assert.is(xml, '<?xml version="1.0" encoding="UTF-8"?>\n<a b="x&#10;&quot;&lt;" d="1">]]&gt;<e/></a>\n');
  });
});

import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { problemCodes } from "../src/core/problem.ts";
import { bless, makePackage, readCases, runCase } from "./cases/cases.ts";
import { suite } from "./support/suite.ts";

/** Codes that no input file alone brings about, and the test that does. */
const elsewhere: Record<string, readonly [file: string, reason: string]> = {
  "output-unwritable": ["write/output.test.ts", "it depends on the disk"],
  "output-foreign": ["write/output.test.ts", "it depends on the disk"],
  verification: [
    "cases.test.ts",
    "only a defect of an emitter brings it about; verify/ has its readers' own tests",
  ],
  "tool-failed": [
    "cases.test.ts",
    "only a defect or the user's own cloud_config, where cloud-init is installed",
  ],
  "tool-skipped": ["cases.test.ts", "it depends on which tools are installed"],
  "hosts-limited": ["commands/large.test.ts", "it takes 257 nodes"],
};

suite("cases", (test) => {
  const cases = readCases();
  let root = "";
  test.before(() => {
    root = makePackage();
  });
  test.after(() => rmSync(root, { recursive: true, force: true }));
  for (const one of cases) {
    test(one.name, async () => {
      const { report, made } = await runCase(one, root);
      assert.equal(made, [], "a command that reports problems writes nothing");
      if (process.env["BLESS"] === "1") bless(one, report);
      else assert.fixture(report, one.expected);
    });
  }
  test("every problem code has a case or a test of its own", () => {
    const reported = new Set<string>();
    for (const { expected } of cases)
      for (const [, code] of expected.matchAll(/^(?:error|notice)\[([a-z-]+)\]/gm)) reported.add(code ?? "");
    const missing = Object.keys(problemCodes).filter(
      (code) => !reported.has(code) && !Object.hasOwn(elsewhere, code),
    );
    assert.equal(missing, []);
    for (const [code, [file]] of Object.entries(elsewhere)) {
      const path = join(import.meta.dirname, file);
      assert.ok(
        existsSync(path) && readFileSync(path, "utf8").includes(code),
        `${file} does not test ${code}`,
      );
    }
  });
});

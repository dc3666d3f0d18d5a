import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import * as assert from "uvu/assert";
import { python } from "../support/python.ts";
import { suite } from "../support/suite.ts";

const report = fileURLToPath(new URL("report.py", import.meta.url));

type Outcome = null | { failed: string } | { skipped: string };

/** Runs one Python module of tests; the outcome of each by name. */
function run(module: string): Promise<Record<string, Outcome>> {
  return new Promise((resolve, reject) => {
    execFile(python, ["-B", report, module], { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      try {
        resolve(JSON.parse(stdout));
      } catch {
        reject(new Error(`${python} report.py ${module} gave no report: ${error?.message ?? ""}\n${stderr}`));
      }
    });
  });
}

const listed = spawnSync(python, ["-B", report], { encoding: "utf8" });
const missing = listed.error !== undefined;
const modules: Record<string, string[]> = listed.status === 0 ? JSON.parse(listed.stdout) : {};

suite("guest: the runner's own tests are found", (test) => {
  test("list", () => {
    if (missing) {
      console.log(`skipped: the runner's tests need ${python}: ${listed.error?.message}`);
      return;
    }
    assert.is(listed.status, 0, listed.stderr);
    assert.ok(Object.values(modules).flat().length > 100);
  });
});

for (const [module, names] of Object.entries(modules)) {
  suite(`guest: ${module.replace("test_", "")}`, (test) => {
    let outcomes: Promise<Record<string, Outcome>> | undefined;
    for (const name of names) {
      test(name, async () => {
        outcomes ??= run(module);
        const outcome = (await outcomes)[name];
        assert.is.not(outcome, undefined, `${name} was not run`);
        if (outcome && "failed" in outcome) throw new Error(outcome.failed);
        if (outcome && "skipped" in outcome) console.log(`skipped ${name}: ${outcome.skipped}`);
      });
    }
  });
}

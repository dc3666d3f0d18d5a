import { spawnSync } from "node:child_process";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { groups } from "./beside.ts";
import { testFiles } from "./runner.ts";
import { suite } from "./suite.ts";
import { sum, totalsOf } from "./totals.ts";

const green = "\n  Total:     3\n\u001b[32m  Passed:    3\u001b[39m\n  Skipped:   1\n  Duration:  2ms\n\n";
const red = "\n  Total:     4\n\u001b[31m  Passed:    2\u001b[39m\n  Skipped:   0\n  Duration:  2ms\n\n";
const end = (output: string, status: number | string) => ({ output, status });

suite("the sum of tests", (test) => {
  test("reads the last totals, coloured or not", () => {
    assert.equal(totalsOf(`${red}${green}`), { total: 3, passed: 3, skipped: 1 });
    assert.is(totalsOf("Total: 3"), null);
    assert.is(totalsOf(""), null);
  });

  test("adds up", () => {
    assert.equal(sum([end(green, 0), end(red, 1)]), { total: 7, passed: 5, skipped: 1 });
  });

  test("a process without totals, or red without a failed test, is a test that failed", () => {
    assert.equal(sum([end(green, 0), end("killed", "SIGKILL")]), { total: 4, passed: 3, skipped: 1 });
    assert.equal(sum([end(green, 1)]), { total: 4, passed: 3, skipped: 1 });
  });
});

/** Runs files of broken/ as `npm test` runs groups of files, each a group. */
function run(...names: string[]): { status: number | null; out: string } {
  const source = `
    import { runGroups } from ${JSON.stringify(new URL("beside.ts", import.meta.url).href)};
    const argv = [process.execPath, "--import", "tsx", "tests/support/run.ts", "--files"];
    process.exitCode = await runGroups(${JSON.stringify(names.map((name) => [name]))}, 2, argv);`;
  const argv = ["--import", "tsx", "--input-type=module", "--eval", source];
  const { status, stdout } = spawnSync(process.execPath, argv, {
    cwd: join(import.meta.dirname, "..", ".."),
    encoding: "utf8",
  });
  return { status, out: stdout };
}

suite("files side by side", (test) => {
  const files = testFiles((file) => file.endsWith(".test.ts"), /(?:)/);

  test("every test file is in one group, and in the same one in every run", () => {
    const all = groups(files);
    assert.equal(all.flat().sort(), files);
    assert.equal(groups([...files].reverse().sort()), all);
    assert.ok(all.length > 5);
    for (const long of all.slice(0, 6)) assert.is(long.length, 1, `${long} is named, and is not there`);
  });

  test("a file that crashes, waits for ever or has no test is red, and is counted", () => {
    const { status, out } = run(
      "support/broken/crashes.ts",
      "support/broken/forever.ts",
      "support/broken/empty.ts",
      "support/broken/not-there.ts",
    );
    assert.is(status, 1, out);
    assert.equal(totalsOf(out), { total: 4, passed: 0, skipped: 0 }, out);
    assert.match(out, "support/broken/empty.ts defines no test");
    for (const name of ["crashes", "forever"])
      assert.match(out, `support/broken/${name}.ts ended without totals`);
  });
});

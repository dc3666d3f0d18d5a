import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";
import { bootFiles, sum, totalsOf } from "./beside.ts";

const green = "\n  Total:     3\n\u001b[32m  Passed:    3\u001b[39m\n  Skipped:   1\n  Duration:  2ms\n\n";
const red = "\n  Total:     4\n\u001b[31m  Passed:    2\u001b[39m\n  Skipped:   0\n  Duration:  2ms\n\n";
const end = (output: string, status: number | string) => ({ file: "f", output, status, seconds: 1 });

suite("the sum of boot tests", (test) => {
  test("reads the last totals, coloured or not", () => {
    assert.equal(totalsOf(`${red}${green}`), { total: 3, passed: 3, skipped: 1 });
    assert.is(totalsOf("Total: 3"), null);
    assert.is(totalsOf(""), null);
  });

  test("adds up", () => {
    assert.equal(sum([end(green, 0), end(red, 1)]), { total: 7, passed: 5, skipped: 1 });
  });

  test("a file without totals, or red without a failed test, is a test that failed", () => {
    assert.equal(sum([end(green, 0), end("killed", "SIGKILL")]), { total: 4, passed: 3, skipped: 1 });
    assert.equal(sum([end(green, 1)]), { total: 4, passed: 3, skipped: 1 });
  });

  test("every boot test is found by its pattern", () => {
    assert.ok(bootFiles().includes("boot/late.boot.ts"));
    assert.not.ok(bootFiles().includes("boot/cluster.boot.ts"), "only when asked for");
    assert.equal(bootFiles("cluster"), ["boot/cluster.boot.ts"]);
    assert.equal(bootFiles("no such test"), []);
  });
});

import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";
import { bootFiles } from "./beside.ts";

suite("the files of boot tests", (test) => {
  test("every boot test is found by its pattern", () => {
    assert.ok(bootFiles().includes("boot/late.boot.ts"));
    assert.not.ok(bootFiles().includes("boot/cluster.boot.ts"), "only when asked for");
    assert.equal(bootFiles("cluster"), ["boot/cluster.boot.ts"]);
    assert.equal(bootFiles("no such test"), []);
  });
});

import * as assert from "uvu/assert";
import { summary, summaryText } from "../../../src/lab/report/summary.ts";
import { suite } from "../../support/suite.ts";
import { event } from "../watch/fake-lab.ts";
import { ran, record } from "./records.ts";

suite("the summary of a test", (test) => {
  test("a line a node: verdict, time, share, what took longest", () => {
    const good = record("con01", [
      event("con01", 10, "run-start"),
      ...ran("con01", "apt-update", 10, 40),
      ...ran("con01", "db", 40, 100, "step-ok", { from: "c.yaml:7" }),
      event("con01", 100, "ready"),
    ]);
    const bad = record("com01", [
      event("com01", 5, "run-start"),
      ...ran("com01", "x", 5, 9, "step-fail"),
      event("com01", 9, "failed"),
    ]);
    assert.equal(summaryText(summary([good, bad])).split("\n"), [
      "node   verdict  after  packages  not download or unpack  longest",
      "con01  READY    1m40s       30s                     70%    1m00s  steps: name of db (c.yaml:7)",
      "com01  FAILED    9.0s      0.0s                    100%     5.0s  firmware, kernel, system: the system comes up",
      "",
    ]);
    assert.is(summaryText(summary([])), "");
  });
});

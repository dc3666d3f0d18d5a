import * as assert from "uvu/assert";
import { checkNode } from "../../src/lab/check.ts";
import type { RunnerEvent } from "../../src/lab/events.ts";
import { suite } from "../support/suite.ts";
import { event, fakeDriver, lab, VirtualClock } from "./watch/fake-lab.ts";

/** A driver whose log has the events of a check run some looks after that has ended. */
function lateDriver(events: readonly RunnerEvent[], looks: number, status = 0) {
  const before = [event("a", 1, "check-ok", { step: "modes", n: 3, m: 3 }), event("a", 2, "ready")];
  let asked = -1;
  return {
    ...fakeDriver(new VirtualClock(), {}),
    async events(_lab: unknown, _machine: string, offset: number) {
      asked += 1;
      // One event after the other, as they arrive.
      const there = [...before, ...events.slice(0, Math.max(0, asked - looks))].slice(offset);
      return { events: there, bytes: there.length };
    },
    exec: async () => ({ status, signal: null, stdout: "", stderr: status === 0 ? "" : "it says why" }),
  };
}

suite("running checks again", (test) => {
  const good = [
    event("a", 10, "check-ok", { step: "one", name: "answers", n: 2, m: 3, seconds: 1 }),
    event("a", 11, "check-ok", { step: "modes", name: "copies", n: 3, m: 3, seconds: 0 }),
  ];

  test("waits for the log to have the last of them, and counts none of the first boot", async () => {
    for (const looks of [0, 1, 3]) {
      const { ok, checks, message } = await checkNode(lateDriver(good, looks), lab, "a");
      assert.equal(
        [ok, checks.map(({ step }) => step), message],
        [true, ["one", "modes"], ""],
        `seen after ${looks} looks`,
      );
    }
  });

  test("is red when one is, or when the runner says no", async () => {
    const said = { step: "one", name: "answers", n: 2, m: 3, message: "no answer" };
    const bad = [event("a", 10, "check-fail", said), good[1]!];
    const red = await checkNode(lateDriver(bad, 1, 1), lab, "a");
    assert.equal(
      [red.ok, red.checks.map(({ ok }) => ok), red.message],
      [false, [false, true], "it says why"],
    );
    const refused = await checkNode(lateDriver(good, 0, 1), lab, "a");
    assert.equal([refused.ok, refused.message], [false, "it says why"]);
  });
});

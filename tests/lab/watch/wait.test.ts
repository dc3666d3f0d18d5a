import * as assert from "uvu/assert";
import { waitForNodes } from "../../../src/lab/watch/wait.ts";
import { suite } from "../../support/suite.ts";
import { event, fakeDriver, lab, RecordingView, type Script, start, VirtualClock } from "./fake-lab.ts";

async function wait(scripts: Readonly<Record<string, Script>>, timeout = 7200, signal?: AbortSignal) {
  const clock = new VirtualClock();
  const view = new RecordingView();
  const result = await waitForNodes({
    driver: fakeDriver(clock, scripts),
    lab,
    machines: Object.keys(scripts),
    view,
    timeout,
    clock,
    ...(signal === undefined ? {} : { signal }),
  });
  return { result, view, took: (view.closedAt - start) / 1000 };
}

const step = { step: "db", name: "database", from: "site.yaml:7", n: 3, m: 9 };
const ready = (node: string, at: number): Script => ({
  events: [event(node, at - 5, "run-start"), event(node, at, "ready")],
});

suite("waiting for nodes", (test) => {
  test("ends when the last one is READY", async () => {
    const { result, took, view } = await wait({ a: ready("a", 30), b: ready("b", 90), c: ready("c", 60) });
    assert.is(result.outcome, "ready");
    assert.ok(took >= 90 && took <= 92, `after ${took} s`);
    assert.equal(
      result.nodes.map(({ node, phase, ended }) => [node, phase, ((ended ?? 0) - start) / 1000]),
      [
        ["a", "ready", 30],
        ["b", "ready", 90],
        ["c", "ready", 60],
      ],
    );
    assert.equal(view.told, ["a run-start", "a ready", "c run-start", "c ready", "b run-start", "b ready"]);
    assert.ok(view.drawn > 90);
  });

  test("ends within 5 s of the first failure, with step, place and the last 20 lines", async () => {
    const tail = Array.from({ length: 30 }, (_, index) => `line ${index + 1}`).join("\n");
    const { result, took } = await wait({
      a: {
        events: [
          event("a", 10, "run-start"),
          event("a", 11, "step-start", step),
          event("a", 40.3, "step-fail", { ...step, message: "mariadb exit 1", tail }),
          event("a", 40.4, "failed", { ...step, message: "mariadb exit 1", tail }),
        ],
      },
      b: ready("b", 3600),
    });
    assert.ok(took >= 40.3 && took <= 45.3, `after ${took} s`);
    assert.is(result.outcome, "failed");
    assert.is(result.failed?.node, "a");
    const { tail: shown, ...rest } = result.failed!.failure;
    assert.equal(rest, { step: "db", name: "database", from: "site.yaml:7", message: "mariadb exit 1" });
    assert.equal([shown.length, shown[0], shown.at(-1)], [20, "line 11", "line 30"]);
    assert.is(result.nodes[1]?.phase, "booting");
  });

  test("a node whose driver does not answer delays no other's verdict", async () => {
    const failing = { events: [event("b", 20, "failed", { ...step, message: "no" })] };
    const { result, took } = await wait({ a: { hangs: true }, b: failing });
    assert.equal([result.failed?.node, took <= 25], ["b", true]);
  });

  test("a machine that dies or switches itself off has failed, with the step it was at", async () => {
    const events = [event("a", 5, "run-start"), event("a", 6, "step-start", step)];
    for (const power of ["dead", "off"] as const) {
      const { result, took } = await wait({
        a: { events, power: [[50, { power, reason: "status 1" }]] },
      });
      assert.is(result.outcome, "failed");
      assert.equal([result.failed?.failure.step, result.failed?.failure.from], ["db", "site.yaml:7"]);
      assert.match(result.failed!.failure.message, /^the machine (died|switched itself off): status 1$/);
      assert.ok(took <= 55);
    }
  });

  test("also one that was READY, while others are waited for", async () => {
    const dying: Script = { ...ready("a", 10), power: [[100, { power: "dead", reason: "killed" }]] };
    const { result, took } = await wait({ a: dying, b: ready("b", 3000) });
    assert.equal([result.failed?.node, took <= 105], ["a", true]);
  });

  test("a machine that is gone right after its verdict is judged by the verdict", async () => {
    const { result } = await wait({
      a: {
        events: [event("a", 5, "run-start"), event("a", 10, "failed", { ...step, message: "why" })],
        power: [[10, { power: "dead", reason: "" }]],
      },
    });
    assert.is(result.failed?.failure.message, "why");
  });

  test("restarts and unreachable times are waited through", async () => {
    const { result } = await wait({
      a: {
        unreachableUntil: 60,
        events: [
          event("a", 5, "run-start"),
          event("a", 20, "reboot", { step: "reboot" }),
          event("a", 50, "run-start"),
          event("a", 100, "ready"),
        ],
        power: [
          [20, { power: "restarting", reason: "" }],
          [40, { power: "running", reason: "" }],
        ],
      },
    });
    assert.is(result.outcome, "ready");
  });

  test("a failure that a later run made good is none", async () => {
    const { result } = await wait({
      a: {
        unreachableUntil: 30,
        events: [
          event("a", 5, "run-start"),
          event("a", 9, "failed", step),
          event("a", 10, "run-start"),
          event("a", 20, "ready"),
        ],
      },
    });
    assert.equal([result.outcome, result.nodes[0]?.failure], ["ready", null]);
  });

  test("time that is up ends it, with how far each node is", async () => {
    const events = [event("a", 5, "run-start"), event("a", 6, "step-start", step)];
    const { result, took } = await wait({ a: { events }, b: ready("b", 10) }, 600);
    assert.equal([result.outcome, result.failed, Math.round(took)], ["timeout", null, 600]);
    assert.equal(
      result.nodes.map(({ phase, running }) => [phase, running.map(({ name }) => name)]),
      [
        ["running", ["database"]],
        ["ready", []],
      ],
    );
  });

  test("an interruption ends it at once, also one from before", async () => {
    const controller = new AbortController();
    controller.abort();
    const { result, took } = await wait({ a: ready("a", 100) }, 600, controller.signal);
    assert.equal([result.outcome, took], ["interrupted", 0]);
  });
});

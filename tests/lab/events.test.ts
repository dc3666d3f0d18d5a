import * as assert from "uvu/assert";
import { inWords, lastVerdict, type RunnerEvent, readEvents } from "../../src/lab/events.ts";
import { suite } from "../support/suite.ts";

const event = (kind: RunnerEvent["event"], more: Partial<RunnerEvent> = {}): RunnerEvent => ({
  time: "2026-01-01T00:00:00Z",
  event: kind,
  node: "con01",
  generation: 1,
  ...more,
});

suite("the runner's event log", (test) => {
  test("a line that is not finished is left for later", () => {
    const line = `${JSON.stringify(event("run-start"))}\n`;
    const { events, bytes } = readEvents(Buffer.from(`${line}{"event":"step-st`));
    assert.equal([events.length, bytes], [1, line.length]);
  });

  test("a torn line is passed over, bytes are not characters", () => {
    const good = JSON.stringify(event("step-ok", { name: "größe" }));
    const text = Buffer.from(`{"time":1,"ev\n${good}\n[]\n7\n`);
    const { events, bytes } = readEvents(text);
    assert.equal([events.map(({ name }) => name), bytes], [["größe"], text.length]);
  });

  test("the verdict is that of the last run", () => {
    const verdict = (...kinds: RunnerEvent["event"][]) =>
      lastVerdict(kinds.map((kind) => event(kind)))?.event ?? null;
    assert.is(verdict(), null);
    assert.is(verdict("run-start", "step-ok"), null);
    assert.is(verdict("run-start", "failed"), "failed");
    assert.is(verdict("run-start", "failed", "run-start"), null);
    assert.is(verdict("run-start", "reboot", "run-start", "ready"), "ready");
  });

  test("in words: the place to blame only where something failed", () => {
    const step = { step: "db", name: "database", from: "site.yaml:7", n: 3, m: 9 };
    assert.is(inWords(event("step-start", step)), "step-start 3/9 database");
    assert.is(
      inWords(event("step-fail", { ...step, message: "no" })),
      "step-fail 3/9 database site.yaml:7 no",
    );
  });
});

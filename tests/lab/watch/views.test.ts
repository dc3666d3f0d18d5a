import cliTruncate from "cli-truncate";
import stringWidth from "string-width";
import * as assert from "uvu/assert";
import type { RunnerEvent } from "../../../src/lab/events.ts";
import { jsonView, plainView } from "../../../src/lab/watch/line-views.ts";
import { fitting, frame, liveView } from "../../../src/lab/watch/live-view.ts";
import { afterEvent, afterLook, beginning, type NodeProgress } from "../../../src/lab/watch/progress.ts";
import type { View } from "../../../src/lab/watch/view.ts";
import { waitForNodes } from "../../../src/lab/watch/wait.ts";
import { doing, failureText, oneLine, span } from "../../../src/lab/watch/words.ts";
import { suite } from "../../support/suite.ts";
import { event, fakeDriver, lab, start, VirtualClock } from "./fake-lab.ts";

const truncate = fitting(cliTruncate, stringWidth);
const step = { step: "db", name: "database", from: "site.yaml:7", n: 3, m: 9 };
const tail = Array.from({ length: 25 }, (_, index) => `line ${index + 1}`).join("\n");
const failing: readonly RunnerEvent[] = [
  event("con01", 10, "run-start"),
  event("con01", 11, "step-start", step),
  event("con01", 100, "step-retry", { ...step, message: "the mirror is away" }),
  event("con01", 200, "step-fail", { ...step, message: "mariadb exit 1", tail }),
  event("con01", 200, "failed", { ...step, message: "mariadb exit 1", tail }),
];
const waiting: readonly RunnerEvent[] = [
  event("com01", 12, "run-start"),
  event("com01", 13, "step-start", { step: "wait/x", name: "waits for con01: x", n: 1, m: 4 }),
];

/** Plays the failing site into a view. */
async function play(view: View, clock: VirtualClock): Promise<void> {
  const scripts = { con01: { events: failing }, com01: { events: waiting } };
  const driver = fakeDriver(clock, scripts);
  await waitForNodes({ driver, lab, machines: ["con01", "com01"], view, timeout: 7200, clock });
}

class Output {
  text = "";
  isTTY = true;
  columns: number;
  rows: number;
  constructor(columns = 80, rows = 24) {
    this.columns = columns;
    this.rows = rows;
  }
  write(text: string): boolean {
    this.text += text;
    return true;
  }
}

suite("views of a lab", (test) => {
  test("plain lines: every event, a sign of life each minute, and the failure with place and 20 lines", async () => {
    const out = new Output();
    await play(
      plainView(out, start, (from) => (from === "site.yaml:7" ? "  - name: database" : null)),
      new VirtualClock(),
    );
    const lines = out.text.split("\n");
    assert.equal(lines.slice(0, 4), [
      "[   10s] con01: the runner starts",
      "[   12s] com01: the runner starts",
      "[ 1m10s] con01: 1/9 still database, 59s",
      "[ 1m12s] com01: 1/4 still waits for con01: x, 59s",
    ]);
    assert.ok(lines.includes("[ 1m40s] con01: 3/9 again database: the mirror is away"));
    const from = lines.indexOf("con01 FAILED at database (db)");
    assert.equal(lines.slice(from, from + 7), [
      "con01 FAILED at database (db)",
      "  mariadb exit 1",
      "  asked for by site.yaml:7",
      "    7 | - name: database",
      "  its last 20 lines:",
      "  | line 6",
      "  | line 7",
    ]);
    assert.is(lines.at(-3), "  | line 25");
    assert.match(lines.at(-2)!, /^com01 1\/4 waits for con01: x for 3m07s$/);
  });

  test("JSON lines: the runner's events as they are, and an end that has everything", async () => {
    const out = new Output();
    await play(jsonView(out), new VirtualClock());
    const values = out.text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.equal(
      values.filter(({ node }) => node === "con01"),
      failing as unknown as typeof values,
    );
    const end = values.at(-1);
    assert.equal([end.event, end.outcome, end.failed.node], ["lab-end", "failed", "con01"]);
    assert.equal([end.failed.failure.from, end.failed.failure.tail.length], ["site.yaml:7", 20]);
    assert.equal(
      end.nodes.map(({ node, phase }: NodeProgress) => [node, phase]),
      [
        ["con01", "failed"],
        ["com01", "running"],
      ],
    );
  });

  test("the live view ends with the cursor shown, nothing of it left, and the failure in full", async () => {
    const out = new Output();
    await play(await liveView(out as never, start, undefined, {}), new VirtualClock());
    assert.ok(out.text.includes("\x1b[36m"));
    const rest = out.text.slice(out.text.lastIndexOf("\x1b[G") + 3);
    assert.match(oneLine(rest), /^con01 FAILED at database \(db\)/);
    assert.match(rest, /\| line 25\n/);
    const plainOut = new Output();
    await play(await liveView(plainOut as never, start, undefined, { NO_COLOR: "1" }), new VirtualClock());
    assert.not.ok(plainOut.text.includes("\x1b[36m"));
  });
});

/** A node that works on something. */
const working = (node: string, more: Partial<NodeProgress> = {}): NodeProgress => ({
  ...beginning(node, start),
  phase: "running",
  done: 4,
  of: 30,
  running: [{ step: "a/b", name: "packages, services held back", from: null, since: start + 5000 }],
  ...more,
});

suite("the drawing of a lab", (test) => {
  const now = start + 65_000;
  test("a row a node, with step n of m, how long, what, and its last line", () => {
    const nodes = [working("con01", { lastLine: "waits for a lock" }), beginning("com01", start)];
    assert.equal(frame(nodes, now, { columns: 90, rows: 24 }, truncate), [
      "con01  █░░░░░░░░░░░   5/30   1m00s  packages, services held back",
      "    waits for a lock",
      "com01  ░░░░░░░░░░░░          1m05s  booting",
      "2 nodes: 1 running, 1 booting; 1m05s",
    ]);
  });

  test("no line is wider than the terminal, at any width, with any text", () => {
    const nasty = "größe 名前名前名前 \x1b[31mred\x1b[0m\tтест\r\n🙂🙂🙂 ".repeat(9);
    const nodes = [
      working("a-name-of-a-node-that-goes-on-and-on-and-on-for-sixty-three-chars", { lastLine: nasty }),
      working("b", { running: [{ step: "s", name: nasty, from: null, since: null }] }),
      afterEvent(working("c"), event("c", 1, "failed", { message: nasty })),
    ];
    for (let columns = 1; columns < 140; columns += 1) {
      for (const rows of [1, 2, 4, 5, 24]) {
        const lines = frame(
          nodes,
          now,
          { columns, rows },
          truncate,
          (text, colour) => `\x1b[${colour}m${text}\x1b[0m`,
        );
        for (const line of lines)
          assert.ok(
            stringWidth(line) <= columns,
            `${stringWidth(line)} > ${columns}: ${JSON.stringify(line)}`,
          );
        assert.ok(lines.every((line) => !/[\r\n\t]/.test(line)));
      }
    }
  });

  test("more nodes than rows: what failed and what works is shown, the rest is counted", () => {
    const nodes = Array.from({ length: 50 }, (_, index) => {
      const name = `com${String(index).padStart(2, "0")}`;
      if (index < 20) return { ...working(name), phase: "ready" as const, ended: now };
      if (index === 49) return afterEvent(working(name), event(name, 1, "failed", { message: "no" }));
      return working(name);
    });
    const lines = frame(nodes, now, { columns: 80, rows: 12 }, truncate);
    assert.ok(lines.length <= 11);
    assert.match(lines[0]!, /^com20 /);
    assert.match(lines.at(-3)!, /^com49 .*FAILED/);
    assert.match(lines.at(-2)!, /^and 41 more: 21 running, 20 READY$/);
    assert.match(lines.at(-1)!, /^50 nodes: 1 failed, 29 running, 20 READY;/);
  });

  test("steps side by side are counted", () => {
    let state = afterEvent(beginning("a", start), event("a", 1, "run-start"));
    for (const name of ["x", "y", "z"])
      state = afterEvent(state, event("a", 2, "step-start", { step: name, name, n: 1, m: 9 }));
    assert.is(doing(state), "z (and 2 more)");
    state = afterEvent(state, event("a", 3, "step-ok", { step: "z", name: "z", n: 1, m: 9 }));
    assert.equal([doing(state), state.done], ["y (and 1 more)", 1]);
    // A failure beside the first, and what was given up because of it, end as well.
    state = afterEvent(state, event("a", 4, "step-fail", { step: "y", name: "y" }));
    state = afterEvent(state, event("a", 4, "step-stop", { step: "x", name: "x" }));
    assert.equal([state.running, state.done], [[], 3]);
  });

  test("before the runner speaks, the console does", () => {
    const running = { power: "running", reason: "" } as const;
    const state = afterLook(beginning("a", start), running, ["one", "two"], now);
    assert.is(state.lastLine, "two");
    assert.is(afterLook(working("a"), running, ["two"], now).lastLine, "");
  });
});

suite("words of a lab", (test) => {
  test("spans", () => {
    const spans = [0, 400, 59_400, 59_600, 185_000, 3_599_000, 3_720_000].map(span);
    assert.equal(spans, ["0s", "0s", "59s", "1m00s", "3m05s", "59m59s", "1h02m"]);
  });

  test("a line holds nothing that moves a cursor, changes direction or rings", () => {
    const line = oneLine("a\x1b[2Jb\x1b]0;title\x07c\r\nd\x07\u202ee\u2028f\x9bg");
    assert.is(line, "abc d e f g");
  });

  test("a failure without step, place or output says what it can", () => {
    const failure = { step: null, name: null, from: null, message: "the machine died", tail: [] };
    assert.is(failureText("a", failure), "a FAILED\n  the machine died\n");
  });
});

import * as fc from "fast-check";
import * as assert from "uvu/assert";
import { validateXML } from "xmllint-wasm";
import type { RunnerEvent } from "../../../src/lab/events.ts";
import { plannedActions } from "../../../src/lab/report/boot-record.ts";
import { readCloudInitLog } from "../../../src/lab/report/cloud-init-log.ts";
import { minutesOf, readDpkgLog } from "../../../src/lab/report/dpkg-log.ts";
import { type NodeTimeline, spanKinds, timeline } from "../../../src/lab/report/timeline.ts";
import { timelineSvg } from "../../../src/lab/report/timeline-svg.ts";
import { tickEvery, timelineText, took } from "../../../src/lab/report/timeline-text.ts";
import { suite } from "../../support/suite.ts";
import { event, start } from "../watch/fake-lab.ts";
import { at, ran, record } from "./records.ts";

const second = (time: number): number => (time - start) / 1000;
const brief = ({ spans }: NodeTimeline) =>
  spans.map(({ kind, name, start: from, end }) => [kind, name, from, end]);

// As Debian 12's cloud-init 22.4.2 writes it, shortened.
const cloudInitLog = `2026-01-01 00:00:10,100 - util.py[DEBUG]: Cloud-init v. 22.4.2 running 'init-local' at Thu, 01 Jan 2026 00:00:10 +0000. Up 820.38 seconds.
2026-01-01 00:00:10,200 - handlers.py[DEBUG]: start: init-local/search-NoCloud: searching for local data from DataSourceNoCloud
2026-01-01 00:00:10,400 - handlers.py[DEBUG]: finish: init-local/search-NoCloud: SUCCESS: found local data from DataSourceNoCloud
2026-01-01 00:00:10,500 - handlers.py[DEBUG]: finish: init-local: SUCCESS: searching for local datasources
2026-01-01 00:00:12,000 - util.py[DEBUG]: Cloud-init v. 22.4.2 running 'init' at Thu, 01 Jan 2026 00:00:12 +0000. Up 834.32 seconds.
2026-01-01 00:00:12,100 - handlers.py[DEBUG]: start: init-network/config-ssh: running config-ssh with frequency once-per-instance
Traceback (most recent call last):
2026-01-01 00:00:13,500 - handlers.py[DEBUG]: finish: init-network/config-ssh: SUCCESS: config-ssh ran successfully
2026-01-01 00:00:14,000 - handlers.py[DEBUG]: finish: init-network: SUCCESS: searching for network datasources
2026-01-01 00:00:15,000 - util.py[DEBUG]: Cloud-init v. 22.4.2 running 'modules:final' at Thu, 01 Jan 2026 00:00:15 +0000. Up 837.67 seconds.
2026-01-01 00:00:15,500 - handlers.py[DEBUG]: start: modules-final/config-scripts-per-boot: running config-scripts-per-boot with frequency always
`;

const dpkgLog = `2026-01-01 01:00:40 startup archives unpack
2026-01-01 01:00:40 install erlang-base:amd64 <none> 1:25
2026-01-01 01:00:41 status half-installed erlang-base:amd64 1:25
2026-01-01 01:00:44 status unpacked erlang-base:amd64 1:25
2026-01-01 01:00:44 install bc:amd64 <none> 1.07
2026-01-01 01:00:44 status unpacked bc:amd64 1.07
2026-01-01 01:00:46 startup packages configure
2026-01-01 01:00:46 configure bc:amd64 1.07 <none>
2026-01-01 01:00:46 status installed bc:amd64 1.07
2026-01-01 01:00:46 configure erlang-base:amd64 1:25 <none>
2026-01-01 01:00:49 status installed erlang-base:amd64 1:25
2026-01-01 01:00:49 trigproc man-db:amd64 2.11 <none>
2026-01-01 01:00:51 status installed man-db:amd64 2.11
`;

const packages: readonly RunnerEvent[] = [
  event("con01", 16, "run-start"),
  ...ran("con01", "preflight", 16, 17),
  ...ran("con01", "apt-update", 17, 30),
  ...ran("con01", "apt-install", 30, 52),
  ...ran("con01", "wait/x", 52, 82),
  ...ran("con01", "mariadb/unit", 82, 84),
  ...ran("con01", "mariadb/check/one", 84, 85, "check-ok"),
  event("con01", 85, "ready"),
];
const con01 = record("con01", packages, {
  cloudInit: readCloudInitLog(cloudInitLog),
  dpkg: readDpkgLog(dpkgLog, 60),
  actions: {
    "wait/x": { kind: "wait", name: "x on con02", from: "c.yaml:3" },
    "mariadb/unit": { kind: "unit", name: "mariadb.service", from: "c.yaml:4" },
  },
});

suite("the logs of a first boot", (test) => {
  test("cloud-init: stages from their programs' start, modules within, what had not ended", () => {
    assert.equal(
      readCloudInitLog(cloudInitLog).map(({ name, start: from, end }) => [
        name,
        second(from),
        end === null ? null : second(end),
      ]),
      [
        ["init-local", 10.1, 10.5],
        ["init-local/search-NoCloud", 10.2, 10.4],
        ["init-network", 12, 14],
        ["init-network/config-ssh", 12.1, 13.5],
        ["modules-final", 15, null],
        ["modules-final/config-scripts-per-boot", 15.5, null],
      ],
    );
  });

  test("dpkg: who took how long, in the node's time zone; not what is between two runs", () => {
    assert.equal(
      readDpkgLog(dpkgLog, 60).map((work) => [work.kind, work.package, second(work.start), second(work.end)]),
      [
        ["unpack", "erlang-base", 40, 44],
        ["configure", "erlang-base", 46, 49],
        ["triggers", "man-db", 49, 51],
      ],
    );
    assert.equal(["+0100", "-0330", "+0000\n", "", "UTC"].map(minutesOf), [60, -210, 0, 0, 0]);
  });

  test("logs that are none give nothing", () => {
    for (const text of ["", "\0\0\n\n", "2026-13-99 99:99:99 install x\n"])
      assert.equal([readCloudInitLog(text), readDpkgLog(text)], [[], []]);
  });

  test("plan.json: every action by id, with its line", () => {
    const actions = plannedActions(
      JSON.stringify({
        blocks: [{ actions: [{ kind: "unit", id: "a/u", unit: "a.service", from: "c.yaml:4:5" }] }],
        checks: [{ kind: "check", id: "a/c", name: "answers", from: "c.yaml:9:5" }],
      }),
    );
    assert.equal(actions, {
      "a/u": { kind: "unit", name: "a.service", from: "c.yaml:4" },
      "a/c": { kind: "check", name: "answers", from: "c.yaml:9" },
    });
    assert.equal(plannedActions(null), {});
  });
});

suite("timeline", (test) => {
  test("from power-on to READY, the transaction split by what apt and dpkg did", () => {
    const found = timeline([con01]);
    const [node] = found.nodes;
    assert.equal(brief(node!), [
      ["boot", "the system comes up", 0, 10.1],
      ["cloud-init", "init-local", 10.1, 10.5],
      ["boot", "the system comes up", 10.5, 12],
      ["cloud-init", "init-network; ssh 1.4 s of it", 12, 14],
      ["boot", "the system comes up", 14, 15],
      // What its last stage waits for is the runner's time.
      ["cloud-init", "modules-final", 15, 16],
      ["files", "name of preflight", 16, 17],
      ["download", "name of apt-update", 17, 30],
      ["download", "download of packages", 30, 40],
      ["unpack", "unpacking", 40, 44],
      ["packages", "dependencies, triggers of apt", 44, 46],
      ["configure", "maintainer scripts", 46, 51],
      ["packages", "dependencies, triggers of apt", 51, 52],
      ["wait", "name of wait/x", 52, 82],
      ["unit", "name of mariadb/unit", 82, 84],
      ["check", "name of mariadb/check/one", 84, 85],
    ]);
    assert.equal([node?.verdict, node?.start, node?.end, found.length], ["ready", 0, 85, 85]);
    assert.equal(
      [node?.spent.download, node?.spent.unpack, node?.spent.configure, node?.spent.wait],
      [23, 4, 5, 30],
    );
    // 52 to 17 is all packages', of which neither 5 s of scripts nor 3 s of apt's own are fetching or unpacking.
    assert.equal([node?.besidesUnpacking, node?.packages], [1 - 27 / 85, 35]);
    assert.equal(
      found.longest.slice(0, 3).map(({ name, seconds }) => [name, seconds]),
      [
        ["name of wait/x", 30],
        ["name of apt-update", 13],
        ["the system comes up", 12.6],
      ],
    );
    assert.equal(found.packages[0], { node: "con01", package: "erlang-base", unpack: 4, configure: 3 });
  });

  test("all nodes are on one axis, from the first that was switched on", () => {
    const late = record("b", [event("b", 70, "run-start"), ...ran("b", "x", 71, 100)], {
      poweredOn: at(60),
      gathered: at(120),
    });
    const found = timeline([con01, late]);
    assert.equal(
      found.nodes.map(({ node, verdict, start: from, end }) => [node, verdict, from, end]),
      [
        ["con01", "ready", 0, 85],
        ["b", "unfinished", 60, 120],
      ],
    );
    assert.is(found.nodes[1]?.spent.unaccounted, 21);
  });

  test("a reboot, a killed run and a failure have their time", () => {
    const events = [
      event("a", 10, "run-start"),
      ...ran("a", "reboot", 11, 12).slice(0, 1),
      event("a", 12, "reboot", { step: "reboot" }),
      event("a", 40, "run-start"),
      ...ran("a", "one", 41, 44).slice(0, 1),
      event("a", 43, "step-retry", { step: "one" }),
      event("a", 60, "run-start"),
      ...ran("a", "one", 61, 70, "step-fail"),
      event("a", 70, "failed", { step: "one" }),
    ];
    const [node] = timeline([record("a", events)]).nodes;
    assert.equal(
      node?.spans.map(({ kind, start: from, end, result }) => [kind, from, end, result]),
      [
        ["boot", 0, 10, "ok"],
        ["reboot", 11, 12, "ok"],
        ["reboot", 12, 40, "ok"],
        ["step", 41, 43, "unfinished"],
        ["step", 61, 70, "failed"],
      ],
    );
    assert.equal([node?.verdict, node?.end], ["failed", 70]);
  });

  test("checks that were run again after READY are no part of it", () => {
    const events = [...packages, ...ran("con01", "mariadb/check/one", 300, 310, "check-ok")];
    const [node] = timeline([{ ...con01, events, ended: at(85) }]).nodes;
    assert.equal([node?.end, Math.max(...node!.spans.map(({ end }) => end))], [85, 85]);
  });

  test("a machine that died ends its open step when it died", () => {
    const events = [event("a", 10, "run-start"), ...ran("a", "one", 11, 99).slice(0, 1)];
    const [node] = timeline([
      record("a", events, { phase: "failed", ended: at(30), gathered: at(90) }),
    ]).nodes;
    assert.equal(
      node?.spans.map(({ kind, start: from, end, result }) => [kind, from, end, result]),
      [
        ["boot", 0, 10, "ok"],
        ["step", 11, 30, "failed"],
      ],
    );
  });

  test("time that was spent on several things at once counts once", () => {
    const step = fc.record({
      id: fc.constantFrom("apt-update", "apt-install", "wait/a", "c/s", "c/t", "reboot"),
      from: fc.integer({ min: 10, max: 500 }),
      took: fc.integer({ min: 0, max: 300 }),
    });
    fc.assert(
      fc.property(fc.uniqueArray(step, { selector: ({ id }) => id, maxLength: 6 }), (steps) => {
        const events = [
          event("a", 9, "run-start"),
          ...steps
            .flatMap(({ id, from, took: long }) => ran("a", id, from, from + long))
            .sort((x, y) => (String(x.time) < String(y.time) ? -1 : 1)),
          event("a", 900, "ready"),
        ];
        const [node] = timeline([record("a", events)]).nodes;
        const sum = Object.values(node!.spent).reduce((all, one) => all + one, 0);
        assert.ok(Math.abs(sum - 900) < 0.001, `${sum}`);
        assert.ok(node!.spans.every((span) => span.end >= span.start && span.start >= 0));
        assert.ok(spanKinds.every((kind) => node!.spent[kind] >= 0));
      }),
    );
  });

  test("nothing is known of a node that has only been switched on, and nothing breaks", () => {
    const found = timeline([record("a", [], { poweredOn: null }), record("b", [])]);
    assert.is(found.nodes.length, 2);
    assert.ok(timelineText(found).length > 0);
    assert.ok(timelineSvg(found, "x").length > 0);
    assert.is(timelineText(timeline([])), "no node has booted yet\n");
  });
});

suite("timeline as text", (test) => {
  test("an axis, shares, the longest items, each node's table", () => {
    const lines = timelineText(timeline([con01]), 40).split("\n");
    assert.equal(lines.slice(0, 5), [
      "       0             30s           1m",
      "con01  bbbbbbiiDDDDDDDDDDDUUaCC---------------u|",
      "",
      "D apt: lists and downloads   U dpkg: unpacking   C dpkg: maintainer scripts   a apt: other   u units",
      "- waits for other nodes   i cloud-init   b firmware, kernel, system   | READY   X failed",
    ]);
    const text = lines.join("\n");
    assert.match(text, /^con01 {2}READY {4}1m25s .* 68%$/m);
    assert.match(text, /^ 1\. +30s {2}con01 {2}waits for other nodes +name of wait\/x$/m);
    assert.match(text, /^con01 +erlang-base +4\.0s +3\.0s$/m);
    assert.match(text, /^ +40s +4\.0s +5% +dpkg: unpacking +unpacking$/m);
  });

  test("seconds and ticks", () => {
    assert.equal([0, 0.04, 9.94, 9.96, 59.6, 185, 3720].map(took), [
      "0.0s",
      "0.0s",
      "9.9s",
      "10s",
      "1m00s",
      "3m05s",
      "1h02m",
    ]);
    assert.equal(
      [4, 85, 1900, 7300, 1e6].map((length) => tickEvery(length, 10)),
      [1, 10, 300, 900, 172_800],
    );
  });
});

suite("timeline as SVG", (test) => {
  const hostile = `<&>"' ]]> \x00\x1b[31m \ud800 名前`;
  const wait = (node: string): BootRecordEvents => [
    event(node, 20, "run-start"),
    ...Array.from({ length: 10 }, (_, index) => ran(node, `c/s${index}`, 21 + index, 22 + index)).flat(),
    ...ran(node, "wait/x", 31, 1831, "step-ok", { name: hostile }),
    event(node, 1832, "ready"),
  ];
  type BootRecordEvents = RunnerEvent[];

  test("is well-formed, whatever names are in it", async () => {
    const many = Array.from({ length: 12 }, (_, index) => record(`${hostile}${index}`, wait(`n${index}`)));
    for (const records of [[con01], many]) {
      const contents = timelineSvg(timeline(records), `site ${hostile}`);
      const { errors } = await validateXML({
        xml: [{ fileName: "x.svg", contents }],
        normalization: "format",
      } as never);
      assert.equal(errors, []);
    }
  });

  test("every span is drawn inside of the picture, also a second beside half an hour", () => {
    const svg = timelineSvg(timeline([record("a", wait("a"))]), "x");
    const [, width, height] = /width="(\d+)" height="([\d.]+)" viewBox/.exec(svg) ?? [];
    const boxes = [
      ...svg.matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/g),
    ].map((box) => box.slice(1).map(Number));
    assert.ok(boxes.length > 12);
    for (const [x, y, w, h] of boxes as [number, number, number, number][]) {
      assert.ok(w >= 1 && x + w <= Number(width) && y + h <= Number(height), `${[x, y, w, h]}`);
    }
  });
});

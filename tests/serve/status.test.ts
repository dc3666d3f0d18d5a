import { get } from "node:http";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Message, MessageReader } from "../../src/serve/listen.ts";
import { pageAnswers } from "../../src/serve/page.ts";
import type { BootServer, ServedNode } from "../../src/serve/server.ts";
import type { States } from "../../src/serve/states.ts";
import { type NodeDetails, type NodeStatus, type SiteStatus, Status } from "../../src/serve/status.ts";
import { progressOf } from "../../src/serve/watched.ts";
import { root } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";
import { macs, type TestServer, testServer } from "./boot-server.ts";

const nodes: readonly ServedNode[] = ["con01", "com01"].map((name) => ({
  name,
  macs: [macs[name] ?? ""],
  addresses: ["127.0.0.1"],
  installs: false,
  installable: true,
}));

/** A server with its status and page. */
async function withStatus(test: (server: TestServer, status: Status) => Promise<void>): Promise<void> {
  let made: Status | null = null;
  const page = pageAnswers(join(root, "templates", "status-page"));
  const server = await testServer({
    others: (states: States, itself: () => BootServer) => {
      const status = new Status({
        site: "x",
        states,
        server: itself,
        nodes,
        seedSeconds: 3600,
        source: (from) => (from === "c.yaml:7" ? "  - run: [false]" : null),
        dhcp: () => null,
        now: () => Date.parse("2026-01-01T00:00:00Z"),
      });
      made = status;
      return (request, response, path) =>
        status.handle(request, response, path) || page(request, response, path);
    },
  });
  try {
    await test(server, made!);
  } finally {
    (made as Status | null)?.close();
    await server.close();
  }
}

/** Listens until a message is what is waited for. */
function hear(
  port: number,
  enough: (message: Message) => boolean,
  then: () => void,
): Promise<readonly Message[]> {
  return new Promise((done, failed) => {
    const heard: Message[] = [];
    const reader = new MessageReader();
    const asked = get({ host: "127.0.0.1", port, path: "/events", agent: false }, (response) => {
      response.setEncoding("utf8");
      response.on("error", () => undefined);
      response.on("data", (text: string) => {
        for (const message of reader.read(text)) {
          heard.push(message);
          if (message.kind === "site") then();
          if (!enough(message)) continue;
          asked.destroy();
          done(heard);
        }
      });
    });
    asked.on("error", failed);
  });
}

const events = (...list: object[]): object => ({
  log: "a",
  events: list.map((event, at) => ({ time: "2026-01-01T00:00:00Z", at, ...event })),
});
const step = { step: "c/x", name: "a step", from: "c.yaml:7", n: 3, m: 9 };

suite("status", (test) => {
  test("tells of each node where it is, and of a failure where it comes from", () =>
    withStatus(async ({ get: ask, post }) => {
      const site = async (): Promise<SiteStatus> =>
        JSON.parse((await ask("/status.json")).body) as SiteStatus;
      const before = (await site()).nodes;
      assert.equal(
        before.map(({ node, stage, boot, step: at, seedClosed }) => [node, stage, boot, at, seedClosed]),
        [
          ["con01", "waiting", "install", null, null],
          ["com01", "waiting", "install", null, null],
        ],
      );
      await post("con01", events({ event: "run-start" }, { event: "step-start", ...step }));
      const [during] = (await site()).nodes;
      assert.equal([during?.stage, during?.step, during?.steps, during?.doing], ["running", 1, 9, "a step"]);
      const failed = { ...step, message: "exit 1", tail: "one\ntwo" };
      await post("con01", {
        log: "b",
        events: [
          { time: "2026-01-01T00:00:00Z", event: "step-fail", at: 1, ...failed },
          { time: "2026-01-01T00:00:00Z", event: "failed", at: 2, ...failed },
        ],
      });
      const details = JSON.parse((await ask("/status/nodes/con01.json")).body) as NodeDetails;
      assert.is(details.stage, "failed");
      assert.equal(details.failures, [
        {
          step: "c/x",
          name: "a step",
          from: "c.yaml:7",
          source: "  - run: [false]",
          message: "exit 1",
          tail: ["one", "two"],
        },
      ]);
      assert.equal(
        details.timeline.map(({ text }) => text),
        ["the runner starts", "3/9 FAIL a step: from c.yaml:7: exit 1", "FAILED"],
      );
      assert.is((await ask("/status/nodes/nobody.json")).status, 404);
      assert.is((await ask("/status/nodes/..%2fcon01.json")).status, 404);
    }));

  test("tells listeners what changes, with the runner's own words", () =>
    withStatus(async ({ port, post }) => {
      const heard = await hear(
        port,
        ({ kind, data }) =>
          kind === "nodes" && (data as SiteStatus).nodes.some(({ stage }) => stage === "ready"),
        () => void post("con01", events({ event: "run-start" }, { event: "ready" })),
      );
      assert.is(heard[0]?.kind, "site");
      const words = heard.filter(({ kind }) => kind === "happening").map(({ data }) => JSON.stringify(data));
      assert.is(words.length, 2);
      assert.match(words[1] ?? "", '"event":"ready"');
    }));

  test("names a machine that is no node, and keeps few of them", () =>
    withStatus(async ({ get: ask }, status) => {
      for (let n = 0; n < 200; n++) status.stranger({ mac: `52:54:00:00:01:${n}` }, "10.0.0.9");
      status.stranger({ mac: "52:54:00:00:01:199" }, "10.0.0.10");
      const { strangers } = JSON.parse((await ask("/status.json")).body) as SiteStatus;
      assert.is(strangers.length, 50);
      assert.equal(strangers[0], {
        machine: "52:54:00:00:01:199",
        address: "10.0.0.10",
        count: 2,
        last: Date.parse("2026-01-01T00:00:00Z"),
      });
    }));

  test("gives the page, which may load nothing from elsewhere", () =>
    withStatus(async ({ get: ask }) => {
      const page = await ask("/status");
      assert.is(page.status, 200);
      assert.match(String(page.headers["content-security-policy"]), "default-src 'none'; script-src 'self'");
      for (const [path, type] of [
        ["/status/page.css", "text/css; charset=utf-8"],
        ["/status/page.js", "text/javascript; charset=utf-8"],
      ] as const) {
        const file = await ask(path);
        assert.equal([file.status, file.headers["content-type"]], [200, type]);
        assert.match(page.body, path);
        assert.is((await ask(path, { "If-None-Match": String(file.headers.etag) })).status, 304);
      }
      assert.equal((await ask("/")).headers.location, "/status");
      assert.not.match(page.body, /<[^>]+ style=|<script>|https?:\/\/(?!ADDRESS)/);
    }));

  test("shows a node in a terminal as a lab shows its own", () => {
    const status: NodeStatus = {
      node: "con01",
      stage: "installing",
      since: 5,
      heard: 6,
      boot: "install",
      installable: true,
      address: null,
      macs: [],
      seedUntil: null,
      seedClosed: null,
      step: null,
      steps: null,
      doing: "copying",
      from: null,
      lastLine: "copying",
      failures: [],
      stages: [{ stage: "netboot", since: 1 }],
    };
    const progress = progressOf(status);
    assert.equal(
      [progress.phase, progress.since, progress.running[0]?.name],
      ["running", 1, "installs: copying"],
    );
    const failed = progressOf({ ...status, stage: "failed" });
    assert.equal([failed.phase, failed.failure?.message], ["failed", "failed"]);
  });
});

/** Machines of metal are switched on by people, one after the other: a node waits for those it needs. */
import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import { suite } from "../support/suite.ts";
import { addNode, makeLab, story, Workspace } from "./rendered.ts";

suite("a late controller", (test) => {
  let lab: Lab;
  const workspace = new Workspace();
  test.before(async () => {
    workspace.render();
    lab = await makeLab();
  });
  test.after(async () => {
    await lab?.destroy();
    workspace.remove();
  });

  test("a compute powered on ten minutes before its controller waits, says for what, and comes up", async () => {
    const con01 = await addNode(lab, workspace, "con01");
    const com01 = await addNode(lab, workspace, "com01");
    await com01.start();
    const begin = Date.now();
    await new Promise((done) => setTimeout(done, 600_000));
    assert.is(com01.state, "running", com01.reason);
    const events = com01.events();
    assert.not.ok(
      events.some((event) => event.event === "ready" || event.event === "failed"),
      JSON.stringify(events.slice(-3)),
    );
    assert.match(readFileSync(com01.consoleLog, "utf8"), /waits for con01/);
    await con01.start();
    for (const machine of [con01, com01]) {
      const verdict = await machine.waitVerdict({ timeout: 1800 });
      assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
    }
    console.log(`  com01 READY ${Math.round((Date.now() - begin) / 1000)} s after power-on`);
  });
});

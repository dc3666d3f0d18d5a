/**
 * The order between nodes of a whole cloud, without luck: a compute node that comes long before its controller, the
 * same one without the waits that are derived for it, and a controller that is rebooted in the middle. Its passwords are
 * such as break files, so that a cloud has been up with them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { addNode, cache, makeLab, story, Workspace } from "../boot/rendered.ts";
import { suite } from "../support/suite.ts";
import { hostilePasswords } from "./hostile.ts";
import { binds, cloudLab, openstack, until, untilStep } from "./machines.ts";
import { withoutWaits } from "./without-waits.ts";

suite("order", (test) => {
  let lab: Lab;
  let con01: Machine;
  let com01: Machine;
  let alone: Lab;
  let blind: Machine;
  const workspace = new Workspace("cloud");
  let powered = 0;
  const since = (): number => Math.round((Date.now() - powered) / 1000);

  test.before(async () => {
    console.log(`  ${hostilePasswords(workspace).length} passwords are hostile`);
    ({ lab, con01, com01 } = await cloudLab(workspace));
    // A cloud of its own: both have one address.
    alone = await makeLab();
    blind = await addNode(alone, workspace, "com01", { binds, change: withoutWaits });
  });
  test.after(async () => {
    await lab?.collect(join(cache, "logs", "order"));
    await alone?.collect(join(cache, "logs", "order-without-waits"));
    await lab?.destroy();
    await alone?.destroy();
    workspace.remove();
  });

  test("a compute node powered on ten minutes before its controller waits, and says for what", async () => {
    await Promise.all([com01.start(), blind.start()]);
    powered = Date.now();
    await new Promise((done) => setTimeout(done, 600_000));
    assert.is(com01.state, "running", com01.reason);
    const ended = com01.events().filter(({ event }) => event === "ready" || event === "failed");
    assert.equal(ended, [], await story(com01));
    // On a busy host it is at its packages still.
    let said = "";
    await until("a wait for the controller", 1800, async () => {
      const lines = readFileSync(com01.consoleLog, "utf8").split("\n");
      said = lines.findLast((line) => line.includes("waits for con01"))?.trim() ?? "";
      return said !== "" || "nothing yet";
    });
    assert.is(com01.state, "running", com01.reason);
    console.log(`  its console: ${said}`);
  });

  test("the same node without the waits that are derived is red", async () => {
    const verdict = await blind.waitVerdict({ timeout: 1800 });
    assert.is(verdict.outcome, "failed", await story(blind));
    console.log(`  without waits: ${verdict.reason} (${since()} s)`);
  });

  test("the controller, rebooted in the middle of a schema, goes on, and both come up READY", async () => {
    const begin = Date.now();
    await con01.start();
    await untilStep(con01, "nova-controller/schema-of-the-cells");
    await con01.reboot();
    console.log(`  rebooted ${Math.round((Date.now() - begin) / 1000)} s after power-on`);
    for (const machine of [con01, com01]) {
      // What was running at the controller's reboot is told as interrupted, and is no verdict on what comes after.
      const verdict = await machine.waitVerdict({ timeout: 2400, newOnly: machine === con01 });
      assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
      console.log(
        `  ${machine.name} READY ${Math.round((Date.now() - begin) / 1000)} s after the controller's power-on`,
      );
    }
    assert.is(con01.boots, 2);
    for (const machine of [con01, com01]) {
      const checked = await machine.exec(["seedsmith-node", "check", "--within", "120"], { timeout: 900 });
      assert.is(checked.status, 0, checked.stdout.slice(-2000));
    }
    // As a person does, whose shell reads the administrator's password.
    const agents = await openstack(con01, "openstack network agent list -f value -c Host -c Alive");
    assert.not.match(agents, "False");
    assert.match(agents, "com01 True");
  });
});

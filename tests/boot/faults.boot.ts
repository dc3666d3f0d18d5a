/** Things go wrong on a node: each ends red with the right step and line, or green after a resume. */
import { readFileSync } from "node:fs";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { suite } from "../support/suite.ts";
import { addNode, lineOf, makeLab, story, type Workspace } from "./rendered.ts";
import { componentFile, good, smallWorkspace } from "./small.ts";

interface Fault {
  readonly title: string;
  readonly body: string;
  /** A text of the planted line. */
  readonly planted: string;
}

const step = (extra: string): string => `${good}before_start:\n  - ${extra}\n`;

const faults: readonly Fault[] = [
  {
    title: "a wrong package name",
    body: "packages:\n  - bc\n  - no-such-package-at-all\n",
    planted: "no-such-package-at-all",
  },
  {
    title: "a step that exits 1",
    body: step('{ name: exits, run: [sh, -c, "echo planted words; exit 1"], repeat: safe }'),
    planted: "name: exits",
  },
  {
    title: "a step whose command is missing",
    body: step("{ name: missing, run: [no-such-command], repeat: safe }"),
    planted: "name: missing",
  },
  {
    title: "a step that takes too long",
    body: step('{ name: slow, run: [sleep, "60"], within: 3s, repeat: safe }'),
    planted: "name: slow",
  },
  {
    title: "a step that runs and whose unless still does not hold",
    body: step('{ name: useless, run: ["true"], unless: { file: /never } }'),
    planted: "name: useless",
  },
  {
    title: "a step of a user that does not exist",
    body: step('{ name: nobody there, run: ["true"], user: nosuchuser, repeat: safe }'),
    planted: "name: nobody there",
  },
  {
    title: "a unit that does not exist",
    body: `${good}units:\n  - { unit: nosuch.service, within: 10s }\n`,
    planted: "nosuch.service",
  },
  {
    title: "a unit whose validation fails",
    // Only a start or a restart is validated, and the drop-in makes a restart due.
    body: `${good}units:\n  - { unit: cron.service, drop_in: { Unit: { Description: planted } }, validate: { run: ["false"] } }\n`,
    planted: "cron.service",
  },
  {
    title: "a readiness that never comes",
    body: `${good}ready:\n  - { name: never ready, tcp: "127.0.0.1:1", within: 4s }\n`,
    planted: "name: never ready",
  },
  {
    title: "a check over HTTP that fails",
    body: `${good}checks:\n  - { name: page, http: "http://127.0.0.1:1/", within: 4s }\n`,
    planted: "name: page",
  },
  {
    title: "a check of output that fails",
    body: `${good}checks:\n  - { name: words, run: [echo, one], prints: two, within: 4s }\n`,
    planted: "name: words",
  },
];

suite("faults on a small node", (test) => {
  let lab: Lab;
  let machine: Machine;
  let generation = 1;
  const workspaces: Workspace[] = [];

  test.before(async () => {
    lab = await makeLab();
  });
  test.after(async () => {
    await lab?.destroy();
    for (const workspace of workspaces) workspace.remove();
  });

  for (const fault of faults) {
    test(`${fault.title} ends red and names the planted line`, async () => {
      const workspace = smallWorkspace(fault.body);
      workspaces.push(workspace);
      workspace.edit("profile: small", `profile: small\n    generation: ${generation++}`);
      workspace.render();
      if (machine === undefined) {
        machine = await addNode(lab, workspace, "small");
        await machine.start();
      } else {
        // A raised generation is a first boot again, by the same way as any.
        await machine.powerOff();
        machine.laySeed(workspace.seed("small"));
        await machine.start();
      }
      const verdict = await machine.waitVerdict({ timeout: 900, newOnly: generation > 2 });
      assert.is(verdict.outcome, "failed", `${verdict.reason}\n${await story(machine)}`);
      const place = `${componentFile}:${lineOf(workspace, componentFile, fault.planted)}`;
      assert.is(verdict.event?.from, place, JSON.stringify(verdict.event));
      const log = readFileSync(machine.consoleLog, "utf8");
      assert.ok(
        log.includes(`SEEDSMITH small FAILED step=${verdict.event?.step} from=${place}`) ||
          (await machine.journal(["-u", "seedsmith-node"])).includes(`from=${place}`),
        log.slice(-500),
      );
      const status = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 600 });
      assert.is.not(status.status, 0, "cloud-init status is an error");
      assert.match(status.stdout, /error/);
    });
  }

  test("a failed node stays an error on the next boot, and is green once the fault is mended", async () => {
    await machine.powerCycle();
    await machine.waitVerdict({ timeout: 900, newOnly: true });
    const red = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 600 });
    assert.is.not(red.status, 0);
    const workspace = smallWorkspace(`${good}checks:\n  - { name: words, run: [echo, one], prints: one }\n`);
    workspaces.push(workspace);
    workspace.edit("profile: small", `profile: small\n    generation: ${generation++}`);
    workspace.render();
    await machine.powerOff();
    machine.laySeed(workspace.seed("small"));
    await machine.start();
    const verdict = await machine.waitVerdict({ timeout: 900, newOnly: true });
    assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
    const green = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 600 });
    assert.is(green.status, 0, green.stdout);
  });
});

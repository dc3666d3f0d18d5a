/** First boot is interrupted, or finds what it needs away or held: it waits, or goes on from there. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { suite } from "../support/suite.ts";
import { addNode, makeLab, story, type Workspace } from "./rendered.ts";
import { good, smallWorkspace } from "./small.ts";

suite("interruptions", (test) => {
  let lab: Lab;
  const workspaces: Workspace[] = [];
  test.before(async () => {
    lab = await makeLab();
  });
  test.after(async () => {
    await lab?.destroy();
    for (const workspace of workspaces) workspace.remove();
  });

  const slowStep = `${good}before_start:\n  - { name: long, run: [sh, -c, "sleep 20; touch /root/long-done"], unless: { file: /root/long-done } }\nchecks:\n  - { name: done, file: /root/long-done }\n`;

  async function untilStep(machine: Machine, name: string): Promise<void> {
    for (let tries = 0; tries < 1200; tries++) {
      if (machine.events().some((event) => event.event === "step-start" && event.name?.includes(name)))
        return;
      await new Promise((done) => setTimeout(done, 500));
    }
    throw new Error(`no step ${name}: ${await story(machine)}`);
  }

  test("a runner that is killed goes on from there when the unit is started again", async () => {
    const workspace = smallWorkspace(slowStep);
    workspaces.push(workspace);
    workspace.render();
    const machine = await addNode(lab, workspace, "small");
    await machine.start();
    await untilStep(machine, "long");
    await machine.must(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "seedsmith-node.service"]);
    const status = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 600 });
    assert.is.not(status.status, 0, "a killed first boot is an error");
    await machine.must(["systemctl", "reset-failed", "seedsmith-node.service"]);
    await machine.must(["systemctl", "start", "seedsmith-node.service"], { timeout: 600 });
    const verdict = await machine.waitVerdict({ timeout: 900 });
    assert.is(verdict.outcome, "ready", await story(machine));
    await machine.powerOff();
  });

  test("a reboot in the middle is gone on from", async () => {
    const workspace = smallWorkspace(slowStep, [["small2", "16", 22]]);
    workspaces.push(workspace);
    workspace.render();
    const machine = await addNode(lab, workspace, "small2");
    await machine.start();
    await untilStep(machine, "long");
    await machine.reboot();
    const verdict = await machine.waitVerdict({ timeout: 900, newOnly: true });
    assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
    const status = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 600 });
    assert.is(status.status, 0, status.stdout);
    await machine.powerOff();
  });

  test("a mirror that is away for 60 s is waited for", async () => {
    const workspace = smallWorkspace(good, [["small3", "17", 23]]);
    workspaces.push(workspace);
    workspace.render();
    const machine = await addNode(lab, workspace, "small3");
    const cut = async (action: "add" | "delete"): Promise<void> => {
      const done = await lab.outside(
        action === "add"
          ? [
              "nft",
              "add table ip away; add chain ip away stop { type filter hook forward priority -10; }; add rule ip away stop meta l4proto tcp drop",
            ]
          : ["nft", "delete table ip away"],
      );
      assert.is(done.status, 0, done.stderr);
    };
    await cut("add");
    try {
      await machine.start();
      await untilStep(machine, "apt-get update");
      await new Promise((done) => setTimeout(done, 60_000));
    } finally {
      await cut("delete");
    }
    const verdict = await machine.waitVerdict({ timeout: 900 });
    assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
    await machine.powerOff();
  });
});

suite("apt's locks", (test) => {
  const locks = [
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
  ];
  const names = [
    ["small", "15", 21],
    ["small2", "16", 22],
    ["small3", "17", 23],
    ["small4", "18", 24],
  ] as const;
  let lab: Lab;
  const workspace = smallWorkspace(good, names);
  test.before(async () => {
    workspace.render();
    lab = await makeLab();
  });
  test.after(async () => {
    await lab?.destroy();
    workspace.remove();
  });

  test("each of the four, held for 120 s by somebody else, is waited for", async () => {
    const machines = await Promise.all(names.map(async ([name]) => await addNode(lab, workspace, name)));
    for (const [index, machine] of machines.entries()) {
      // In place before the machine boots, so that nothing can come first.
      const holder = `import fcntl,os,time\nos.makedirs(os.path.dirname("${locks[index]}"),exist_ok=True)\nf=open("${locks[index]}","w")\nfcntl.lockf(f,fcntl.LOCK_EX)\ntime.sleep(120)\n`;
      writeFileSync(join(machine.root, "usr/local/sbin/hold.py"), holder);
      writeFileSync(
        join(machine.root, "etc/systemd/system/hold.service"),
        "[Unit]\nDefaultDependencies=no\nBefore=cloud-init-local.service\n[Service]\nExecStart=/usr/bin/python3 /usr/local/sbin/hold.py\n",
      );
      mkdirSync(join(machine.root, "etc/systemd/system/sysinit.target.wants"), { recursive: true });
      symlinkSync(
        "/etc/systemd/system/hold.service",
        join(machine.root, "etc/systemd/system/sysinit.target.wants/hold.service"),
      );
    }
    await Promise.all(machines.map(async (machine) => await machine.start()));
    for (const [index, machine] of machines.entries()) {
      const verdict = await machine.waitVerdict({ timeout: 900 });
      assert.is(verdict.outcome, "ready", `${locks[index]}: ${verdict.reason}\n${await story(machine)}`);
      const told = `${JSON.stringify(machine.events())}${await machine.journal(["-u", "seedsmith-node"])}`;
      assert.ok(told.includes(locks[index] ?? ""), `${locks[index]} is named as what is waited for`);
    }
  });
});

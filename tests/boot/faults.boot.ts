/** Things go wrong on a node: each ends red with the right step and line, or green after a resume. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { suite } from "../support/suite.ts";
import { addNode, lineOf, makeLab, story, Workspace } from "./rendered.ts";

/** A node with little to do, so that a fault costs seconds. */
const smallNode = (name: string, octet: string, address: number, more = ""): string => `
  ${name}:
    profile: small
    interfaces:
      management: { mac: "52:54:00:0a:00:${octet}", address: 10.0.0.${address} }
      provider: { mac: "52:54:00:cb:00:${octet}" }${more}
`;

const smallProfile = "profile: small\nsummary: A node for faults\ncomponents: [small]\n";

/** The component that carries the faults; each test plants its own. */
const component = (body: string): string =>
  `component: small\nsummary: What the fault tests plant things in\n${body}`;

function smallWorkspace(
  body: string,
  nodes: readonly (readonly [string, string, number])[] = [["small", "15", 21]],
): Workspace {
  const workspace = new Workspace();
  const site = readFileSync(join(workspace.folder, "site.yaml"), "utf8");
  workspace.write(
    "site.yaml",
    site.slice(0, site.indexOf("nodes:")) +
      "nodes:" +
      nodes.map(([name, octet, address]) => smallNode(name, octet, address)).join(""),
  );
  workspace.write("profiles/small.yaml", smallProfile);
  workspace.write("templates/components/small/component.yaml", component(body));
  return workspace;
}

const componentFile = "templates/components/small/component.yaml";

interface Fault {
  readonly title: string;
  readonly body: string;
  /** A text of the planted line. */
  readonly planted: string;
}

const good = "packages: [bc]\n";
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
      const verdict = await machine.waitVerdict({ timeout: 240, newOnly: generation > 2 });
      assert.is(verdict.outcome, "failed", `${verdict.reason}\n${await story(machine)}`);
      const place = `${componentFile}:${lineOf(workspace, componentFile, fault.planted)}`;
      assert.is(verdict.event?.from, place, JSON.stringify(verdict.event));
      const log = readFileSync(machine.consoleLog, "utf8");
      assert.ok(
        log.includes(`SEEDSMITH small FAILED step=${verdict.event?.step} from=${place}`) ||
          (await machine.journal(["-u", "seedsmith-node"])).includes(`from=${place}`),
        log.slice(-500),
      );
      const status = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 120 });
      assert.is.not(status.status, 0, "cloud-init status is an error");
      assert.match(status.stdout, /error/);
    });
  }

  test("a failed node stays an error on the next boot, and is green once the fault is mended", async () => {
    await machine.powerCycle();
    await machine.waitVerdict({ timeout: 240, newOnly: true });
    const red = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 120 });
    assert.is.not(red.status, 0);
    const workspace = smallWorkspace(`${good}checks:\n  - { name: words, run: [echo, one], prints: one }\n`);
    workspaces.push(workspace);
    workspace.edit("profile: small", `profile: small\n    generation: ${generation++}`);
    workspace.render();
    await machine.powerOff();
    machine.laySeed(workspace.seed("small"));
    await machine.start();
    const verdict = await machine.waitVerdict({ timeout: 240, newOnly: true });
    assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
    const green = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 120 });
    assert.is(green.status, 0, green.stdout);
  });
});

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

  const slowStep = `${good}before_start:\n  - { name: long, run: [sh, -c, "sleep 8; touch /root/long-done"], unless: { file: /root/long-done } }\nchecks:\n  - { name: done, file: /root/long-done }\n`;

  async function untilStep(machine: Machine, name: string): Promise<void> {
    for (let tries = 0; tries < 240; tries++) {
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
    await machine.must(["systemctl", "kill", "--signal=KILL", "seedsmith-node.service"]);
    const status = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 120 });
    assert.is.not(status.status, 0, "a killed first boot is an error");
    await machine.must(["systemctl", "reset-failed", "seedsmith-node.service"]);
    await machine.must(["systemctl", "start", "seedsmith-node.service"], { timeout: 120 });
    const verdict = await machine.waitVerdict({ timeout: 60 });
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
    const verdict = await machine.waitVerdict({ timeout: 240 });
    assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
    const status = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 120 });
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
              "add table ip away; add chain ip away stop { type filter hook forward priority -10; policy drop; }",
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
    const verdict = await machine.waitVerdict({ timeout: 400 });
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
      const verdict = await machine.waitVerdict({ timeout: 400 });
      assert.is(verdict.outcome, "ready", `${locks[index]}: ${verdict.reason}\n${await story(machine)}`);
      const told = `${JSON.stringify(machine.events())}${await machine.journal(["-u", "seedsmith-node"])}`;
      assert.ok(told.includes(locks[index] ?? ""), `${locks[index]} is named as what is waited for`);
    }
  });
});

/**
 * Three controllers: clusters of the database, the broker and the key-value store. Run by `npm run test:boot --
 * cluster`, not by default.
 */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { suite } from "../support/suite.ts";
import { addNode, makeLab, story, Workspace } from "./rendered.ts";
import { siteText } from "./site-text.ts";

const components = join(import.meta.dirname, "..", "..", "templates", "components");
const names = ["con01", "con02", "con03"] as const;

const site = siteText(
  Object.fromEntries(names.map((name, index) => [name, { profile: "environment", octet: index + 1 }])),
  { more: "front: { name: cloud, address: 10.0.0.100 }\n" },
);

/** Tries again until it holds: members tell each other what has changed, and that takes its time. */
async function soon(seconds: number, test: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    try {
      await test();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

suite("three controllers", (test) => {
  let lab: Lab;
  let machines: readonly Machine[];
  const workspace = new Workspace();
  const one = (name: (typeof names)[number]): Machine => {
    const found = machines.find((machine) => machine.name === name);
    if (found === undefined) throw new Error(`no machine ${name}`);
    return found;
  };
  const sql = async (name: (typeof names)[number], text: string): Promise<string> =>
    (await one(name).must(["mariadb", "--batch", "--skip-column-names"], { stdin: text })).trim();
  const etcd = async (name: (typeof names)[number], ...words: string[]): Promise<string> =>
    (
      await one(name).must(["etcdctl", `--endpoints=http://10.0.0.${name.slice(-1)}:2379`, ...words], {
        env: { ETCDCTL_API: "3" },
      })
    ).trim();
  const login = async (address: string): Promise<void> => {
    const password = workspace.secrets()["rabbitmq.user.openstack"] ?? "";
    const done = await lab.outside([
      "env",
      `URL=amqp://openstack:${password}@${address}`,
      "python3",
      join(components, "rabbitmq", "amqp-login.py"),
      "permissions",
    ]);
    assert.is(done.status, 0, done.stderr);
  };
  const members = async (name: (typeof names)[number], wanted: readonly string[]): Promise<void> => {
    const status = JSON.parse(
      await one(name).must(["rabbitmqctl", "cluster_status", "--formatter", "json"]),
    ) as {
      running_nodes: string[];
    };
    assert.equal(
      [...status.running_nodes].sort(),
      wanted.map((member) => `rabbit@${member}`),
    );
  };

  test.before(async () => {
    workspace.write("site.yaml", site);
    workspace.render();
    lab = await makeLab();
    const made: Machine[] = [];
    for (const name of names) made.push(await addNode(lab, workspace, name));
    machines = made;
  });
  test.after(async () => {
    await lab?.destroy();
    workspace.remove();
  });

  test("all three, powered on together, come up READY", async () => {
    await Promise.all(machines.map(async (machine) => await machine.start()));
    for (const machine of machines) {
      const verdict = await machine.waitVerdict({ timeout: 2400 });
      assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
      console.log(`  ${machine.name} READY after ${Math.round(verdict.seconds)} s`);
    }
  });

  test("each cluster has three members, and what one is told another knows", async () => {
    for (const name of names) {
      assert.is(await sql(name, "SHOW STATUS LIKE 'wsrep_cluster_size'"), "wsrep_cluster_size\t3");
      await members(name, names);
      await login(`10.0.0.${name.slice(-1)}`);
    }
    await sql(
      "con01",
      "CREATE DATABASE seen; CREATE TABLE seen.t (n INT PRIMARY KEY); INSERT INTO seen.t VALUES (1);",
    );
    await soon(20, async () => assert.is(await sql("con03", "SELECT n FROM seen.t"), "1"));
    await etcd("con01", "put", "seen", "one");
    assert.is(await etcd("con03", "get", "--print-value-only", "seen"), "one");
    const list = JSON.parse(await etcd("con02", "member", "list", "--write-out=json")) as {
      members: { name: string }[];
    };
    assert.equal(list.members.map((member) => member.name).sort(), [...names]);
  });

  test("run again without its state, the founder changes nothing and founds nothing anew", async () => {
    const look = async (): Promise<string> =>
      (await one("con01").must([
        "systemctl",
        "show",
        "-p",
        "InvocationID",
        "mariadb",
        "rabbitmq-server",
        "etcd",
      ])) + (await sql("con01", "SHOW STATUS LIKE 'wsrep_cluster_state_uuid'"));
    const before = await look();
    await one("con01").must(["rm", "-rf", "/var/lib/seedsmith/state"]);
    assert.match(
      await one("con01").must(["seedsmith-node", "run"], { timeout: 300 }),
      /SEEDSMITH con01 READY/,
    );
    assert.is(await look(), before);
  });

  test("with the founder's power cut the other two go on", async () => {
    await one("con01").kill();
    await soon(60, async () => {
      assert.is(
        await sql("con02", "SHOW STATUS LIKE 'wsrep_cluster_status'"),
        "wsrep_cluster_status\tPrimary",
      );
      await sql("con02", "REPLACE INTO seen.t VALUES (2)");
      assert.is(await sql("con03", "SELECT COUNT(*) FROM seen.t"), "2");
    });
    await soon(60, async () => {
      await etcd("con02", "put", "seen", "two");
      assert.is(await etcd("con03", "get", "--print-value-only", "seen"), "two");
    });
    await soon(120, async () => {
      await members("con02", ["con02", "con03"]);
      await login("10.0.0.3");
    });
  });

  test("switched on again it joins them, and has what was written meanwhile", async () => {
    await one("con01").start();
    await one("con01").waitCloudInit(900);
    await soon(300, async () => {
      assert.is(await sql("con01", "SHOW STATUS LIKE 'wsrep_cluster_size'"), "wsrep_cluster_size\t3");
      assert.is(await sql("con01", "SELECT COUNT(*) FROM seen.t"), "2");
      assert.is(await etcd("con01", "get", "--print-value-only", "seen"), "two");
      await members("con01", names);
      await login("10.0.0.1");
    });
    for (const machine of machines) {
      const done = await machine.exec(["seedsmith-node", "check", "--within", "60"], { timeout: 600 });
      assert.is(done.status, 0, done.stdout);
    }
  });
});

/** The OpenStack environment, from rendered seeds to services that answer as a client would ask them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { suite } from "../support/suite.ts";
import { addNode, makeLab, story, Workspace } from "./rendered.ts";

const components = join(import.meta.dirname, "..", "..", "templates", "components");

/** Looks at every process of the host, and so of all machines, for secrets in argument lists. */
class CommandLines {
  readonly leaks = new Set<string>();
  samples = 0;
  readonly #timer: NodeJS.Timeout;
  constructor(secrets: Readonly<Record<string, string>>) {
    this.#timer = setInterval(() => {
      this.samples += 1;
      for (const pid of readdirSync("/proc")) {
        if (!/^\d+$/.test(pid)) continue;
        let line: string;
        try {
          line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        } catch {
          continue;
        }
        for (const [name, value] of Object.entries(secrets))
          if (line.includes(value)) this.leaks.add(`${name}: ${line.split("\0")[0]}`);
      }
    }, 100);
  }
  stop(): void {
    clearInterval(this.#timer);
  }
}

suite("the environment", (test) => {
  let lab: Lab;
  let con01: Machine;
  let com01: Machine;
  let lines: CommandLines;
  const workspace = new Workspace();

  test.before(async () => {
    workspace.render();
    lab = await makeLab();
    con01 = await addNode(lab, workspace, "con01");
    com01 = await addNode(lab, workspace, "com01");
    lines = new CommandLines(workspace.secrets());
  });
  test.after(async () => {
    lines?.stop();
    await lab?.destroy();
    workspace.remove();
  });

  test("both nodes, powered on together, come up READY", async () => {
    await Promise.all([con01.start(), com01.start()]);
    for (const machine of [con01, com01]) {
      const verdict = await machine.waitVerdict({ timeout: 1800 });
      assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
      console.log(`  ${machine.name} READY after ${Math.round(verdict.seconds)} s`);
    }
    lines.stop();
  });

  async function everythingAnswers(): Promise<void> {
    const outside = async (argv: string[], environment: Record<string, string> = {}): Promise<string> => {
      const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
      const done = await lab.outside(["env", ...assignments, ...argv], { timeout: 300 });
      assert.is(done.status, 0, `${argv.join(" ")}: ${done.stdout}${done.stderr}`);
      return done.stdout;
    };
    const secrets = workspace.secrets();
    const database = secrets["mariadb.database.probe"] ?? "";
    const broker = secrets["rabbitmq.user.openstack"] ?? "";
    await outside(["python3", join(components, "mariadb", "mysql-login.py")], {
      URL: `mysql://probe:${database}@10.0.0.1/probe`,
    });
    await outside(["python3", join(components, "rabbitmq", "amqp-login.py")], {
      URL: `amqp://openstack:${broker}@10.0.0.1`,
    });
    // A wrong password must be refused, else the two above prove nothing.
    const refused = await lab.outside([
      "env",
      "URL=mysql://probe:wrong@10.0.0.1/probe",
      "python3",
      join(components, "mariadb", "mysql-login.py"),
    ]);
    assert.is.not(refused.status, 0);
    const refusedBroker = await lab.outside([
      "env",
      "URL=amqp://openstack:wrong@10.0.0.1",
      "python3",
      join(components, "rabbitmq", "amqp-login.py"),
    ]);
    assert.is.not(refusedBroker.status, 0);
    const stats = await outside([
      "python3",
      "-c",
      "import socket;s=socket.create_connection(('10.0.0.1',11211),5);s.sendall(b'stats\\r\\n');d=b''\nwhile b'END' not in d: d+=s.recv(4096)\nprint(d.decode())",
    ]);
    assert.match(stats, /STAT pid \d+/);
    const etcd =
      "import urllib.request as u,json,base64 as b\ndef p(path,d): return json.load(u.urlopen(u.Request('http://10.0.0.1:2379'+path,json.dumps(d).encode()),timeout=5))\nprint(json.load(u.urlopen('http://10.0.0.1:2379/health',timeout=5))['health'])\nk=b.b64encode(b'outside').decode();v=b.b64encode(b'written').decode()\np('/v3/kv/put',{'key':k,'value':v})\nprint(b.b64decode(p('/v3/kv/range',{'key':k})['kvs'][0]['value']).decode())\np('/v3/kv/deleterange',{'key':k})";
    assert.is((await outside(["python3", "-c", etcd])).trim(), "true\nwritten");
    const sources = await com01.must(["chronyc", "-c", "sources"]);
    assert.match(sources, /^\^,\*,(con01|10\.0\.0\.1),/m, sources);
    for (const machine of [con01, com01]) {
      const failed = await machine.must(["systemctl", "list-units", "--failed", "--no-legend", "--plain"]);
      const units = failed.split("\n").flatMap((line) => line.split(" ")[0] || []);
      const why = units.map(async (unit) => await machine.journal(["-u", unit, "-n", "20"]));
      assert.equal(units, [], `${machine.name}: ${failed}${(await Promise.all(why)).join("\n")}`);
    }
  }

  test("every service answers from outside, and no unit has failed", everythingAnswers);

  test("cloud-init says done without errors", async () => {
    for (const machine of [con01, com01]) {
      const status = JSON.parse(
        await machine.must(["cloud-init", "status", "--wait", "--format", "json"]),
      ) as { status: string; errors: string[] };
      assert.is(status.status, "done");
      assert.equal(status.errors, []);
    }
  });

  test("no secret is in logs, journals, plans, world-readable files or argument lists", async () => {
    const secrets = workspace.secrets();
    assert.ok(Object.keys(secrets).length >= 4, Object.keys(secrets).join());
    assert.ok(lines.samples > 50, `${lines.samples} samples`);
    assert.equal([...lines.leaks], []);
    const rendered = workspace.render();
    for (const machine of [con01, com01]) {
      const texts: Record<string, string> = {
        stdout: rendered,
        "plan.json": readFileSync(workspace.path(machine.name, "plan.json"), "utf8"),
        console: readFileSync(machine.consoleLog, "utf8"),
        journal: await machine.journal(),
        events: machine.readFile("/var/lib/seedsmith/state/events.jsonl") ?? "",
        "cloud-init.log": machine.readFile("/var/log/cloud-init.log") ?? "",
        "cloud-init-output.log": machine.readFile("/var/log/cloud-init-output.log") ?? "",
      };
      assert.ok((texts.events ?? "").length > 100);
      for (const [where, text] of Object.entries(texts)) {
        for (const [name, value] of Object.entries(secrets))
          assert.not.ok(text.includes(value), `${name} is in ${where} of ${machine.name}`);
      }
      // The patterns go by stdin, so that grep's own argument list holds none.
      const patterns = `${Object.values(secrets).join("\n")}\n`;
      const found = await machine.exec(
        [
          "sh",
          "-c",
          "cat >/run/patterns; chmod 600 /run/patterns; find / -xdev -type f -perm -o=r -size -20M -print0 | xargs -0 grep -lFf /run/patterns; rm /run/patterns",
        ],
        { stdin: patterns, timeout: 120 },
      );
      assert.is(found.stdout.trim(), "", `world-readable files of ${machine.name} hold secrets`);
    }
    // The compute's seed holds what it asks for, and nothing of the others.
    const seed = readFileSync(workspace.path("com01", "user-data"), "utf8");
    for (const [name, value] of Object.entries(secrets)) {
      const wanted = ["mariadb.database.probe", "rabbitmq.user.openstack"].includes(name);
      assert.is(seed.includes(value), wanted, name);
    }
  });

  test("run again without its state, the runner changes nothing", async () => {
    const snapshot = async (): Promise<string> =>
      await con01.must(
        [
          "sh",
          "-ec",
          `
        find /etc /usr/local /root /var/lib/seedsmith/seed /var/lib/rabbitmq/.erlang.cookie -type f -printf '%T@ %m %u %p\\n' | sort
        systemctl show -p InvocationID chrony mariadb rabbitmq-server memcached etcd
        mariadb -N -e 'SELECT User,Host,Priv FROM mysql.global_priv ORDER BY 1,2; SHOW DATABASES; SELECT * FROM mysql.db'
        rabbitmqctl -q list_users; rabbitmqctl -q list_permissions
      `,
        ],
        { timeout: 60 },
      );
    const before = await snapshot();
    assert.ok(before.includes("InvocationID"));
    await con01.must(["rm", "-rf", "/var/lib/seedsmith/state"]);
    const again = await con01.must(["seedsmith-node", "run"], { timeout: 300 });
    assert.match(again, /SEEDSMITH con01 READY/);
    assert.is(await snapshot(), before);
  });

  const mutations = parse(readFileSync(join(import.meta.dirname, "..", "mutations.yaml"), "utf8")) as {
    component: string;
    check: string;
    node: string;
    break: string;
    undo: string;
  }[];

  /** Names of the red checks of a node. */
  async function redChecks(machine: Machine): Promise<string[]> {
    const before = machine.events().length;
    // Long enough for the slowest of the green ones on a machine that has other things to do.
    await machine.exec(["seedsmith-node", "check", "--within", "10"], { timeout: 600 });
    const events = machine.events().slice(before);
    assert.ok(events.some((event) => event.event === "check-ok" || event.event === "check-fail"));
    return [
      ...new Set(events.filter((event) => event.event === "check-fail").map((event) => event.step ?? "")),
    ];
  }

  test("every check of the plan has a mutation", () => {
    const planned = new Set<string>();
    for (const node of ["con01", "com01"]) {
      const plan = JSON.parse(readFileSync(workspace.path(node, "plan.json"), "utf8")) as {
        checks: { id: string; name: string }[];
      };
      for (const { id, name } of plan.checks) planned.add(`${id.split("/")[0]}: ${name}`);
    }
    const mutated = new Set(mutations.map(({ component, check }) => `${component}: ${check}`));
    assert.equal(
      [...planned].filter((check) => !mutated.has(check)),
      [],
    );
  });

  for (const mutation of mutations) {
    test(`breaking "${mutation.check}" of ${mutation.component} turns exactly that check red`, async () => {
      const machine = mutation.node === "con01" ? con01 : com01;
      const plan = JSON.parse(readFileSync(workspace.path(mutation.node, "plan.json"), "utf8")) as {
        checks: { id: string; name: string }[];
      };
      const id = plan.checks.find(
        (check) => check.name === mutation.check && check.id.startsWith(`${mutation.component}/`),
      )?.id;
      assert.ok(id, "the plan has the check");
      await machine.must(["sh", "-ec", mutation.break], { timeout: 180 });
      try {
        assert.equal(await redChecks(machine), [id]);
      } finally {
        await machine.must(["sh", "-ec", mutation.undo], { timeout: 180 });
      }
    });
  }

  test("with everything mended no check is red", async () => {
    for (const machine of [con01, com01]) assert.equal(await redChecks(machine), []);
  });

  test("what scrub removes is not missed: a run changes nothing, and the next boot is the same machine's", async () => {
    const told = await com01.must(["seedsmith-node", "scrub"]);
    assert.match(told, /^removed \/var\/lib\/seedsmith\/seed\/files\//m);
    assert.match(told, /^removed \/var\/lib\/cloud\/instances\/\S+\/user-data\.txt/m);
    const seed = readFileSync(workspace.path("com01", "user-data"), "utf8");
    assert.match(seed, /DB=/, "what is looked for below is in the seed");
    const left = await com01.exec([
      "sh",
      "-c",
      "grep -rl DB=mysql /var/lib/seedsmith/seed/files /var/lib/cloud",
    ]);
    const kept = left.stdout
      .split("\n")
      .filter((path) => path !== "" && !/\/(obj\.pkl|seed\/nocloud[^/]*\/user-data)$/.test(path));
    assert.equal(kept, []);
    const before = await com01.must(["stat", "-c", "%Y %i", "/etc/probe.env"]);
    assert.match(await com01.must(["seedsmith-node", "run"], { timeout: 600 }), /SEEDSMITH com01 READY/);
    assert.is(await com01.must(["stat", "-c", "%Y %i", "/etc/probe.env"]), before);
  });

  test("after a power cycle of both everything answers again", async () => {
    const starts = (machine: Machine) => machine.events().filter(({ event }) => event === "run-start").length;
    const ran = new Map([con01, com01].map((machine) => [machine, starts(machine)]));
    await Promise.all([con01.powerCycle(), com01.powerCycle()]);
    for (const machine of [con01, com01]) {
      await machine.waitCloudInit(900);
      const done = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 300 });
      assert.is(done.status, 0, done.stdout + done.stderr);
      const status = JSON.parse(await machine.must(["seedsmith-node", "status", "--json"])) as {
        state: string;
      };
      assert.is(status.state, "ready");
      // The boot before ended READY, and this one found nothing to do.
      assert.is(starts(machine), ran.get(machine));
    }
    // Services take their time to come back; what a client would do is try again. A chrony whose first burst found
    // the server still booting asks again after one or two minutes.
    const deadline = Date.now() + 300_000;
    for (;;) {
      try {
        await everythingAnswers();
        break;
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await new Promise((done) => setTimeout(done, 3000));
      }
    }
  });
});

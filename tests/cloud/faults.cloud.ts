/**
 * Faults in a whole cloud: while it is made, and while its instances run. Each ends red, with the step or check that it
 * concerns, or is healed by a resume; never green while something is wrong. Where the runner is told to go on, that is
 * `seedsmith-node run`, as a person would.
 */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import type { Seed } from "../../src/lab/seed.ts";
import { cache, story, Workspace } from "../boot/rendered.ts";
import { suite } from "../support/suite.ts";
import { binds, cloudLab, openstack, until, untilStep } from "./machines.ts";
import {
  answers,
  createServer,
  giveFloatingAddress,
  instance,
  untilActive,
  untilUp,
  uploadImage,
} from "./person.ts";

/** A server of time that is five minutes ahead. */
const fiveMinutesAhead = `
import socket, struct, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("10.0.0.1", 123))
while True:
    query, client = server.recvfrom(512)
    now = struct.pack("!Q", int((time.time() + 2208988800 + 300) * 2**32))
    server.sendto(struct.pack("!BBbb8x4s", 0x24, 3, 6, -20, b"TEST") + now + query[40:48] + now + now, client)
`;

suite("faults", (test) => {
  let lab: Lab;
  let con01: Machine;
  let com01: Machine;
  const workspace = new Workspace("cloud");
  const inside = instance("inside", "selfservice");
  const outside = instance("outside", "provider");
  const both = [inside, outside];

  test.before(async () => {
    ({ lab, con01, com01 } = await cloudLab(workspace));
  });
  test.after(async () => {
    await lab?.collect(join(cache, "logs", "faults"));
    await lab?.destroy();
    workspace.remove();
  });

  /** Runs all checks of a node. @returns the failed ones as `step: message`, none when it is green */
  const check = async (machine: Machine, within = 15): Promise<readonly string[]> => {
    const before = machine.events().length;
    const done = await machine.exec(["seedsmith-node", "check", "--within", String(within)], {
      timeout: 900,
    });
    const failed = machine
      .events()
      .slice(before)
      .filter(({ event }) => event === "check-fail")
      .map(({ step, message }) => `${step}: ${message}`);
    assert.is(done.status, failed.length === 0 ? 0 : 1, done.stdout.slice(-2000));
    return failed;
  };
  /** Lets the runner go on until it is READY. @returns what failed in runs before the one that was green */
  const resume = async (machine: Machine): Promise<readonly string[]> => {
    const failed: string[] = [];
    for (let runs = 0; runs < 3; runs++) {
      const before = machine.events().length;
      const done = await machine.exec(["seedsmith-node", "run"], { timeout: 1200 });
      if (done.status === 0) return failed;
      for (const { event, step, message } of machine.events().slice(before))
        if (event === "step-fail" || event === "check-fail") failed.push(`${step}: ${message}`);
      assert.ok(failed.length > 0, `a run that is red names no step: ${done.stdout.slice(-2000)}`);
    }
    throw new Error(`not healed by three runs: ${failed.join("\n")}`);
  };
  const allIsWell = async (): Promise<void> => {
    for (const machine of [con01, com01]) assert.equal(await check(machine, 120), [], machine.name);
    for (const one of both) await until(one.name, 120, () => answers(lab, one));
  };

  test("first boot: the broker restarted during a schema step, the database killed between two", async () => {
    await Promise.all([con01.start(), com01.start()]);
    await untilStep(con01, "keystone/schema");
    await con01.must(["systemctl", "restart", "rabbitmq-server.service"], { timeout: 120 });
    await untilStep(con01, "nova-controller/cells");
    await con01.must(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "mariadb.service"]);
    for (const machine of [con01, com01]) {
      const verdict = await machine.waitVerdict({ timeout: 2400 });
      const failed = machine.events().filter(({ event }) => event === "step-fail" || event === "check-fail");
      console.log(
        `  ${machine.name}: ${verdict.outcome} ${failed.map(({ step, message }) => `${step}: ${message}`).join("; ")}`,
      );
      if (verdict.outcome === "ready") continue;
      assert.is(verdict.outcome, "failed", await story(machine));
      assert.ok(failed.length > 0, "a red boot names the step");
      // MariaDB does not take back half a schema, and no service's own command goes on from there. The hint says what does.
      for (const { step, message } of failed.filter(({ step }) => /\/schema/.test(step ?? ""))) {
        const [, statement = ""] = /mariadb -e '(DROP DATABASE [\w ;]+)'/.exec(message ?? "") ?? [];
        assert.is.not(statement, "", `${step} tells no way on`);
        console.log(`  as ${step} says: ${statement}`);
        await machine.must(["mariadb", "-e", statement]);
      }
      await resume(machine);
    }
    for (const machine of [con01, com01]) assert.equal(await check(machine, 120), [], machine.name);
  });

  test("it is a cloud all the same: two instances are ACTIVE and answer", async () => {
    await uploadImage(con01);
    for (const one of both) await createServer(con01, one);
    await untilActive(con01, both, com01);
    inside.address = await giveFloatingAddress(con01, inside);
    for (const one of both) {
      const fact = await untilUp(con01, one);
      one.id = fact("instance-id");
      if (one === outside) one.address = fact("local-ipv4");
      await until(one.name, 60, () => answers(lab, one));
    }
  });

  test("a schema that is lost is made again by a resume, with the broker restarted and the database killed meanwhile", async () => {
    // The cell of instances that no host took: nothing that runs is in it.
    await con01.must(["mariadb", "-e", "DROP DATABASE nova_cell0"]);
    const red = await check(con01);
    assert.ok(
      red.some((one) => one.startsWith("nova-controller/")),
      `nobody notices a lost database: ${red.join("; ")}`,
    );
    const before = con01.events().length;
    const run = con01.exec(["seedsmith-node", "run"], { timeout: 1200 });
    await until("the schema step", 300, async () => {
      const now = con01.events().slice(before);
      return now.some(
        ({ event, step }) => event === "step-start" && step === "nova-controller/schema-of-the-cells",
      )
        ? true
        : JSON.stringify(now.at(-1));
    });
    await con01.must(["systemctl", "restart", "rabbitmq-server.service"], { timeout: 120 });
    await con01.must(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "mariadb.service"]);
    const first = await run;
    const failed = first.status === 0 ? [] : await resume(con01);
    console.log(`  status ${first.status}; then failed: ${failed.join("; ") || "nothing"}`);
    await allIsWell();
  });

  test("a compute node that looks in a wrong region is red, and put right by a resume", async () => {
    await com01.must(["sed", "-i", "s/^region_name *=.*/region_name = RegionTwo/", "/etc/nova/nova.conf"]);
    // It does not even start where it looks for the network service in vain.
    await com01.exec(["systemctl", "restart", "nova-compute.service"], { timeout: 120 });
    const red = await check(com01);
    assert.ok(
      red.some((one) => /^nova-compute\/check\/finds-the-other-services.*RegionTwo/.test(one)),
      red.join("; "),
    );
    console.log(`  ${red.join("; ")}`);
    assert.equal(await resume(com01), []);
    await allIsWell();
  });

  test("with placement down its node and the compute node are red; a resume starts it again", async () => {
    await con01.must(["systemctl", "stop", "placement-api.service"], { timeout: 120 });
    const red = [await check(con01), await check(com01)];
    assert.ok(
      red[0]?.some((one) => one.startsWith("placement/")),
      red[0]?.join("; "),
    );
    assert.ok(
      red[1]?.some((one) => one.startsWith("nova-compute/")),
      red[1]?.join("; "),
    );
    console.log(`  ${red.flat().join("; ")}`);
    assert.equal(await resume(con01), []);
    await allIsWell();
  });

  test("a DHCP server that is gone is red, although its agent reports", async () => {
    // Once a minute the agent looks after its processes: it is held up, and is alive by what it has told so far.
    const agent = (signal: string): Promise<unknown> =>
      con01.must([
        "systemctl",
        "kill",
        "--kill-whom=main",
        `--signal=${signal}`,
        "neutron-dhcp-agent.service",
      ]);
    await agent("STOP");
    let red: readonly string[];
    try {
      await con01.must(["pkill", "--full", "[d]nsmasq.*/var/lib/neutron/dhcp/"]);
      red = await check(con01, 30);
    } finally {
      // The tests that follow want it at work, whatever came of this one.
      await agent("CONT");
    }
    assert.ok(
      red.some((one) => /^neutron-network\/check\/each-network.*is not served/.test(one)),
      red.join("; "),
    );
    console.log(`  ${red.join("; ")}`);
    assert.equal(await check(con01, 180), []);
  });

  test("a machine with the compute node's name and an address of its own is red, and the first one is not touched", async () => {
    const renamed = (text: string | Uint8Array | undefined): string =>
      Buffer.from(text ?? "")
        .toString("utf8")
        .replaceAll("10.0.0.11", "10.0.0.12")
        .replace(/(52:54:00:(?:0a|cb):00:)0b/g, "$10c");
    const original: Seed = workspace.seed("com01");
    const clone = await lab.addMachine({
      name: "clone",
      seed: {
        "user-data": renamed(original["user-data"]),
        "meta-data": renamed(original["meta-data"]),
        "network-config": renamed(original["network-config"]),
      },
      ports: [
        { segment: "management", name: "ens3", mac: "52:54:00:0a:00:0c" },
        { segment: "provider", name: "provider", mac: "52:54:00:cb:00:0c" },
      ],
      capabilities: ["all"],
      binds,
    });
    await clone.start();
    const verdict = await clone.waitVerdict({ timeout: 1800 });
    assert.is(verdict.outcome, "failed", await story(clone));
    const failed = clone
      .events()
      .filter(({ event }) => event === "step-fail")
      .map(({ step, message, tail }) => `${step}: ${message} ${tail}`);
    assert.ok(
      failed.every((one) => /no-other-machine/.test(one)),
      failed.join("; "),
    );
    console.log(`  ${failed.join("; ")}`);
    await clone.kill();
    await allIsWell();
  });

  test("a node whose clock is five minutes from the controller's is red, until it is not", async () => {
    // Containers share the host's clock, which is not touched: the controller's time server is replaced by one that is ahead.
    await con01.must(["systemctl", "stop", "chrony.service"]);
    await con01.must(["systemd-run", "--unit=ahead", "python3", "-c", fiveMinutesAhead]);
    try {
      let red: readonly string[] = [];
      await until("a red check", 900, async () => {
        await com01.exec(["chronyc", "burst", "4/4"]);
        red = await check(com01, 15);
        return red.some((one) => one.startsWith("chrony/")) || "green";
      });
      console.log(`  ${red.join("; ")}`);
    } finally {
      await con01.must(["systemctl", "stop", "ahead.service"]);
    }
    assert.equal(await resume(con01), []);
    await until("a green check", 1200, async () => {
      await com01.exec(["chronyc", "burst", "4/4"]);
      const red = await check(com01, 60);
      return red.length === 0 || red.join("; ");
    });
    await allIsWell();
  });

  test("no instance was lost in all of it", async () => {
    const list = await openstack(con01, "openstack server list -f value -c Name -c Status");
    assert.equal(list.split("\n").sort(), ["inside ACTIVE", "outside ACTIVE"]);
  });
});

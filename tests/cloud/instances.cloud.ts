/** A controller and a compute node from bare roots to two instances that answer, through a power cut, by seeds alone. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { cache, Workspace } from "../boot/rendered.ts";
import { suite } from "../support/suite.ts";
import { testImage } from "./image.ts";
import { cloudLab, openstack, readyTogether, until } from "./machines.ts";
import {
  answers,
  createServer,
  giveFloatingAddress,
  instance,
  untilActive,
  untilUp,
  uploadImage,
} from "./person.ts";

suite("instances", (test) => {
  let lab: Lab;
  let con01: Machine;
  let com01: Machine;
  let powered = 0;
  const workspace = new Workspace("cloud");
  const inside = instance("inside", "selfservice");
  const outside = instance("outside", "provider");
  const both = [inside, outside];
  const since = (): number => Math.round((Date.now() - powered) / 1000);

  test.before(async () => {
    testImage(cache);
    ({ lab, con01, com01 } = await cloudLab(workspace));
  });
  test.after(async () => {
    await lab?.collect(join(cache, "logs", "cloud"));
    await lab?.destroy();
    workspace.remove();
  });

  test("both nodes, powered on at the same moment, come up READY", async () => {
    powered = await readyTogether([con01, com01], 3000);
  });

  test("a person uploads an image and starts two instances: both become ACTIVE", async () => {
    await uploadImage(con01);
    for (const one of both) await createServer(con01, one);
    await untilActive(con01, both, com01);
    console.log(`  both ACTIVE ${since()} s after power-on`);
  });

  test("their consoles show that they booted, and got an address and metadata", async () => {
    inside.address = await giveFloatingAddress(con01, inside);
    for (const one of both) {
      const fact = await untilUp(con01, one);
      const fixed = await openstack(
        con01,
        `openstack port list --server ${one.name} -f json -c "Fixed IP Addresses"`,
      );
      assert.match(fixed, fact("local-ipv4"));
      assert.match(fact("address"), fact("local-ipv4"));
      assert.is(fact("hostname"), `${one.name}.novalocal`);
      assert.is(fact("uuid"), await openstack(con01, `openstack server show ${one.name} -f value -c id`));
      assert.is(fact("mtu"), one.network === "provider" ? "1500" : "1450");
      one.id = fact("instance-id");
      assert.match(one.id, /^i-[0-9a-f]{8}$/);
      if (one === outside) outside.address = fact("local-ipv4");
    }
  });

  test("from outside, the floating and the provider address answer ping and serve the instance's id", async () => {
    for (const one of both) await until(one.name, 60, () => answers(lab, one));
  });

  test("security groups hold: without the rule for ICMP nobody answers ping, with it they do again", async () => {
    // Every project has a group of that name.
    const group = await openstack(con01, "openstack security group list --project admin -f value -c ID");
    const rule = await openstack(
      con01,
      `openstack security group rule list ${group} --protocol icmp --ingress -f value -c ID`,
    );
    assert.match(rule, /^[0-9a-f-]{36}$/);
    await openstack(con01, `openstack security group rule delete ${rule}`);
    for (const { address } of both)
      await until(`silence of ${address}`, 60, async () => {
        const ping = await lab.outside(["ping", "-c", "1", "-W", "1", address]);
        return ping.status !== 0 || "answers ping";
      });
    // It is the rule that is gone, not the instance.
    for (const { address, id } of both)
      assert.is(
        (await lab.outside(["curl", "--silent", "--max-time", "5", `http://${address}/`])).stdout.trim(),
        id,
      );
    await openstack(con01, `openstack security group rule create --protocol icmp --ingress ${group}`);
    for (const one of both) await until(one.name, 60, () => answers(lab, one));
  });

  test("after a power cut of both nodes everything answers again, without a hand", async () => {
    await Promise.all([con01.kill(), com01.kill()]);
    const begin = Date.now();
    await Promise.all([con01.start(), com01.start()]);
    await until("keystone", 300, async () => {
      await openstack(con01, "openstack token issue");
      return true;
    });
    await untilActive(con01, both, com01);
    for (const one of both) await until(one.name, 300, () => answers(lab, one));
    console.log(`  everything answers ${Math.round((Date.now() - begin) / 1000)} s after power is back`);
    for (const machine of [con01, com01]) {
      const checked = await machine.exec(["seedsmith-node", "check", "--within", "300"], { timeout: 900 });
      assert.is(checked.status, 0, checked.stdout.slice(-2000));
    }
  });
});

/** The control plane and a compute node, from rendered seeds to agents alive. Instances are test:cloud's. */
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { cloudLab, openstack, readyTogether } from "../cloud/machines.ts";
import { suite } from "../support/suite.ts";
import { Workspace } from "./rendered.ts";

suite("a cloud", (test) => {
  let lab: Lab;
  let con01: Machine;
  let com01: Machine;
  const workspace = new Workspace("cloud");
  test.before(async () => {
    ({ lab, con01, com01 } = await cloudLab(workspace));
  });
  test.after(async () => {
    await lab?.destroy();
    workspace.remove();
  });

  test("controller and compute node, powered on together, come up READY", async () => {
    await readyTogether([con01, com01], 2400);
  });

  test("services are up and agents alive, as the client tells a person", async () => {
    const services = await openstack(
      con01,
      "openstack compute service list -f value -c Binary -c Host -c Status -c State",
    );
    assert.equal(services.split("\n").sort(), [
      "nova-compute com01 enabled up",
      "nova-conductor con01 enabled up",
      "nova-scheduler con01 enabled up",
    ]);
    const agents = await openstack(con01, "openstack network agent list -f value -c Host -c Alive -c Binary");
    assert.equal(agents.split("\n").sort(), [
      "com01 True neutron-linuxbridge-agent",
      "con01 True neutron-dhcp-agent",
      "con01 True neutron-l3-agent",
      "con01 True neutron-linuxbridge-agent",
      "con01 True neutron-metadata-agent",
    ]);
    const types = await openstack(con01, "openstack catalog list -f value -c Type");
    assert.equal(types.split("\n").sort(), [
      "compute",
      "identity",
      "image",
      "network",
      "placement",
      "volumev3",
    ]);
  });

  test("no secret of the site stands in the journal or in the runner's log", async () => {
    const text = `${await con01.journal()}${con01.readFile("/var/lib/seedsmith/state/events.jsonl") ?? ""}`;
    for (const [name, value] of Object.entries(workspace.secrets()))
      assert.not.ok(text.includes(value), name);
  });
});

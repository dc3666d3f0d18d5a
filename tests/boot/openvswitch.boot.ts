/**
 * Open vSwitch: a node with the interfaces as a container, and the nodes that plug instances into networks as virtual
 * machines, whose kernel has openvswitch. Without the processor's help it takes most of an hour, so it is run by
 * `npm run test:boot -- openvswitch`, not by default.
 */
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { testImage } from "../cloud/image.ts";
import { longest, openstack, until } from "../cloud/machines.ts";
import {
  answers,
  createServer,
  giveFloatingAddress,
  instance,
  untilActive,
  untilUp,
  uploadImage,
} from "../cloud/person.ts";
import { suite } from "../support/suite.ts";
import { cache, say } from "./lab.ts";
import { addNode, makeLab, story, Workspace } from "./rendered.ts";
import { address, mac, siteText } from "./site-text.ts";
import { Virtual } from "./virtual.ts";

const nodes = {
  con01: { profile: "interfaces", octet: 1, size: "cpus: 2, memory: 6G" },
  net01: { profile: "network", octet: 4, size: "cpus: 2, memory: 2G, disk: 12G" },
  com01: { profile: "compute", octet: 11, size: "cpus: 2, memory: 3G, disk: 12G" },
};
const options = `options:
  openstack: { networking: self-service, l2_agent: openvswitch }
  nova-controller: { discover_interval: 10 }
  launch-instance: { provider_pool: 198.51.100.101-198.51.100.199, allow: [icmp, tcp/22, tcp/80] }
`;

/** What a controller has but for the agents: its kernel is the host's. */
const interfaces = `profile: interfaces
summary: The services without agents, and what a first instance needs
extends: base
components: [openstack, mariadb, rabbitmq, memcached, keystone, glance, placement, nova-controller, neutron-server, launch-instance]
options: { chrony: { serve: true } }
`;

suite("Open vSwitch", (test) => {
  let lab: Lab;
  let con01: Machine;
  let net01: Virtual;
  let com01: Virtual;
  const workspace = new Workspace();
  test.before(async () => {
    testImage(cache);
    workspace.write("site.yaml", siteText(nodes, { more: options, names: true }));
    workspace.write("profiles/interfaces.yaml", interfaces);
    workspace.render();
    lab = await makeLab();
    con01 = await addNode(lab, workspace, "con01");
    const virtual = async (name: "net01" | "com01", memory: number): Promise<Virtual> =>
      await Virtual.make(lab, {
        name,
        seed: workspace.path(name),
        address: address(nodes[name]),
        cards: (["management", "provider"] as const).map((segment) => ({
          segment,
          mac: mac(nodes[name], segment),
        })),
        cpus: 2,
        memory,
        disk: 12,
      });
    net01 = await virtual("net01", 2048);
    com01 = await virtual("com01", 3072);
  });
  test.after(async () => {
    if (process.env.SEEDSMITH_KEEP === "1") {
      lab.leaveStanding();
      return;
    }
    await lab?.destroy();
    workspace.remove();
  });

  // Not all three at once: neutron leaves a network alone whose helpers took more than five minutes to start, which they do
  // where two emulated machines share two processors.
  test("controller and network node, then the compute node, come up READY: agents alive, bridges as the site says", async () => {
    const began = Date.now();
    const since = (): number => Math.round((Date.now() - began) / 1000);
    const ready = async (machine: Virtual): Promise<void> => {
      await machine.start();
      const verdict = await machine.verdict(5400);
      assert.is(verdict?.event, "ready", `${machine.name}: ${JSON.stringify(verdict)}`);
      say(`${machine.name} READY after ${since()} s`);
    };
    await con01.start();
    const first = con01.waitVerdict({ timeout: 5400 }).then((verdict) => {
      assert.is(verdict.outcome, "ready", verdict.reason);
      say(`con01 READY after ${since()} s`);
    });
    await Promise.all([first, ready(net01)]).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await story(con01)}`);
    });
    await ready(com01);
    for (const line of longest(con01)) say(line);
  });

  test("agents are alive, as the client tells a person, and a tunnel is there", async () => {
    const agents = await openstack(con01, "openstack network agent list -f value -c Host -c Alive -c Binary");
    say(agents);
    assert.equal(agents.split("\n").sort(), [
      "com01 True neutron-openvswitch-agent",
      "net01 True neutron-dhcp-agent",
      "net01 True neutron-l3-agent",
      "net01 True neutron-metadata-agent",
      "net01 True neutron-openvswitch-agent",
    ]);
    for (const machine of [net01, com01]) {
      const bridges = (await machine.must(["ovs-vsctl", "list-br"], 300)).split("\n").sort();
      assert.equal(bridges, ["br-int", "br-provider", "br-tun"], machine.name);
      assert.match(await machine.must(["ovs-vsctl", "list-ports", "br-provider"], 300), /^provider$/m);
      assert.match(await machine.must(["lsmod"], 300), /^openvswitch /m);
    }
  });

  test("a server on a network of its own becomes ACTIVE, and answers at its floating address", async () => {
    const inside = instance("inside", "selfservice");
    await uploadImage(con01);
    const began = Date.now();
    const since = (): number => Math.round((Date.now() - began) / 1000);
    await createServer(con01, inside);
    await untilActive(con01, [inside], con01, 1500);
    say(`ACTIVE ${since()} s after it was asked for`);
    const fact = await untilUp(con01, inside, 1500);
    inside.id = fact("instance-id");
    assert.match(inside.id, /^i-[0-9a-f]{8}$/);
    inside.address = await giveFloatingAddress(con01, inside);
    await until("its floating address", 600, () => answers(lab, inside));
    say(`http://${inside.address}/ gives its id after ${since()} s`);
    assert.match(await com01.must(["ovs-vsctl", "list-ports", "br-tun"], 300), /^vxlan-/m);
  });
});

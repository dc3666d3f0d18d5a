/**
 * Example sites, booted as they stand but for what a lab on this host cannot have: the target is Debian 12, the layer 2
 * agent is linuxbridge, and the provider range is the one that the lab's router is in. Each comes up READY, and an
 * instance on the provider network answers.
 */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { cache, makeLab, Workspace } from "../boot/rendered.ts";
import { suite } from "../support/suite.ts";
import { addSiteNode, readyTogether, until } from "./machines.ts";
import { answers, createServer, instance, untilActive, untilUp, uploadImage } from "./person.ts";

for (const [site, nodes] of Object.entries({
  provider: ["con01", "com01"],
  "all-in-one": ["all01"],
  split: ["con01", "com01", "db01", "img01", "net01"],
})) {
  suite(`the site ${site}`, (test) => {
    let lab: Lab;
    const machines: Machine[] = [];
    const workspace = new Workspace(site, join("sites", site));
    test.before(async () => {
      for (const [from, to] of [
        ["cidr: 203.0.113.0/24, gateway: 203.0.113.1, nameservers: [203.0.113.1]", null],
        ["provider_pool: 203.0.113.101-203.0.113.250", "$&, allow: [icmp, tcp/80]"],
      ] as const)
        workspace.edit(from, (to ?? from).replace("$&", from).replaceAll("203.0.113.", "198.51.100."));
      workspace.edit("release: antelope", "release: antelope, l2_agent: linuxbridge");
      workspace.render("--target", "debian-12");
      lab = await makeLab();
      for (const node of nodes) machines.push(await addSiteNode(lab, workspace, node));
    });
    test.after(async () => {
      await lab?.collect(join(cache, "logs", site));
      await lab?.destroy();
      workspace.remove();
    });

    test("all nodes, powered on at the same moment, come up READY", async () => {
      await readyTogether(machines, 3600, 3);
    });

    test("every check of every node is green, asked again", async () => {
      for (const machine of machines) {
        const checked = await machine.exec(["seedsmith-node", "check", "--within", "120"], { timeout: 900 });
        assert.is(checked.status, 0, checked.stdout.slice(-2000));
      }
    });

    test("an instance on the provider network is ACTIVE and answers", async () => {
      const controller = machines[0] as Machine;
      const outside = instance("outside", "provider");
      await uploadImage(controller);
      await createServer(controller, outside);
      await untilActive(controller, [outside], machines[1] ?? controller);
      const fact = await untilUp(controller, outside);
      outside.address = fact("local-ipv4");
      outside.id = fact("instance-id");
      assert.match(outside.id, /^i-[0-9a-f]{8}$/);
      await until("the instance", 60, () => answers(lab, outside));
    });
  });
}

import * as assert from "uvu/assert";
import type { NodePlan } from "../../src/plan/model.ts";
import {
  actionsOf,
  differenceFromGolden,
  exampleTargets,
  golden,
  listFiles,
  otherSites,
  planned,
  planText,
  root,
} from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

suite("the other example sites", (test) => {
  test("there is one for each networking, one machine, machines that boot from the network, split roles, storage and three controllers", () => {
    assert.equal(otherSites(), [
      "all-in-one",
      "provider",
      "pxe",
      "self-service",
      "split",
      "storage",
      "three-controllers",
    ]);
  });

  test("every plan is its golden", async () => {
    const seen: string[] = [];
    for (const site of otherSites())
      for (const [node, plan] of (await planned(site, root)).plans) {
        const path = `sites/${site}/${node}.json`;
        seen.push(path);
        assert.is(differenceFromGolden(path, planText(plan)), null);
      }
    assert.equal(
      listFiles(golden).filter((path) => path.startsWith("sites/")),
      seen.sort(),
      "goldens are left over or missing: run npm run bless and review the diff",
    );
  });

  test("each is planned without a problem on every target", async () => {
    for (const site of otherSites())
      for (const target of exampleTargets()) assert.ok((await planned(site, root, target)).plans.size > 0);
  });

  test("each unit of a service is brought up on one node of a split site, whoever asks for it", async () => {
    const { plans } = await planned("split", root, "debian-12");
    const on = (unit: string): readonly string[] =>
      [...plans]
        .filter(([, plan]) => actionsOf(plan).some((one) => one.kind === "unit" && one.unit === unit))
        .map(([node]) => node);
    for (const [unit, node] of Object.entries({
      "mariadb.service": "db01",
      "keystone.service": "con01",
      "glance-api.service": "img01",
      "neutron-dhcp-agent.service": "net01",
      "nova-compute.service": "com01",
    }))
      assert.equal(on(unit), [node], unit);
  });

  test("a storage node makes volumes on the disk that the site names, and hands them out by the storage network", async () => {
    for (const target of exampleTargets()) {
      const plan = (await planned("storage", root, target)).plans.get("blk01") as NodePlan;
      const group = actionsOf(plan).find(({ id }) => id.startsWith("cinder-storage/volume-group"));
      assert.ok(group?.kind === "step");
      assert.equal(group?.kind === "step" ? group.run.slice(-3) : [], [
        "make",
        "cinder-volumes",
        "/dev/disk/by-id/virtio-volumes",
      ]);
      const file = plan.files.find(({ path }) => path === "/etc/cinder/cinder.conf");
      const settings = new Map(
        file?.content.kind === "changes"
          ? file.content.changes.map((one) => [`${one.section} ${one.key}`, one.value])
          : [],
      );
      assert.is(settings.get("lvm target_ip_address"), "10.0.1.41");
      assert.is(settings.get("lvm volume_group"), "cinder-volumes");
      // A name of the packages that would win, or mislead.
      assert.is(settings.get("lvm iscsi_helper"), null);
    }
  });

  test("nodes wait for what other nodes give, and for nothing of their own", async () => {
    const { plans } = await planned("split", root, "debian-12");
    const waits = (node: string): readonly string[] =>
      actionsOf(plans.get(node) as NodePlan).flatMap((one) =>
        one.kind === "wait" && one.for !== null ? [one.for] : [],
      );
    for (const node of plans.keys()) assert.not.ok(waits(node).includes(node), node);
    assert.ok(waits("con01").includes("db01"));
    assert.ok(waits("img01").includes("con01"));
    assert.ok(waits("com01").includes("img01"));
    assert.equal(
      waits("db01").filter((other) => other !== "con01"),
      [],
      "it gives, and asks for time alone",
    );
  });
});

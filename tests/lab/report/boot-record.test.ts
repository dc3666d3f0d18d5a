import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { LabError } from "../../../src/lab/command.ts";
import type { Driver, LabDescription, LabMachine } from "../../../src/lab/driver.ts";
import { forgetRecords, gatherRecord, readRecords, saveRecord } from "../../../src/lab/report/boot-record.ts";
import { inTemporaryFolder, writeTree } from "../../support/build-site.ts";
import { suite } from "../../support/suite.ts";
import { event, fakeDriver, lab as fakeLab, start, VirtualClock } from "../watch/fake-lab.ts";
import { ran, record } from "./records.ts";

const files: Readonly<Record<string, string>> = {
  "/var/log/cloud-init.log":
    "2026-01-01 00:00:10,100 - util.py[DEBUG]: Cloud-init v. 22.4.2 running 'init-local' at x",
  "/var/log/dpkg.log":
    "2026-01-01 01:00:40 install bc:amd64 <none> 1\n2026-01-01 01:00:44 status unpacked bc:amd64 1\n",
};

/** A node that has come to its verdict; its machine answers, or is gone. */
function world(
  folder: string,
  answers: boolean,
): { driver: Driver; lab: LabDescription; machine: LabMachine } {
  writeTree(folder, {
    "seed/plan.json": JSON.stringify({
      blocks: [{ actions: [{ kind: "unit", id: "a", unit: "a.service", from: "c.yaml:1:2" }] }],
    }),
  });
  const machine = { name: "con01", target: "debian-12", seed: join(folder, "seed") } as LabMachine;
  const lab = {
    ...fakeLab,
    site: "s",
    folder: join(folder, "lab"),
    machines: [{ ...machine, name: "other" }, machine],
  };
  const clock = new VirtualClock();
  const events = [event("con01", -5, "run-start"), ...ran("con01", "a", -4, -2), event("con01", -1, "ready")];
  const driver: Driver = {
    ...fakeDriver(clock, { con01: { events } }),
    differences: () => ["one byte"],
    async exec(_lab, _machine, argv) {
      if (!answers) throw new LabError("gone");
      const stdout = argv[0] === "date" ? "+0100\n" : (files[argv[1] ?? ""] ?? "");
      return { status: stdout === "" ? 1 : 0, signal: null, stdout, stderr: "" };
    },
  };
  return { driver, lab, machine };
}

suite("record of a boot", (test) => {
  test("has the runner's events, cloud-init's and dpkg's logs, the plan, and where the node stands", async () => {
    await inTemporaryFolder(async (folder) => {
      const { driver, lab, machine } = world(folder, true);
      const found = await gatherRecord(driver, lab, machine, {
        siteFile: "/s.yaml",
        poweredOn: start - 9000,
      });
      assert.equal([found.site, found.siteFile, found.node, found.place], ["s", "/s.yaml", "con01", 1]);
      assert.equal([found.phase, found.ended, found.poweredOn], ["ready", start - 1000, start - 9000]);
      assert.equal([found.events.length, found.cloudInit.length], [4, 1]);
      assert.equal(found.dpkg, [
        { kind: "unpack", package: "bc", start: start + 40_000, end: start + 44_000 },
      ]);
      assert.equal(found.actions, { a: { kind: "unit", name: "a.service", from: "c.yaml:1" } });
      assert.equal(found.differences, ["one byte"]);
    });
  });

  test("of a machine that is gone has what the host knows", async () => {
    await inTemporaryFolder(async (folder) => {
      const { driver, lab, machine } = world(folder, false);
      const found = await gatherRecord(driver, lab, machine, { siteFile: null, poweredOn: null });
      assert.equal([found.events.length, found.cloudInit, found.dpkg], [4, [], []]);
    });
  });

  test("is kept for its owner alone, read back in the site's order, and forgotten", async () => {
    await inTemporaryFolder((folder) => {
      const second = { ...record("a", [event("a", 1, "ready")]), place: 1 };
      const first = { ...record("b", []), place: 0 };
      for (const one of [second, first, first])
        assert.is(statSync(saveRecord(folder, one)).mode & 0o777, 0o600);
      assert.equal([...readRecords(folder).keys()], ["b", "a"]);
      assert.equal(readRecords(folder).get("a"), second);
      assert.equal(readdirSync(join(folder, "records")).sort(), ["a.json", "b.json"]);
      writeTree(folder, { "records/c.json": '{"format":1' });
      assert.throws(() => readRecords(folder), /records\/c\.json is damaged/);
      forgetRecords(folder);
      forgetRecords(folder);
      assert.is(readRecords(folder).size, 0);
    });
  });
});

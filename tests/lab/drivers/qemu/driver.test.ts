import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { LabError } from "../../../../src/lab/command.ts";
import type { LabDescription, LabMachine } from "../../../../src/lab/driver.ts";
import { loopbackNotice, qemu } from "../../../../src/lab/drivers/qemu.ts";
import { Ledger } from "../../../../src/lab/ledger.ts";
import { suite } from "../../../support/suite.ts";

const machine: LabMachine = {
  name: "con01",
  target: "ubuntu-22.04",
  seed: "/nonexistent",
  cpus: 1,
  memory: 2048,
  disk: 8,
  firmware: "bios",
  address: "10.0.0.1",
  user: null,
  interfaces: [],
};

async function withLab(test: (lab: LabDescription, ledger: Ledger) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-driver-"));
  const lab: LabDescription = {
    id: "t1",
    driver: "qemu",
    site: "x",
    folder: join(folder, "lab"),
    cache: join(folder, "cache"),
    networks: [],
    targets: [{ name: "ubuntu-22.04", family: "ubuntu", version: "22.04", codename: "jammy" }],
    hidden: [],
    machines: [machine],
  };
  try {
    await test(lab, Ledger.begin(lab.id, lab.folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

suite("the qemu driver", (test) => {
  test("says what differs from production: a key, where the system takes one", () => {
    assert.match(qemu.differences({ ...machine, target: "debian-12" }).join(), "key of the lab");
    assert.match(qemu.differences({ ...machine, target: "ubuntu-24.04" }).join(), "key of the lab");
    assert.equal(qemu.differences(machine), []);
  });

  test("says by which address machines reach the host's loopback interface, where they do", () => {
    const way = (name: string, open: boolean, host: string) => ({
      ...{ name, cidr: "10.0.0.0/24", gateway: open ? "10.0.0.254" : null, open },
      user: { host, dns: "10.0.0.254" },
    });
    const segments = [way("management", true, "10.0.0.253"), way("closed", false, "10.1.0.253")];
    assert.match(String(loopbackNotice({ network: "hub", segments })), "127.0.0.1, by 10.0.0.253: ");
    assert.is(loopbackNotice({ network: "hub", segments: segments.slice(1) }), null);
    assert.is(loopbackNotice({ network: "bridge", segments }), null);
  });

  test("refuses a node that nobody could look into, before anything is made", async () => {
    await withLab(async (lab, ledger) => {
      let error: unknown;
      try {
        await qemu.create(lab, ledger, () => {});
      } catch (caught) {
        error = caught;
      }
      assert.instance(error, LabError);
      assert.match((error as LabError).message, "nobody could look into con01");
      assert.equal(ledger.made, []);
    });
  });

  test("is quiet about a lab of which nothing was made, or nothing is left", async () => {
    await withLab(async (lab) => {
      assert.equal(await qemu.state(lab, "con01"), { power: "off", reason: "" });
      assert.equal(await qemu.events(lab, "con01", 0), { events: [], bytes: 0 });
      assert.equal(qemu.login(lab, "con01"), []);
      assert.is(await qemu.powerOff(lab, "con01", 1), true);
      await qemu.kill(lab, "con01");
      await qemu.destroy(lab);
      await qemu.destroy(lab);
    });
  });
});

/**
 * An installed system takes over the same first boot: the installer's leftovers, rebuilt on a Debian root, are booted
 * as base-profile nodes, with a reboot in the middle.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import { testsFolder } from "../support/runner.ts";
import { suite } from "../support/suite.ts";
import { leaveInstalled } from "./installer.ts";
import { addNode, makeLab, story, Workspace } from "./rendered.ts";

const node = (name: string, octet: string, address: number): string => `
  ${name}:
    profile: base
    firmware: uefi
    storage: { os: { disk: { serial: SAM0001234 } } }
    interfaces:
      management: { mac: "52:54:00:0a:00:${octet}", address: 10.0.0.${address} }
      provider: { mac: "52:54:00:cb:00:${octet}" }
    before_start:
      - { name: long, run: [sh, -c, "sleep 20; touch /root/long-done"], unless: { file: /root/long-done } }
    checks:
      - { name: done, file: /root/long-done }
`;

suite("hand-over from the installer", (test) => {
  let lab: Lab;
  const workspace = new Workspace();
  test.before(async () => {
    const target = readFileSync(join(testsFolder, "..", "targets", "debian-12.yaml"), "utf8");
    // Debian's facts, so that the first boot is one for the root below; the installation is Ubuntu's.
    workspace.write(
      "targets/debian-12.yaml",
      `${target}installer:\n  media: { "24.04": 24.04.1 }\n  medium: "24.04"\n`,
    );
    const site = readFileSync(join(workspace.folder, "site.yaml"), "utf8");
    workspace.write(
      "site.yaml",
      `${site.slice(0, site.indexOf("nodes:"))}nodes:${node("small", "15", 21)}${node("small2", "16", 22)}`,
    );
    workspace.render();
    lab = await makeLab();
  });
  test.after(async () => {
    await lab?.destroy();
    workspace.remove();
  });

  for (const [name, release] of [
    ["small", "24.04"],
    ["small2", "22.04"],
  ] as const) {
    test(`${release}: the runner resumes after a reboot and says READY`, async () => {
      const machine = await addNode(lab, workspace, name);
      leaveInstalled(machine.root, workspace.path(name, "autoinstall", "user-data"), release);
      await machine.start();
      for (let tries = 0; ; tries++) {
        if (
          machine.events().some(({ event, name: step }) => event === "step-start" && step?.includes("long"))
        )
          break;
        assert.ok(tries < 1800, `no step: ${await story(machine)}`);
        await new Promise((done) => setTimeout(done, 500));
      }
      const disabled = "/etc/cloud/cloud-init.disabled";
      assert.is(
        machine.readFile(disabled) !== null,
        release === "24.04",
        "only the newer one switches cloud-init off",
      );
      assert.is(machine.readFile("/root/long-done"), null);
      await machine.reboot();
      const verdict = await machine.waitVerdict({ timeout: 900, newOnly: true });
      assert.is(verdict.outcome, "ready", `${verdict.reason}\n${await story(machine)}`);
      assert.ok(machine.boots >= 2);
      assert.is.not(machine.readFile("/root/long-done"), null);
      const status = await machine.exec(["cloud-init", "status", "--wait"], { timeout: 180 });
      if (release === "24.04") assert.match(status.stdout, "disabled");
      else assert.is(status.status, 0, status.stdout);
      // The datasource was the installer's, and the address the one that it was told.
      assert.match(machine.readFile("/var/log/cloud-init.log") ?? "", "DataSourceNone");
      assert.match(await machine.must(["ip", "-4", "addr"]), `10.0.0.${name === "small" ? 21 : 22}/24`);
      assert.is((await machine.exec(["seedsmith-node", "status"])).status, 0);
      await machine.powerOff();
    });
  }
});

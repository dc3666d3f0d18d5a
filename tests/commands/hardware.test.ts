/** `seedsmith hardware import`: from what a machine says to a chosen disk. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { check } from "../../src/commands/check.ts";
import { importHardware } from "../../src/commands/hardware.ts";
import { show } from "../../src/commands/show.ts";
import { inTemporaryFolder, root, writeTree } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const site = (storage: string): string => `site: lab
target: ubuntu-24.04
networks: { management: { cidr: 10.0.0.0/24 } }
access: { users: [{ name: ops, ssh_authorized_keys: ["ssh-ed25519 AAAA ops"] }] }
nodes:
  one:
    profile: base
    firmware: uefi
    storage: ${storage}
    interfaces: { management: { mac: "52:54:00:00:00:01", address: 10.0.0.1 } }
`;
const disks = JSON.stringify({
  blockdevices: [
    {
      path: "/dev/sda",
      type: "disk",
      size: 480103981056,
      serial: "SAM0001234",
      wwn: null,
      model: "Samsung",
      rota: false,
    },
    {
      path: "/dev/sdb",
      type: "disk",
      size: 8001563222016,
      serial: "SEA0001111",
      wwn: null,
      model: "ST8000",
      rota: true,
    },
  ],
});

const choice = (cwd: string) => ({
  packageRoot: root,
  cwd,
  site: null,
  target: null,
  profiles: [],
  nodes: [] as string[],
});

suite("hardware import", (test) => {
  test("records the disks; the chosen one is shown at once, by check and by show", async () => {
    await inTemporaryFolder(async (folder) => {
      writeTree(folder, { "site.yaml": site("{ os: { disk: { ssd: true } } }"), "disks.json": disks });
      const before = await check(choice(folder), false);
      assert.equal(
        before.problems.map(({ code }) => code),
        ["unsure-disk"],
      );
      const first = await importHardware(choice(folder), "one", "disks.json");
      assert.is(first.change, "created");
      assert.is(first.file, join("hardware", "one.yaml"));
      assert.match(first.text, "wiped for the system: /dev/sda Samsung, serial SAM0001234, 447.1G SSD");
      assert.match(readFileSync(join(folder, "hardware", "one.yaml"), "utf8"), "serial: SAM0001234");
      const again = await importHardware(choice(folder), "one", "disks.json");
      assert.is(again.change, "same");
      const after = await check(choice(folder), false);
      assert.equal(after.problems, []);
      assert.match(after.text, "    wiped for the system: /dev/sda Samsung");
      const shown = await show({ ...choice(folder), nodes: ["one"] });
      assert.match(
        shown.text,
        "wiped for the system: /dev/sda Samsung, serial SAM0001234, 447.1G SSD  [site.yaml:9]",
      );
    });
  });

  test("what the site makes of the facts is told, and the facts stay", async () => {
    await inTemporaryFolder(async (folder) => {
      writeTree(folder, { "site.yaml": site("{ os: { disk: { serial: OTHER99 } } }"), "disks.json": disks });
      const result = await importHardware(choice(folder), "one", "disks.json");
      assert.is(result.change, "created");
      assert.equal(
        result.problems.map(({ code, notice }) => [code, notice]),
        [["no-disk", true]],
      );
    });
  });

  test("bad input writes nothing", async () => {
    await inTemporaryFolder(async (folder) => {
      writeTree(folder, {
        "site.yaml": site("{ os: { disk: { ssd: true } } }"),
        "disks.json": disks,
        "text.json": "sda 447G",
        "other.json": "{}",
      });
      const messages: string[] = [];
      for (const [node, file] of [
        ["two", "disks.json"],
        ["one", "none.json"],
        ["one", "text.json"],
        ["one", "other.json"],
      ] as const) {
        const { problems, file: written } = await importHardware(choice(folder), node, file);
        assert.is(written, null);
        messages.push(...problems.map(({ code, message }) => `${code}: ${message}`));
      }
      assert.equal(messages, [
        'bad-hardware: the site has no node "two"',
        "bad-hardware: none.json cannot be read (ENOENT)",
        "bad-hardware: text.json is not JSON",
        "bad-hardware: other.json cannot be used: it is neither of lsblk --json, nor of lshw -json, nor the installer's probe data",
      ]);
      assert.not.ok(existsSync(join(folder, "hardware")));
    });
  });

  test("the built-in example is nobody's machine", async () => {
    await inTemporaryFolder(async (folder) => {
      writeTree(folder, { "disks.json": disks });
      const { problems } = await importHardware(choice(folder), "con01", "disks.json");
      assert.match(problems[0]?.message ?? "", "built-in example");
    });
  });
});

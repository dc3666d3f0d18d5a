/** The base profile in qemu: real firmware, kernel and disk, from an image built of packages. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { poll } from "../../src/lab/command.ts";
import { running } from "../../src/lab/drivers/qemu/process.ts";
import { qemu } from "../../src/lab/drivers/qemu.ts";
import { buildImage } from "../../src/lab/images/build.ts";
import { freshId } from "../../src/lab/state.ts";
import { suite } from "../support/suite.ts";
import { cache, say } from "./lab.ts";
import { describe, type QemuNode, qemuWorkspace, verdictOf, withQemu } from "./qemu-lab.ts";

const nodes: readonly QemuNode[] = [
  { name: "old", profile: "base", octet: "21", address: "10.0.0.21", firmware: "bios" },
  { name: "new", profile: "base", octet: "22", address: "10.0.0.22", firmware: "uefi" },
];

// What anybody can run, root or not: sockets, a hub, qemu's user network. `npm run test:boot:full` has the bridges.
process.env.SEEDSMITH_QEMU_NETWORK = "hub";

suite("the base profile in qemu", (test) => {
  test("comes to READY by BIOS and by UEFI; a kill is seen; power comes and goes; nothing is left", async () => {
    const began = Date.now();
    await buildImage(
      { name: "debian-12", family: "debian", codename: "bookworm" },
      { cache, progress: (line) => say(`image: ${line}`) },
    );
    say(`the image took ${Math.round((Date.now() - began) / 1000)} s`);
    const workspace = qemuWorkspace(nodes);
    const lab = describe(workspace, freshId(), nodes);
    await withQemu(lab, async () => {
      for (const { name } of nodes) await qemu.start(lab, name);
      const found = await Promise.all(nodes.map(({ name }) => verdictOf(lab, name, 1500)));
      for (const [index, { verdict, seconds }] of found.entries()) {
        const { name } = nodes[index]!;
        say(`${name}: ${verdict?.event ?? "no verdict"} ${Math.round(seconds)} s after it was switched on`);
        assert.is(verdict?.event, "ready", name);
      }
      const inside = async (name: string, ...argv: string[]): Promise<string> => {
        const done = await qemu.exec(lab, name, argv, { timeout: 600 });
        assert.is(done.status, 0, `${name}: ${argv.join(" ")}: ${done.stdout}${done.stderr}`);
        return done.stdout.trim();
      };
      // The seed's bytes, read from the disk that cloud-init read.
      for (const { name } of nodes) {
        const seed = readFileSync(workspace.path(name, "seed.iso"));
        const digest = createHash("sha256").update(seed).digest("hex");
        const read = await inside(
          name,
          "sh",
          "-c",
          `head -c ${seed.length} /dev/disk/by-label/cidata | sha256sum`,
        );
        assert.is(read.split(" ")[0], digest, name);
      }
      assert.is(
        await inside("old", "sh", "-c", "test -d /sys/firmware/efi && echo uefi || echo bios"),
        "bios",
      );
      assert.is(
        await inside("new", "sh", "-c", "test -d /sys/firmware/efi && echo uefi || echo bios"),
        "uefi",
      );
      for (const { name } of nodes) {
        // With the dots of its waiting.
        assert.match(await inside(name, "cloud-init", "status", "--wait"), /status: done$/);
        const finished = / finished at .* Up ([0-9.]+) seconds/.exec(
          readFileSync(qemu.console(lab, name), "utf8"),
        );
        say(`${name}: cloud-init was done ${finished?.[1] ?? "?"} s after the kernel's start`);
      }
      // The root has grown to the site's disk, and the nodes see each other by both networks.
      assert.ok(
        Number(await inside("old", "sh", "-c", "df --output=size -BM / | tail -n 1 | tr -d ' M'")) > 7000,
      );
      await inside("old", "ping", "-c", "2", "-W", "5", "10.0.0.22");
      // The gateway answers, and its name server knows the outside: packages came by it.
      await inside("new", "ping", "-c", "2", "-W", "5", "10.0.0.254");
      assert.is(await inside("old", "cat", "/sys/class/net/provider/address"), "52:54:00:cb:00:21");
      assert.is(await inside("new", "systemctl", "--failed", "--no-legend", "--plain"), "");

      // A crash is seen at once, and after it the machine comes up from what it had written.
      await inside("old", "sh", "-c", "echo kept >/root/kept && sync");
      const pid = running(join(lab.folder, "machines", "old"))?.pid;
      assert.type(pid, "number");
      const killed = Date.now();
      process.kill(pid as number, "SIGKILL");
      const dead = await poll(
        60,
        async () => ((await qemu.state(lab, "old")).power === "dead" ? true : null),
        0.1,
      );
      assert.is(dead, true);
      say(`the kill was seen after ${Date.now() - killed} ms`);
      assert.match((await qemu.state(lab, "old")).reason, /SIGKILL/);

      // So is the end of the network; and the port for ssh may have been taken by somebody else meanwhile.
      const hub = running(join(lab.folder, "hub"))?.pid;
      assert.type(hub, "number");
      const port = Number(qemu.login(lab, "old")[2]);
      process.kill(hub as number, "SIGKILL");
      const lost = await poll(
        60,
        async () => ((await qemu.state(lab, "new")).power === "dead" ? true : null),
        0.1,
      );
      assert.is(lost, true);
      const squatter = createServer();
      await new Promise<void>((resolve) => squatter.listen(port, "127.0.0.1", resolve));
      await qemu.start(lab, "old");
      squatter.close();
      assert.is.not(Number(qemu.login(lab, "old")[2]), port);
      assert.is((await qemu.state(lab, "new")).power, "running");

      // In order.
      assert.is(await qemu.powerOff(lab, "new", 600), true);
      assert.equal(await qemu.state(lab, "new"), { power: "off", reason: "" });
      const again = await poll(
        900,
        async () => {
          const done = await qemu.exec(lab, "old", ["cat", "/root/kept"], { timeout: 300 }).catch(() => null);
          return done?.status === 0 ? done.stdout : null;
        },
        3,
      );
      assert.is(again, "kept\n");
    });
    assert.not.ok(existsSync(lab.folder));
    // Twice is as good as once.
    await qemu.destroy(lab);
    const left = execFileSync("ps", ["-eo", "args"], { encoding: "utf8" });
    assert.not.match(left, `seedsmith-${lab.id}`);
    workspace.remove();
  });
});

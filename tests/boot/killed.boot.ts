/**
 * The qemu driver by the command line: what it refuses, and that nothing is left when it is killed. Its machines
 * have an empty disk, for none of this needs them to boot: they stay with their firmware.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { must, poll } from "../../src/lab/command.ts";
import { readState } from "../../src/lab/state.ts";
import { suite } from "../support/suite.ts";
import { say } from "./lab.ts";
import { Command, labOf, type Outcome } from "./program.ts";
import { repository } from "./rendered.ts";
import { good, smallWorkspace } from "./small.ts";
import { beyond, idOf, left, processes, snapshot } from "./traces.ts";

const up = ["lab", "up", "--driver", "qemu"];
const size = "size: { cpus: 1, memory: 256M, disk: 1G }";

suite("the qemu driver by the command line", (test) => {
  const workspace = smallWorkspace(good, [["small", "15", 21]]);
  const { folder } = workspace;
  workspace.edit("profile: small\n", `profile: small\n    ${size}\n`);
  const lab = labOf(workspace);
  const caches = { blank: join(folder, "cache"), bare: join(folder, "bare") };
  let before: string[] = [];
  const ids: string[] = [];

  const start = (
    args: readonly string[],
    network = "hub",
    cache = caches.blank,
    path = process.env.PATH,
  ): Command =>
    new Command(workspace, args, {
      SEEDSMITH_CACHE: cache,
      SEEDSMITH_QEMU_NETWORK: network,
      PATH: path,
    });
  const run = (...args: readonly string[]): Promise<Outcome> => start(args).done;
  const remember = (): void => {
    const id = idOf(lab);
    if (id !== null && !ids.includes(id)) ids.push(id);
  };
  const talking = (): boolean => processes().some((line) => line.startsWith("ssh ") && line.includes(folder));
  /** Waits for a moment of a command. */
  const until = async (command: Command, moment: () => boolean): Promise<void> => {
    let come = false;
    const look = (): boolean => {
      come = moment();
      return come || command.child.exitCode !== null;
    };
    await poll(900, () => (look() ? true : null), 0.005);
    assert.ok(come, `the moment did not come: ${command.err}`);
  };
  /** Waits for a moment of a command, kills it then, and sees that `down` leaves nothing, whenever it is called. */
  const kill = async (moment: string, come: () => boolean, command: Command): Promise<void> => {
    await until(command, come);
    command.child.kill("SIGKILL");
    await command.done;
    remember();
    const stood = existsSync(join(lab, "ledger.jsonl"));
    if (readState(lab) !== null) {
      const status = await run("lab", "status");
      assert.match(status.out, "abandoned: process", moment);
    }
    if (stood) {
      const again = await run(...up);
      assert.is(again.code, 3, `${moment}: ${again.err}`);
      assert.match(again.err, "seedsmith lab down", moment);
    }
    const down = await run("lab", "down");
    assert.is(down.code, 0, `${moment}: ${down.err}`);
    assert.match(down.out, stood ? "the lab of boot is down" : "nothing to take down", moment);
    assert.equal(await left([folder], before, [folder, ...ids]), [], moment);
    const twice = await run("lab", "down");
    assert.equal([twice.code, twice.err], [0, ""], moment);
    assert.match(twice.out, "nothing to take down", moment);
    say(`killed ${moment}: nothing is left`);
  };

  test.before(async () => {
    const image = join(caches.blank, "images", "debian-12-blank");
    mkdirSync(image, { recursive: true });
    mkdirSync(join(caches.bare, "images"), { recursive: true });
    await must(["qemu-img", "create", "-q", "-f", "qcow2", join(image, "disk.qcow2"), "64M"]);
    writeFileSync(
      join(image, "image.json"),
      JSON.stringify({
        target: "debian-12",
        key: "blank",
        origin: { kind: "built", key: "blank" },
        format: "qcow2",
        file: "disk.qcow2",
        made: "2026-01-01T00:00:00.000Z",
      }),
    );
    // Nothing is fetched: at that port nobody listens.
    for (const name of ["debian-12", "ubuntu-22.04"]) {
      const path = join("targets", `${name}.yaml`);
      const text = readFileSync(join(repository, path), "utf8");
      workspace.write(path, text.replaceAll(/(url|digests): https:\/\/[^/]*/g, "$1: http://127.0.0.1:9"));
    }
    // Rendered before, so that seeds and secrets are there and only the labs make a difference.
    workspace.render();
    before = await snapshot([folder]);
  });
  test.after(async () => {
    await run("lab", "down");
    workspace.remove();
  });

  test("killed while it tries whether guests run with the processor's help, it leaves no guest", async () => {
    if (!existsSync("/dev/kvm")) return say("this host has no /dev/kvm, so nothing is tried");
    // A real one may have failed before anybody looks; this one, called by qemu's name, stays.
    const bin = join(folder, "bin");
    const standIn = `#!/bin/sh\ncase "$*" in *-snapshot*) exec tail -f "$0" ;; esac\nPATH=\${PATH#*:}\nexec qemu-system-x86_64 "$@"\n`;
    workspace.write(join("bin", "qemu-system-x86_64"), standIn);
    chmodSync(join(bin, "qemu-system-x86_64"), 0o755);
    before = await snapshot([folder]);
    const trying = (): boolean =>
      processes().some((line) => line.startsWith("tail -f ") && line.includes(bin));
    await kill(
      "while it tries a guest",
      trying,
      start(up, "hub", caches.blank, `${bin}:${process.env.PATH}`),
    );
  });

  test("killed while it builds an image, it leaves neither mmdebstrap nor its files", async () => {
    const building = (): boolean =>
      processes().some((line) => /^\S*perl \S*mmdebstrap /.test(line) && line.includes(caches.bare));
    await kill("while it builds an image", building, start(up, "hub", caches.bare));
  });

  test("what cannot be is refused, and says what to do", async () => {
    // What the trial of a guest has found stays in the cache.
    await run("lab", "doctor");
    before = await snapshot([folder]);
    const refused = async (words: RegExp, hint: RegExp, args: readonly string[] = up): Promise<void> => {
      const { code, err } = await run(...args);
      assert.is(code, 3, err);
      assert.match(err, words);
      assert.match(err, hint);
      assert.equal(await left([folder], before, [folder]), []);
    };
    const wish = (from: string, to: string) => async (test: () => Promise<void>) => {
      workspace.edit(from, to);
      before = await snapshot([folder]);
      await test();
      workspace.edit(to, from);
    };
    await wish(
      size,
      "size: { cpus: 1, memory: 900000G, disk: 1G }",
    )(() =>
      refused(
        /the nodes take 921600000 MiB by qemu and this host has \d+ MiB free: small 921600000/,
        /boot fewer nodes with --node, give them less/,
      ),
    );
    await wish(
      "access:\n",
      'apt: { proxy: "http://10.0.0.99:3142" }\naccess:\n',
    )(() =>
      refused(
        /the site's network management \(10\.0\.0\.0\/24\) hides a package mirror or proxy, 10\.0\.0\.99, from the machines/,
        /give the network management of the site another cidr, or use --driver nspawn/,
      ),
    );
    await refused(
      /no machine of ubuntu-22\.04 can be made here: qemu: there is no image of ubuntu-22\.04; it cannot be fetched/,
      /seedsmith lab images fetch ubuntu-22\.04/,
      [...up, "--target", "ubuntu-22.04"],
    );
  });

  test("a machine whose qemu is killed ends the wait, with the reason, as text and as events", async () => {
    const command = start([...up, "--format", "json"]);
    const folderOf = join(lab, "machines", "small");
    const named = join(folderOf, "process.json");
    await until(command, () => existsSync(named));
    remember();
    const second = await run(...up);
    assert.is(second.code, 3, second.err);
    assert.match(second.err, "the lab of boot is being brought up by process");
    // Its log is asked for by ssh, which waits long for a machine that does not boot.
    await until(command, () => talking());
    const { qemu } = JSON.parse(readFileSync(named, "utf8")) as { qemu: { pid: number } };
    process.kill(qemu.pid, "SIGKILL");
    const killed = Date.now();
    const { code, out, err } = await command.done;
    say(`the command ended ${Date.now() - killed} ms after the kill of its machine`);
    assert.is(code, 4, err);
    const events = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string; outcome?: string });
    const end = events.find(({ event }) => event === "lab-end");
    assert.is(end?.outcome, "failed");
    assert.match(JSON.stringify(end), "the machine died: qemu was ended by SIGKILL");
    assert.is(events.at(-1)?.event, "lab-bundle");
    const status = await run("lab", "status");
    assert.is(status.code, 4);
    assert.match(status.out, "small  debian-12  no word of the runner yet (dead: qemu was ended by SIGKILL)");
    const down = await run("lab", "down");
    assert.is(down.code, 0, down.err);
    const bundle = join(lab, "failed-small.tar.gz");
    assert.match(down.out, `kept: ${bundle.slice(folder.length + 1)}`);
    assert.equal(readdirSync(lab).sort(), ["failed-small.tar.gz", "records"]);
    rmSync(lab, { recursive: true });
    assert.equal(await left([folder], before, [folder, ...ids]), []);
  });

  test("killed at any moment, down leaves nothing, and a second down has nothing to do", async () => {
    const own = (path: string) => (): boolean => existsSync(join(lab, path));
    const talking = (): boolean =>
      processes().some((line) => line.startsWith("ssh ") && line.includes(folder));
    const moments: readonly (readonly [string, () => boolean, string])[] = [
      ["as soon as it has a ledger", own("ledger.jsonl"), "hub"],
      ["while a disk is made", own("machines/small"), "hub"],
      ["as the hub starts", own("hub/qemu.log"), "hub"],
      ["before the hub is in the ledger", own("hub/pid"), "hub"],
      ["as its machine starts", own("machines/small/qemu.log"), "hub"],
      ["before its machine is in the ledger", own("machines/small/pid"), "hub"],
      ["once its machine runs", own("machines/small/process.json"), "hub"],
      ["while it waits for a verdict", talking, "hub"],
      ["while bridges are made", () => existsSync(`/run/netns/seedsmith-${idOf(lab)}`), "bridge"],
      ["while it waits for a verdict, on bridges", talking, "bridge"],
    ];
    for (const [moment, come, network] of moments) await kill(moment, come, start(up, network));
  });

  test("interrupted, it leaves the lab standing, and the image that its disk stands on stays", async () => {
    const command = start(up);
    await until(command, () => command.err.includes("small is switched on"));
    remember();
    command.child.kill("SIGINT");
    assert.is((await command.done).code, 130);
    assert.ok(beyond(await snapshot([folder]), before, [folder, ...ids]).length > 5, "what is there is seen");
    const remove = await run("lab", "images", "remove", "debian-12");
    assert.is(remove.code, 3);
    assert.match(remove.err, `the image blank of debian-12 is the disk of machines in ${lab}`);
    const second = await run(...up);
    assert.is(second.code, 3);
    assert.match(second.err, "the lab of boot is up already, by qemu");
    const down = await run("lab", "down");
    assert.is(down.code, 0, down.err);
    rmSync(lab, { recursive: true, force: true });
    assert.equal(await left([folder], before, [folder, ...ids]), []);
  });
});

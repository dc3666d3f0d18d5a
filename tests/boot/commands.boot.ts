/** Labs by the command line, as a person uses them: two nodes, another lab beside them, and what goes wrong. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { run as hostCommand, must, poll, sleep } from "../../src/lab/command.ts";
import { eventLog, readEvents } from "../../src/lab/events.ts";
import { readState } from "../../src/lab/state.ts";
import { suite } from "../support/suite.ts";
import { cache } from "./lab.ts";
import { Command, labOf, run } from "./program.ts";
import { lineOf, repository, type Workspace } from "./rendered.ts";
import { componentFile, good, smallWorkspace } from "./small.ts";
import { beyond, idOf, left, snapshot } from "./traces.ts";

function events(workspace: Workspace, node: string, site?: string) {
  const path = join(labOf(workspace, site), "machines", node, "root", eventLog);
  return existsSync(path) ? readEvents(readFileSync(path)).events : [];
}

suite("labs by the command line", (test) => {
  const pair = smallWorkspace(good, [
    ["small", "15", 21],
    ["small2", "16", 22],
  ]);
  const other = smallWorkspace(
    'before_start:\n  - { name: exits, run: [sh, -c, "echo planted words; exit 1"], repeat: safe }\n',
    [["small3", "17", 23]],
  );
  other.edit("site: boot", "site: other");
  const both = [pair, other];
  const folders = both.map(({ folder }) => folder);
  const lab = ["lab", "up", "--driver", "nspawn"];
  const ids: string[] = [];
  let before: string[] = [];
  let up: Command;

  const marks = (): string[] => [...ids, pair.folder, other.folder];
  const component = (body: string): void =>
    other.write(componentFile, `component: small\nsummary: What the fault tests plant things in\n${body}`);
  /** Removes the bundles that outlive a lab. */
  const forget = (): void => rmSync(labOf(other, "other"), { recursive: true, force: true });
  const known = async (workspace: Workspace, site?: string): Promise<string> => {
    const state = await poll(600, () => readState(labOf(workspace, site)));
    assert.ok(state, "the lab has a state");
    ids.push(state!.lab.id);
    return state!.lab.id;
  };

  test.before(async () => {
    // Rendered before, so that seeds and secrets are there and only the labs make a difference.
    for (const workspace of both) workspace.render();
    before = await snapshot(folders);
  });
  test.after(async () => {
    for (const workspace of both) {
      await run(workspace, "lab", "down");
      workspace.remove();
    }
  });

  test("two nodes come up, while a second up is refused and another site's node fails at once", async () => {
    up = new Command(pair, lab);
    await known(pair);
    const second = await run(pair, ...lab);
    assert.is(second.code, 3, second.err);
    assert.match(second.err, "the lab of boot is being brought up by process");

    const red = new Command(other, ["test", "--driver", "nspawn", "--keep", "--report", "red.xml"]);
    await known(other, "other");
    assert.ok(await poll(900, () => (red.err.includes("small3 FAILED") ? true : null), 0.1), red.err);
    const said = Date.now();
    const verdict = events(other, "small3", "other").find(({ event }) => event === "failed");
    // It takes a second or two; a loaded host is given more, and a wait for the time limit would still be seen.
    const late = said - Date.parse(String(verdict?.time));
    console.log(`  the failure was said after ${late} ms`);
    assert.ok(late < 60_000, `${verdict?.time} was said at ${said}`);
    const { code, err } = await red.done;
    assert.is(code, 4, err);
    assert.match(err, "RED: small3 on debian-12 by nspawn: failed");
    assert.match(err, "kept: seedsmith lab down takes it down");
    const report = readFileSync(join(other.folder, "red.xml"), "utf8");
    assert.match(report, /<testsuite name="small3"[^>]* failures="[1-9]/);
    assert.match(report, "planted words");
    assert.is((await run(other, "lab", "status")).code, 4, "it stands, and has failed");
    const place = `${componentFile}:${lineOf(other, componentFile, "name: exits")}`;
    for (const words of ["FAILED at", "exits", "| planted words", `asked for by ${place}`, "run: [sh, -c"])
      assert.match(err, words);
    const bundle = join(labOf(other, "other"), "failed-small3.tar.gz");
    assert.is(statSync(bundle).mode & 0o777, 0o600);
    const { code: down, out } = await run(other, "lab", "down");
    assert.is(down, 0);
    assert.match(out, "kept: build/other/lab/failed-small3.tar.gz");
    forget();

    const first = await up.done;
    assert.is(first.code, 0, first.err);
    for (const node of ["small", "small2"]) assert.match(first.err, `${node} READY after`);
  });

  test("status, check, exec and logs tell of them", async () => {
    const status = await run(pair, "lab", "status", "--format", "json");
    assert.is(status.code, 0, status.err);
    const { nodes, abandoned } = JSON.parse(status.out) as {
      nodes: { node: string; power: string; state: string; login: string[] }[];
      abandoned: string | null;
    };
    assert.is(abandoned, null);
    assert.equal(
      nodes.map(({ node, power, state }) => [node, power, state]),
      [
        ["small", "running", "ready"],
        ["small2", "running", "ready"],
      ],
    );
    for (const { login } of nodes) assert.ok(login.length > 0, "how to get in");
    for (const name of ["state.json", "ledger.jsonl"])
      assert.is(statSync(join(labOf(pair), name)).mode & 0o777, 0o600, name);
    assert.is(statSync(labOf(pair)).mode & 0o777, 0o700);

    const check = await run(pair, "lab", "check");
    assert.is(check.code, 0, check.out);
    assert.match(check.out, /small2: \d+ checks hold/);

    const reached = await run(pair, "lab", "exec", "small", "--", "ping", "-c", "1", "-W", "5", "10.0.0.22");
    assert.is(reached.code, 0, reached.out);
    const exec = await run(pair, "lab", "exec", "small", "--", "sh", "-c", "hostname; exit 7");
    assert.equal([exec.code, exec.out], [7, "small\n"]);
    const program = join(repository, "dist", "cli.js");
    const fed = await hostCommand(
      [process.execPath, program, "lab", "exec", "small", "--", "sh", "-c", "hostname; cat; exit 5"],
      { cwd: pair.folder, stdin: "what was piped in\n" },
    );
    assert.equal([fed.status, fed.stdout], [5, "small\nwhat was piped in\n"], fed.stderr);
    const logs = await run(pair, "lab", "logs", "small2");
    assert.match(logs.out, "SEEDSMITH small2 READY");

    const unknown = await run(pair, "lab", "exec", "smal", "--", "true");
    assert.is(unknown.code, 3);
    assert.match(unknown.err, 'the lab has no node "smal"');
    assert.match(unknown.err, "small");
    const second = await run(pair, ...lab);
    assert.is(second.code, 3);
    assert.match(second.err, "the lab of boot is up already");
  });

  test("a reboot from inside is followed although no command runs", async () => {
    await run(pair, "lab", "exec", "small", "--", "touch", "/run/before");
    await run(pair, "lab", "exec", "small", "--", "systemctl", "reboot");
    const back = await poll(900, async () => {
      const found = await run(pair, "lab", "exec", "small", "--", "sh", "-c", "test ! -e /run/before");
      return found.code === 0 ? true : null;
    });
    assert.ok(back, "it came back");
    const green = await run(pair, "lab", "exec", "small", "--", "cloud-init", "status", "--wait");
    assert.is(green.code, 0, green.out);
  });

  test("a runner that is killed ends the wait", async () => {
    component(
      'before_start:\n  - { name: long, run: [sleep, "600"], within: 10m, unless: { file: /never } }\n',
    );
    const killed = new Command(other, lab);
    await known(other, "other");
    assert.ok(
      await poll(900, () =>
        events(other, "small3", "other").some(
          ({ event, name }) => event === "step-start" && name?.includes("long"),
        )
          ? true
          : null,
      ),
      killed.err,
    );
    const kill = ["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "seedsmith-node.service"];
    assert.is((await run(other, "lab", "exec", "small3", "--", ...kill)).code, 0);
    const { code, err } = await killed.done;
    assert.is(code, 4, err);
    assert.match(err, "the runner ended without a verdict");
    const follow = new Command(other, ["lab", "logs", "small3", "--follow"]);
    await run(other, "lab", "exec", "small3", "--", "systemctl", "--no-block", "poweroff");
    const followed = await follow.done;
    assert.is(followed.code, 0, followed.err);
    assert.match(followed.out, "cloud-init");
    assert.match((await run(other, "lab", "status")).out, /small3 .*\(off\)/);
    assert.is((await run(other, "lab", "down")).code, 0);
    forget();
  });

  test("a disk that is full in the guest ends the wait, and down goes on where something was in its way", async () => {
    component(
      "before_start:\n  - { name: fill, run: [dd, if=/dev/zero, of=/fill, bs=1M], unless: { file: /never } }\n",
    );
    const folder = join(labOf(other, "other"), "machines", "small3");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // A cache without packages: the small disk is not to be full of them.
    const bare = join(other.folder, "cache");
    mkdirSync(bare);
    symlinkSync(join(cache, "roots"), join(bare, "roots"));
    await must(["mount", "-t", "tmpfs", "-o", "size=64M", "tmpfs", folder]);
    try {
      const full = await new Command(other, lab, { SEEDSMITH_CACHE: bare }).done;
      assert.is(full.code, 4, full.err);
      assert.match(full.err, /small3 FAILED/);
      assert.match(full.err, /No space left on device|disk full|without a verdict/);
      const resisted = await run(other, "lab", "down");
      assert.is(resisted.code, 3, resisted.out);
      assert.match(resisted.err, "something is mounted there");
    } finally {
      await must(["umount", folder]);
      rmSync(bare, { recursive: true });
    }
    assert.is((await run(other, "lab", "down")).code, 0);
    forget();
  });

  test("test: up, check, report, down; the timeline is there afterwards", async () => {
    component(good);
    const { code, out, err } = await new Command(other, [
      "test",
      "--driver",
      "nspawn",
      "--report",
      "out/junit.xml",
      "--format",
      "json",
    ]).done;
    assert.is(code, 0, err);
    const told = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string; ok?: boolean; outcome?: string; driver?: string });
    for (const name of ["lab-note", "run-start", "ready", "lab-end", "lab-checks", "lab-test"])
      assert.ok(
        told.some(({ event }) => event === name),
        name,
      );
    assert.is(told.find(({ event }) => event === "lab-end")?.outcome, "ready");
    assert.is(told.find(({ event }) => event === "lab-checks")?.ok, true);
    assert.equal([told.at(-1)?.event, told.at(-1)?.ok, told.at(-1)?.driver], ["lab-test", true, "nspawn"]);
    const report = readFileSync(join(other.folder, "out", "junit.xml"), "utf8");
    assert.match(report, /<testsuite name="small3"[^>]* failures="0" errors="0"/);
    assert.equal(readdirSync(labOf(other, "other")), ["records"], "the lab is down");
    const timeline = await run(other, "lab", "timeline", "--svg", "timeline.svg");
    assert.is(timeline.code, 0, timeline.err);
    assert.match(timeline.out, "small3");
    assert.match(readFileSync(join(other.folder, "timeline.svg"), "utf8"), "</svg>");
    for (const name of ["out", "red.xml", "timeline.svg"])
      rmSync(join(other.folder, name), { recursive: true, force: true });
    forget();
  });

  test("after kill -9 of up, whenever it comes, down leaves nothing; down twice is fine", async () => {
    component(good);
    const moments: readonly [string, () => boolean][] = [
      ["as soon as it has a ledger", () => existsSync(join(labOf(other, "other"), "ledger.jsonl"))],
      ["while disks are made", () => existsSync(join(labOf(other, "other"), "machines", "small3", "root"))],
      [
        "as its machine starts",
        () => existsSync(join(labOf(other, "other"), "machines", "small3", "power.json")),
      ],
      ["while the runner works", () => events(other, "small3", "other").length > 0],
    ];
    for (const [moment, come] of moments) {
      const killed = new Command(other, lab);
      assert.ok(await poll(900, () => (come() ? true : null), 0.005), `${moment}: ${killed.err}`);
      killed.child.kill("SIGKILL");
      await killed.done;
      const id = idOf(labOf(other, "other"));
      if (id !== null) ids.push(id);
      if (readState(labOf(other, "other")) !== null) {
        const status = await run(other, "lab", "status");
        assert.match(status.out, "abandoned: process", moment);
      }
      const again = await run(other, ...lab);
      assert.is(again.code, 3, `${moment}: ${again.err}`);
      assert.match(again.err, "seedsmith lab down", moment);
      // What it had begun goes on for a while without it.
      await sleep(1);
      const down = await run(other, "lab", "down");
      assert.is(down.code, 0, `${moment}: ${down.err}`);
      assert.equal(await left([other.folder], before, [other.folder, id ?? other.folder]), [], moment);
      const twice = await run(other, "lab", "down");
      assert.equal([twice.code, twice.err], [0, ""], moment);
      assert.match(twice.out, "nothing to take down");
    }
  });

  test("the first lab was not touched by all that, and leaves nothing either", async () => {
    const reached = await run(pair, "lab", "exec", "small2", "--", "ping", "-c", "1", "-W", "5", "10.0.0.21");
    assert.is(reached.code, 0, reached.out);
    assert.ok(beyond(await snapshot(folders), before, marks()).length > 5, "the test sees what is there");
    const down = await run(pair, "lab", "down");
    assert.is(down.code, 0, down.err);
    assert.equal(readdirSync(labOf(pair)), ["records"], "what lab timeline reads is kept");
    rmSync(labOf(pair), { recursive: true });
    assert.equal(await left(folders, before, marks()), []);
    assert.equal(
      before.filter((line) => marks().some((mark) => line.includes(mark)) && !existsSync(line)),
      [],
      "nor was anything lost",
    );
  });
});

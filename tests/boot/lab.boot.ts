/** Proves the lab itself, with seeds written by hand: what later boot tests rely on. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { groupFolders } from "../../src/lab/cgroup.ts";
import { must, poll } from "../../src/lab/command.ts";
import { alive, processName } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { destroyLab, labs, sweepLabs } from "../../src/lab/ledger.ts";
import type { Machine, MachineOptions } from "../../src/lab/machine.ts";
import { suite } from "../support/suite.ts";
import { management, node, provider } from "./handwritten.ts";
import { base, cache, withLab } from "./lab.ts";

async function start(lab: Lab, options: MachineOptions): Promise<Machine> {
  const machine = await lab.addMachine(options);
  await machine.start();
  return machine;
}

async function withNetworks(name: string, test: (lab: Lab) => Promise<void>): Promise<void> {
  await withLab(name, async (lab) => {
    await lab.addSegment(management);
    await lab.addSegment(provider);
    await test(lab);
  });
}

/** A per-boot script that stands in for the first-boot runner: `body` may call `say EVENT [MORE JSON]`. */
function runner(body: string): string {
  const lines = [
    "#!/bin/sh",
    "log=/var/lib/seedsmith/state/events.jsonl",
    "mkdir -p /var/lib/seedsmith/state",
    `say() { printf '{"time":"now","event":"%s","node":"node1","generation":1%s}\\n' "$1" "$2" >> "$log"; }`,
    "say run-start",
    ...body.split("\n"),
  ];
  const content = lines.map((line) => `      ${line}`).join("\n");
  return `write_files:\n  - path: /var/lib/cloud/scripts/per-boot/50-runner\n    permissions: "0755"\n    content: |\n${content}\n`;
}

/** What a lab has on its host, one thing a line: its id is part of every name. Other labs may come and go. */
async function tracesOf(id: string): Promise<string[]> {
  const links = await must(["ip", "-o", "-br", "link"]);
  const tables = await must(["nft", "list", "tables"]);
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const groups = groupFolders("").map((folder) => folder.replace(/\/$/, ""));
  const folders = ["/run/netns", "/run/systemd/nspawn/propagate", join(cache, "labs"), ...groups].flatMap(
    (folder) => (existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []),
  );
  return [links, tables, mounts]
    .flatMap((text) => text.trim().split("\n"))
    .concat(folders)
    .filter((line) => line.includes(id));
}

/** Whether the host forwards packets. */
const forwards = () => readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim();

suite("a machine", (test) => {
  test("boots a seed: cloud-init is done, files, names, addresses and name servers are the seed's", async () => {
    await withNetworks("boots", async (lab) => {
      const options = node(
        1,
        `write_files:
  - { path: /etc/lab/greeting, content: "hello\\n", permissions: "0640" }
runcmd:
  - [sh, -c, "echo ran > /root/ran"]
`,
      );
      const machine = await start(lab, options);
      const result = await machine.waitCloudInit(900);
      assert.equal(result.errors, []);
      assert.match(await machine.must(["cloud-init", "status"]), "status: done");
      assert.match(result.datasource ?? "", "DataSourceNoCloud");
      for (const [name, content] of Object.entries(options.seed)) {
        assert.is(machine.readFile(`/var/lib/cloud/seed/nocloud/${name}`), content, name);
      }
      assert.is(machine.readFile("/etc/lab/greeting"), "hello\n");
      assert.is(machine.readFile("/root/ran"), "ran\n");
      assert.is((await machine.must(["hostname"])).trim(), "node1");

      const links = JSON.parse(await machine.must(["ip", "-j", "address"]));
      const link = (name: string) => links.find(({ ifname }: { ifname: string }) => ifname === name);
      const inet = (name: string) =>
        link(name).addr_info.filter(({ family }: { family: string }) => family === "inet");
      assert.is(link("eth0").address, "52:54:00:0a:00:01");
      assert.equal(
        [inet("eth0").length, inet("eth0")[0].local, inet("eth0")[0].prefixlen],
        [1, "10.0.0.1", 24],
      );
      assert.is(link("provider").address, "52:54:00:0b:00:01");
      assert.ok(link("provider").flags.includes("UP"), "an interface without address is up");
      assert.equal(link("provider").addr_info, []);
      assert.match(await machine.must(["ip", "route", "show", "default"]), "default via 10.0.0.254 dev eth0");
      assert.match(await machine.must(["resolvectl", "dns", "eth0"]), ": 10.0.0.254");
      assert.is((await machine.must(["systemctl", "is-system-running", "--wait"])).trim(), "running");
      assert.match(await machine.must(["sysctl", "-w", "net.ipv4.ip_forward=1"]), "= 1");
    });
  });

  test("reaches the package archive by name, and the next machine is given what it fetched", async () => {
    await withNetworks("packages", async (lab) => {
      const machine = await start(lab, node(1, ""));
      await machine.waitCloudInit(900);
      await machine.must(["apt-get", "update"], { timeout: 600 });
      await machine.must(["apt-get", "install", "-y", "--no-install-recommends", "hello"], { timeout: 600 });
      const fetched = readdirSync(join(machine.root, "var/cache/apt/archives")).filter((name) =>
        name.startsWith("hello"),
      );
      assert.is(fetched.length, 1);
      await machine.remove();
      const next = await lab.addMachine(node(2, ""));
      const path = join(next.root, "var/cache/apt/archives", fetched[0]!);
      assert.ok(existsSync(path), path);
    });
  });

  test("sees its neighbours, and is seen from outside", async () => {
    await withNetworks("neighbours", async (lab) => {
      const first = await start(lab, node(1, ""));
      const second = await start(lab, node(2, ""));
      await Promise.all([first.waitCloudInit(900), second.waitCloudInit(900)]);
      await first.must(["ping", "-c", "1", "-W", "5", "10.0.0.2"]);
      const greeting = await lab.outside(["bash", "-c", "exec 3<>/dev/tcp/10.0.0.2/22; head -c 7 <&3"]);
      assert.is(greeting.stdout, "SSH-2.0");
    });
  });

  test("tells what its commands did", async () => {
    await withNetworks("commands", async (lab) => {
      const machine = await start(lab, node(1, ""));
      await machine.waitCloudInit(900);
      const done = await machine.exec(["sh", "-c", 'cat; echo "$WORD" >&2; exit 7'], {
        stdin: "in",
        env: { WORD: "a b" },
      });
      assert.equal([done.status, done.stdout, done.stderr], [7, "in", "a b\n"]);
      const late = await machine.exec(["sleep", "60"], { timeout: 1 }).catch((error: Error) => error.message);
      assert.match(String(late), "no end after 1 s");
      assert.is((await machine.exec(["pgrep", "-x", "sleep"])).stdout, "", "ended in the machine too");
      await machine.powerOff();
      const off = await machine.exec(["true"]).catch((error: Error) => error.message);
      assert.match(String(off), "node1 is not on");
      assert.is(machine.readFile("/etc/hostname"), "node1\n", "files can be read when it is off");
    });
  });
});

suite("power", (test) => {
  test("a reboot from inside, a power cycle and a power cut", async () => {
    await withNetworks("power", async (lab) => {
      const machine = await start(lab, node(1, "bootcmd: [[sh, -c, 'echo boot >> /root/boots']]\n"));
      await machine.waitCloudInit(900);
      await machine.reboot();
      assert.is(machine.boots, 2);
      await machine.waitCloudInit(900);
      await machine.must(["ip", "link", "add", "left", "type", "bridge"]);

      assert.ok(await machine.powerOff(), "in order");
      assert.is(machine.state, "off");
      assert.match(
        machine.consoleTail(6).join("\n"),
        "All filesystems, swaps, loop devices, MD devices and DM devices detached",
      );
      await machine.start();
      await machine.waitCloudInit(900);
      assert.is(
        (await machine.exec(["ip", "link", "show", "left"])).status,
        1,
        "nothing outlives power off in the network",
      );

      await machine.must(["sh", "-c", "echo kept > /root/kept"]);
      await machine.kill();
      assert.is(machine.state, "off");
      assert.not.match(machine.consoleTail(6).join("\n"), "detached");
      await machine.start();
      await machine.waitCloudInit(900);
      assert.is(machine.boots, 4);
      assert.is(machine.readFile("/root/kept"), "kept\n");
      assert.is(machine.readFile("/root/boots"), "boot\n".repeat(4));
    });
  });

  test("a machine that cannot boot fails at once, with its console", async () => {
    await withNetworks("unbootable", async (lab) => {
      const machine = await lab.addMachine(node(1, ""));
      await must(["rm", join(machine.root, "usr/lib/systemd/systemd"), join(machine.root, "sbin/init")]);
      const begin = Date.now();
      const error = await machine.start().catch((reason: Error) => reason);
      assert.match(String(error), "node1 does not start: systemd-nspawn ended with status 1");
      assert.ok(Date.now() - begin < 100_000);
      assert.is(machine.state, "dead");
    });
  });
});

suite("verdicts", (test) => {
  test("ready, through a reboot that the runner asked for", async () => {
    await withNetworks("ready", async (lab) => {
      const script = `if [ ! -e /root/half ]; then
  touch /root/half
  say step-ok ',"step":"a","name":"first half"'
  say reboot
  systemctl reboot
  sleep 60
fi
say ready`;
      const machine = await start(lab, node(1, runner(script)));
      const seen: string[] = [];
      const verdict = await machine.waitVerdict({ timeout: 900, onEvent: ({ event }) => seen.push(event) });
      assert.is(verdict.outcome, "ready", verdict.reason);
      assert.equal(seen, ["run-start", "step-ok", "reboot", "run-start", "ready"]);
      assert.is(machine.boots, 2);
      assert.equal(
        machine.events().map(({ event }) => event),
        seen,
      );
    });
  });

  test("failed, with the line to blame; and another try after a power cycle", async () => {
    await withNetworks("failed", async (lab) => {
      const script = `if [ ! -e /root/tried ]; then
  touch /root/tried
  say failed ',"step":"db","from":"site.yaml:7","message":"no database"'
  exit 1
fi
say ready`;
      const machine = await start(lab, node(1, runner(script)));
      const verdict = await machine.waitVerdict({ timeout: 900 });
      assert.equal([verdict.outcome, verdict.event?.from], ["failed", "site.yaml:7"]);
      assert.match(verdict.reason, "failed db site.yaml:7 no database");
      await machine.powerCycle();
      const second = await machine.waitVerdict({ timeout: 900, newOnly: true });
      assert.is(second.outcome, "ready", second.reason);
    });
  });

  test("died at once when the machine is gone, timeout when nothing is said", async () => {
    await withNetworks("died", async (lab) => {
      const machine = await start(lab, node(1, runner("sleep 600")));
      const late = await machine.waitVerdict({ timeout: 15 });
      assert.is(late.outcome, "timeout", late.reason);
      const waiting = machine.waitVerdict({ timeout: 900 });
      await machine.kill();
      const verdict = await waiting;
      assert.is(verdict.outcome, "died", verdict.reason);
      assert.ok(verdict.seconds < 450, `${verdict.seconds} s`);
    });
  });

  test("failed when cloud-init ends without a runner", async () => {
    await withNetworks("no-runner", async (lab) => {
      const machine = await start(lab, node(1, ""));
      const verdict = await machine.waitVerdict({ timeout: 900 });
      assert.is(verdict.outcome, "failed");
      assert.match(verdict.reason, "cloud-init ended without starting the runner");
    });
  });
});

suite("a lab", (test) => {
  test("leaves nothing behind", async () => {
    let id = "";
    let leader = 0;
    const before = forwards();
    await withNetworks("destroy", async (lab) => {
      id = lab.id;
      const machine = await start(lab, node(1, ""));
      await machine.waitCloudInit(900);
      leader = Number((await must(["ip", "netns", "pids", `seedsmith-${id}-node1`])).split("\n")[0]);
      assert.is(forwards(), "1");
      assert.ok((await tracesOf(id)).length >= 5, "the test sees what is there while it runs");
    });
    assert.equal(await tracesOf(id), []);
    assert.is(processName(leader), null);
    assert.is(forwards(), before);
  });

  test("is destroyed from its state file after its process was killed", async () => {
    const child = spawn(process.execPath, ["--import", "tsx", join(import.meta.dirname, "abandon.ts")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      let said = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
      const id = await poll(
        600,
        () => /^booted (\w+)$/m.exec(said)?.[1] ?? (child.exitCode === null ? null : ""),
      );
      assert.ok(id, said);
      const pids = (await must(["ip", "netns", "pids", `seedsmith-${id}-node1`]))
        .split("\n")
        .filter(Boolean)
        .map(Number);
      const processes = pids.map(processName).filter((name) => name !== null);
      assert.ok(processes.length > 3);
      child.kill("SIGKILL");
      assert.ok(await poll(60, () => (child.signalCode === null ? null : true)));
      assert.ok(processes.some(alive), "the machine goes on without it");

      assert.ok((await sweepLabs(cache)).includes(id!));
      assert.equal(await tracesOf(id!), []);
      assert.equal(processes.filter(alive), []);
      assert.not.ok(labs(cache).includes(id!));
      await destroyLab(cache, id!);
    } finally {
      child.kill("SIGKILL");
    }
  });

  test("may have the addresses of another", async () => {
    await withNetworks("twice", async (lab) => {
      const other = await Lab.create({ cache, base: await base() });
      try {
        await other.addSegment(management);
        const mine = await start(lab, node(1, ""));
        await mine.waitCloudInit(900);
        assert.is((await lab.outside(["bash", "-c", "exec 3<>/dev/tcp/10.0.0.1/22"])).status, 0);
        const foreign = await other.outside(["timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/10.0.0.1/22"]);
        assert.is.not(foreign.status, 0);
      } finally {
        await other.destroy();
      }
    });
  });
});

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { Supervised } from "../../src/serve/dhcp.ts";
import { readArp, readLeases } from "../../src/serve/neighbours.ts";
import { suite } from "../support/suite.ts";

async function withSupervised(
  argv: readonly string[],
  test: (supervised: Supervised, notes: readonly string[], pidFile: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-dhcp-"));
  const notes: string[] = [];
  const pidFile = join(folder, "pid");
  const supervised = new Supervised({
    name: "the server",
    argv,
    pidFile,
    note: (line) => void notes.push(line),
    pause: 1,
    steady: Number.POSITIVE_INFINITY,
    deaths: 3,
  });
  try {
    await test(supervised, notes, pidFile);
  } finally {
    await supervised.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Waits for what comes sooner or later; a test that waits in vain is ended from outside. */
async function until(test: () => boolean): Promise<void> {
  while (!test()) await new Promise((done) => setTimeout(done, 5));
}

suite("a supervised process", (test) => {
  test("that dies is started again, and left dead when that is of no use; both are said", () =>
    withSupervised(["sh", "-c", "echo no room >&2; exit 3"], async (supervised, notes) => {
      supervised.start();
      await until(() => notes.length === 3);
      assert.is(supervised.health, "dead");
      assert.is(supervised.why, "exit status 3: no room");
      assert.match(notes[0] ?? "", "the server died (exit status 3: no room); it is started again");
      assert.match(notes[2] ?? "", "has died 3 times in a row, and is left dead");
    }));

  test("that is not installed", () =>
    withSupervised(["seedsmith-has-no-such-program"], async (supervised, notes) => {
      supervised.start();
      await until(() => notes.length === 3);
      assert.is(supervised.why, "seedsmith-has-no-such-program is not installed");
    }));

  test("ends with its supervisor", () =>
    withSupervised(["sleep", "600"], async (supervised, notes, pidFile) => {
      supervised.start();
      await until(() => supervised.health === "running");
      const pid = Number(readFileSync(pidFile, "utf8").split("\n")[0]);
      process.kill(pid, 0);
      await supervised.end();
      assert.throws(() => process.kill(pid, 0));
      assert.equal(notes, []);
    }));
});

suite("a process that outlived its supervisor", (test) => {
  test("is ended by the next one, and no other process is", () =>
    withSupervised(["sleep", "600"], async (first, notes, pidFile) => {
      if (process.platform !== "linux") return;
      first.start();
      await until(() => first.health === "running");
      const [pid, command] = readFileSync(pidFile, "utf8").split("\n");
      const second = new Supervised({ name: "it", argv: ["sleep", "601"], pidFile, note: () => undefined });
      const other = spawn("sleep", ["602"]);
      try {
        // The number of another process, as after a reboot: it is left alone.
        writeFileSync(pidFile, `${other.pid}\n${command}\n`);
        second.start();
        await until(() => second.health === "running");
        await second.end();
        assert.is(other.signalCode, null);
        process.kill(Number(pid), 0);
        writeFileSync(pidFile, `${pid}\n${command}\n`);
        const third = new Supervised({ name: "it", argv: ["sleep", "603"], pidFile, note: () => undefined });
        third.start();
        await until(() => notes.length > 0);
        assert.match(notes[0] ?? "", "the server died (SIGKILL)");
        await third.end();
      } finally {
        other.kill();
        await first.end();
      }
    }));
});

suite("neighbours", (test) => {
  test("of the kernel's table, those that are complete", () => {
    const text = `IP address       HW type     Flags       HW address            Mask     Device
10.0.0.1         0x1         0x2         52:54:00:00:00:01     *        br0
10.0.0.2         0x1         0x0         00:00:00:00:00:00     *        br0
10.0.0.3         0x1         0x6         52:54:00:00:00:03     *        br0
`;
    assert.equal(
      [...readArp(text)],
      [
        ["10.0.0.1", "52:54:00:00:00:01"],
        ["10.0.0.3", "52:54:00:00:00:03"],
      ],
    );
    assert.equal([...readArp("")], []);
  });

  test("of dnsmasq's leases, those that are not over", () => {
    const text = `100 52:54:00:00:00:01 10.0.0.1 con01 *
300 52:54:00:00:00:02 10.0.0.2 * 01:52:54:00:00:00:02
0 52:54:00:00:00:03 10.0.0.3 * *
duid 00:01
`;
    assert.equal(
      [...readLeases(text, 200)],
      [
        ["10.0.0.2", "52:54:00:00:00:02"],
        ["10.0.0.3", "52:54:00:00:00:03"],
      ],
    );
  });
});

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, unlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { LabError, poll, run } from "../../../../src/lab/command.ts";
import { tryGuest } from "../../../../src/lab/drivers/qemu/accelerator.ts";
import { controlling } from "../../../../src/lab/drivers/qemu/control.ts";
import { ending, launch, running, shell, stop } from "../../../../src/lab/drivers/qemu/process.ts";
import { alive, processName } from "../../../../src/lab/host.ts";
import { destroyFolder, Ledger, undoLedger } from "../../../../src/lab/ledger.ts";
import { tethered } from "../../../../src/lab/tether.ts";
import { suite } from "../../../support/suite.ts";

async function withFolder(test: (folder: string, ledger: Ledger) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-qemu-"));
  const ledger = Ledger.begin("test", join(folder, "lab"));
  try {
    await test(join(folder, "machine"), ledger);
  } finally {
    await stop(join(folder, "machine"));
    rmSync(folder, { recursive: true, force: true });
  }
}

const over = (folder: string) => poll(120, () => (running(folder) === null ? true : null), 0.02);

async function failure(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof LabError) return error.message;
    throw error;
  }
  throw new Error("it did not fail");
}

suite("a qemu as a process", (test) => {
  test("runs on its own, is noted in the ledger, and is switched off", async () => {
    await withFolder(async (folder, ledger) => {
      assert.equal(ending(folder), { kind: "never" });
      await launch(["sleep", "60"], folder, ledger);
      const process = running(folder);
      assert.ok(process !== null && alive(process));
      assert.equal(ending(folder), { kind: "running" });
      const noted = ledger.made.map((made) => (made.kind === "process" ? made.process.pid : null));
      assert.is(noted.length, 2);
      assert.ok(noted.includes(process.pid));
      await stop(folder);
      assert.equal(ending(folder), { kind: "off" });
      await stop(folder);
    });
  });

  test("that ended by itself is off", async () => {
    await withFolder(async (folder, ledger) => {
      await launch(["sh", "-c", "sleep 0.2"], folder, ledger);
      await over(folder);
      assert.equal(ending(folder), { kind: "off" });
    });
  });

  test("that is killed died, whoever looks", async () => {
    await withFolder(async (folder, ledger) => {
      await launch(["sleep", "60"], folder, ledger);
      const found = running(folder);
      assert.ok(found !== null);
      process.kill(found.pid, "SIGKILL");
      await over(folder);
      assert.equal(ending(folder), { kind: "died", reason: "qemu was ended by SIGKILL" });
      // And may be started again.
      await launch(["sleep", "60"], folder, ledger);
      assert.equal(ending(folder), { kind: "running" });
    });
  });

  test("that fails says what it printed", async () => {
    await withFolder(async (folder, ledger) => {
      await launch(["sh", "-c", "sleep 0.2; echo no such disk >&2; exit 1"], folder, ledger);
      await over(folder);
      assert.equal(ending(folder), { kind: "died", reason: "qemu ended with status 1: no such disk" });
    });
  });

  test("whose shell was killed too is gone without a word", async () => {
    await withFolder(async (folder, ledger) => {
      await launch(["sleep", "60"], folder, ledger);
      for (const made of ledger.made) if (made.kind === "process") process.kill(made.process.pid, "SIGKILL");
      await over(folder);
      assert.equal(ending(folder), { kind: "died", reason: "qemu is gone without a word" });
    });
  });
});

suite("a qemu whose command is killed while it starts it", (test) => {
  test("ends with its shell, which the ledger knows from the beginning", async () => {
    await withFolder(async (folder, ledger) => {
      await launch(["sleep", "600"], folder, ledger);
      const qemu = running(folder)!;
      // As it is until the shell has told the number.
      ledger.strike({ kind: "process", process: qemu });
      rmSync(join(folder, "process.json"));
      await undoLedger(ledger.folder);
      assert.ok(
        await poll(120, () => (alive(qemu) ? null : true)),
        "nothing runs that the ledger does not know",
      );
    });
  });

  test("does not begin in a lab that is being taken down, or is gone", async () => {
    await withFolder(async (folder, ledger) => {
      const mark = join(folder, "..", "begun");
      await undoLedger(ledger.folder);
      assert.match(await failure(() => launch(["touch", mark], folder, ledger)), "is being taken down");
      await destroyFolder(ledger.folder);
      assert.match(await failure(() => launch(["touch", mark], folder, ledger)), "was taken down meanwhile");
      assert.not.ok(existsSync(mark));
    });
  });

  test("does not begin when nobody tells it to", async () => {
    await withFolder(async (folder) => {
      mkdirSync(folder, { recursive: true });
      const mark = join(folder, "begun");
      // The command is gone before it has noted the shell: all that the shell gets is the end of its input.
      const done = await run(["sh", "-c", shell, "sh", "touch", mark], { cwd: folder });
      assert.is(done.stdout + done.stderr, "");
      assert.not.ok(existsSync(mark) || existsSync(join(folder, "pid")));
    });
  });
});

suite("a program that ends with this process", (test) => {
  test("is gone after a kill", async () => {
    if (process.platform !== "linux") return;
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-tether-"));
    try {
      const mark = join(folder, "pid");
      const argv = tethered(["sh", "-c", `echo $$ >${mark}.new; mv ${mark}.new ${mark}; exec sleep 600`]);
      const script = `
        const argv = ${JSON.stringify(argv)};
        argv[argv.indexOf("${process.pid}")] = process.argv[1] ?? String(process.pid);
        require("node:child_process").spawn(argv[0], argv.slice(1)).on("exit", () => process.exit(3));`;
      // Whose parent was gone before: it does not begin.
      const late = await run([process.execPath, "-e", script, "1"]);
      assert.equal([late.status, existsSync(mark)], [3, false]);
      const parent = spawn(process.execPath, ["-e", script], { stdio: "ignore" });
      assert.ok(await poll(120, () => (existsSync(mark) ? true : null)));
      const child = processName(Number(readFileSync(mark, "utf8")))!;
      assert.ok(alive(child));
      parent.kill("SIGKILL");
      assert.ok(await poll(120, () => (alive(child) ? null : true)));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/** A server that talks like qemu's machine protocol, as far as it is told to. */
async function withServer(
  answer: (command: { execute: string; id: number; arguments?: object }) => object | null,
  test: (socket: string) => Promise<void>,
  greeting: object | null = { QMP: { version: {}, capabilities: [] } },
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-qmp-"));
  const socket = join(folder, "q");
  const server: Server = createServer((connection) => {
    if (greeting !== null) connection.write(`${JSON.stringify(greeting)}\r\n`);
    connection.setEncoding("utf8").on("data", (text: string) => {
      for (const line of text.split("\n").filter(Boolean)) {
        const reply = answer(JSON.parse(line));
        if (reply === null) connection.destroy();
        // In two pieces, after an event.
        else {
          const whole = `{"event":"RESUME"}\r\n${JSON.stringify(reply)}\r\n`;
          connection.write(whole.slice(0, 25));
          setTimeout(() => connection.write(whole.slice(25)), 5);
        }
      }
    });
    connection.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    await test(socket);
  } finally {
    server.close();
    if (existsSync(socket)) unlinkSync(socket);
    rmSync(folder, { recursive: true, force: true });
  }
}

suite("talking to a qemu", (test) => {
  test("gives what commands return, and what they print", async () => {
    await withServer(
      ({ execute, id }) => ({
        return: execute === "human-monitor-command" ? "fine\r\n" : { of: execute },
        id,
      }),
      async (socket) => {
        await controlling(socket, async (qemu) => {
          assert.equal(await qemu.run("query-status"), { of: "query-status" });
          assert.is(await qemu.monitor("info network"), "fine");
        });
      },
    );
  });

  test("says what qemu says against a command", async () => {
    await withServer(
      ({ execute, id }) =>
        execute === "qmp_capabilities"
          ? { return: {}, id }
          : { error: { class: "x", desc: "no such device" }, id },
      async (socket) => {
        assert.is(await failure(() => controlling(socket, (qemu) => qemu.run("x"))), "qemu: no such device");
      },
    );
  });

  test("ends when qemu does, is silent, or is not there", async () => {
    await withServer(
      ({ execute, id }) => (execute === "qmp_capabilities" ? { return: {}, id } : null),
      async (socket) => {
        assert.is(
          await failure(() => controlling(socket, (qemu) => qemu.run("quit"))),
          "qemu ended the connection",
        );
      },
    );
    await withServer(
      () => ({}),
      async (socket) => {
        assert.match(
          await failure(() => controlling(socket, async () => {}, 0.1)),
          "does not answer within 0.1 s",
        );
      },
      null,
    );
    assert.match(await failure(() => controlling("/nonexistent/q", async () => {})), "ENOENT");
  });
});

suite("the probe of an accelerator", (test) => {
  const printing = (text: string, then = "exec sleep 300") => [
    "sh",
    "-c",
    `printf '%s\\n' "$0"; ${then}`,
    text,
  ];

  test("believes a guest's first program, and nothing less", async () => {
    assert.is(
      await tryGuest(printing("[    9.0] Run /init as init process\nLoading, please wait..."), 120),
      null,
    );
    // On a busy machine a program may need more time to print at all.
    let said = "";
    for (let seconds = 0.3; seconds < 120 && !said.includes("first program"); seconds *= 2)
      said = (await tryGuest(printing("[    0.0] Linux version 6.1"), seconds)) ?? "";
    assert.match(said, "did not come to its first program");
    assert.match((await tryGuest(["sleep", "5"], 0.3)) ?? "", "printed nothing in 0.3 s");
  });

  test("says how qemu ended", async () => {
    assert.is(await tryGuest(["sh", "-c", "echo kvm: no >&2; exit 1"], 120), "kvm: no");
    assert.is(await tryGuest(["sh", "-c", "exit 3"], 120), "qemu ended with status 3");
    assert.match((await tryGuest(["/nonexistent/qemu"], 120)) ?? "", "ENOENT");
  });
});

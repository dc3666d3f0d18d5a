/** `serve`, `reinstall` and `watch` as processes, on loopback. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { built, type Program } from "../support/program.ts";
import { suite } from "../support/suite.ts";
import { ask } from "./boot-server.ts";

const siteText = `site: x
target: debian-12
networks: { management: { cidr: 127.0.0.0/24 } }
netboot:
  server: 127.0.0.250
  loaders: { uefi: ipxe }
  installers: { debian-12: { kernel: { file: vmlinuz }, initrd: { file: initrd } } }
access: { users: [{ name: ops, password: true }] }
nodes:
  one: { profile: base, interfaces: { management: { mac: "52:54:00:00:00:01", address: 127.0.0.1 } } }
`;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

suite("serve, reinstall and watch", (test) => {
  let folder = "";
  let program: Program;
  const children: ChildProcess[] = [];
  const start = (args: readonly string[]): ChildProcess => {
    const child = spawn(process.execPath, [program.path, ...args], { cwd: folder });
    children.push(child);
    return child;
  };
  const end = (child: ChildProcess): Promise<Ended> =>
    new Promise((done) => {
      let out = "";
      let err = "";
      child.stdout?.on("data", (text: Buffer) => {
        out += text.toString();
      });
      child.stderr?.on("data", (text: Buffer) => {
        err += text.toString();
      });
      child.on("close", (code) => done({ code, out, err }));
    });
  /** Starts a server and gives the port that it says. */
  const serve = (): Promise<{ child: ChildProcess; port: number; ended: Promise<Ended> }> =>
    new Promise((done, failed) => {
      const child = start(["serve", "--listen", "127.0.0.1:0"]);
      const ended = end(child);
      let out = "";
      child.stdout?.on("data", (text: Buffer) => {
        out += text.toString();
        const port = /serving x at http:\/\/127\.0\.0\.1:(\d+)\//.exec(out)?.[1];
        // What follows is said after the server can be told what to do.
        if (port !== undefined && /installed when they boot|no node is to be/.test(out))
          done({ child, port: Number(port), ended });
      });
      void ended.then(({ err, out: all }) => failed(new Error(`it ended: ${all}${err}`)));
    });
  test.before(async () => {
    program = built();
    folder = mkdtempSync(join(tmpdir(), "seedsmith-serve-"));
    writeFileSync(join(folder, "site.yaml"), siteText);
    for (const file of ["vmlinuz", "initrd"]) writeFileSync(join(folder, file), "");
  });
  test.after(() => {
    for (const child of children) child.kill("SIGKILL");
    program.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  test("from a site to a server that remembers over a kill, until reinstall", async () => {
    const early = await end(start(["serve", "--listen", "127.0.0.1:0"]));
    assert.is(early.code, 3);
    assert.match(early.err, "has no seeds of one");
    assert.is((await end(start(["render"]))).code, 0);
    const lacking = await end(start(["serve", "--dhcp", "--listen", "127.0.0.1:0"]));
    assert.is(lacking.code, 3);
    assert.match(
      lacking.err,
      "error: missing in build/x/pxe: loaders/undionly.kpxe, loaders/snponly.efi, assets/debian-12/vmlinuz, assets/debian-12/initrd\n  hint: seedsmith pxe assets brings it\n",
    );
    const first = await serve();
    const entry = async (port: number): Promise<boolean> =>
      (await ask(port, "/ipxe/52-54-00-00-00-01")).body.includes("/seed/one/");
    assert.ok(await entry(first.port));
    assert.match((await ask(first.port, "/seed/one/user-data")).body, /^#cloud-config\n/);
    assert.is((await ask(first.port, "/status")).status, 200);
    const second = await end(start(["serve", "--listen", "127.0.0.1:0"]));
    assert.equal([second.code, second.err.includes("is in use by process")], [3, true], second.err);
    const told = await ask(first.port, "/report/one", { method: "POST", body: '{"event":"installed"}' });
    assert.is(told.status, 200);
    assert.not.ok(await entry(first.port));
    first.child.kill("SIGKILL");
    await first.ended;

    const again = await serve();
    assert.not.ok(await entry(again.port));
    const wrong = await ask(again.port, "/control/reinstall/one", { method: "POST" });
    assert.is(wrong.status, 403);
    const asked = await end(start(["reinstall", "one"]));
    assert.equal([asked.code, asked.err], [0, ""]);
    assert.match(asked.out, "one: the next time it boots from the network it is installed again");
    assert.ok(await entry(again.port));
    await ask(again.port, "/report/one", {
      method: "POST",
      body: '{"log":"a","events":[{"time":"2026-01-01T00:00:00Z","event":"ready","at":0}]}',
    });
    const watched = await end(start(["watch", "--url", `http://127.0.0.1:${again.port}`]));
    assert.equal([watched.code, /one READY after/.test(watched.err)], [0, true], watched.err + watched.out);
    again.child.kill("SIGTERM");
    assert.is((await again.ended).code, 0);

    const without = await end(start(["reinstall", "one"]));
    assert.equal([without.code, without.out.includes("no server runs now")], [0, true], without.err);
    const last = await serve();
    assert.ok(await entry(last.port));
    last.child.kill("SIGTERM");
    await last.ended;
    const nobody = await end(start(["watch", "--url", `http://127.0.0.1:${last.port}`]));
    assert.is(nobody.code, 3);
    assert.match(nobody.err, "cannot be watched: nobody listens there");
  });
});

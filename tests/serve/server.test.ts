import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { tokenOf } from "../../src/serve/admission.ts";
import { attemptLimit } from "../../src/serve/node-state.ts";
import { keyOf } from "../../src/serve/states.ts";
import { suite } from "../support/suite.ts";
import { big, bigSize, con01, macs, testServer, withServer } from "./boot-server.ts";

const installed = { origin: "installer", event: "installed" };

suite("boot server: files", (test) => {
  test(
    "gives all four files of a seed, also those that it lacks",
    withServer({}, async ({ get }) => {
      for (const [file, text] of [
        ["user-data", "#cloud-config\nhostname: con01\n"],
        ["meta-data", "instance-id: x-con01-1\n"],
        ["vendor-data", "#cloud-config\n{}\n"],
        ["network-config", "version: 2\n"],
        ["autoinstall/user-data", "#cloud-config\nautoinstall: {version: 1}\n"],
        ["autoinstall/meta-data", "instance-id: x-con01-1-install\n"],
        ["autoinstall/vendor-data", "#cloud-config\n{}\n"],
        ["autoinstall/network-config", ""],
      ] as const) {
        const { status, body, headers } = await get(`/seed/con01/${file}`);
        assert.equal([status, body], [200, text], file);
        assert.is(headers["content-length"], String(text.length));
        const head = await get(`/seed/con01/${file}`, {}, "HEAD");
        assert.equal(
          [head.status, head.body, head.headers["content-length"]],
          [200, "", String(text.length)],
        );
      }
    }),
  );

  test(
    "gives of a seed's folder what a machine reads, and nothing else",
    withServer({}, async ({ get }) => {
      for (const path of [
        "plan.json",
        "",
        "autoinstall",
        "autoinstall/",
        "autoinstall/plan.json",
        "user-data/x",
      ])
        assert.is((await get(`/seed/con01/${path}`)).status, 404, path);
      assert.is((await get("/seed/nobody/user-data")).status, 404);
    }),
  );

  for (const path of ["/assets/debian-12/vmlinuz", "/seed/con01/seed.iso", "/loaders/boot.ipxe"]) {
    test(
      `ranges and conditions: ${path}`,
      withServer({}, async ({ get }) => {
        const whole = await get(path);
        const size = Number(whole.headers["content-length"]);
        assert.is(whole.body.length, size);
        assert.is(whole.headers["accept-ranges"], "bytes");
        const etag = whole.headers.etag ?? "";
        assert.match(etag, /^W?\/?"/);
        const head = await get(path, {}, "HEAD");
        assert.equal([head.status, head.headers["content-length"]], [200, String(size)]);
        const part = await get(path, { Range: "bytes=2-4" });
        assert.equal([part.status, part.body], [206, whole.body.slice(2, 5)]);
        assert.is(part.headers["content-range"], `bytes 2-4/${size}`);
        assert.is((await get(path, { Range: "bytes=-3" })).body, whole.body.slice(-3));
        assert.is((await get(path, { Range: `bytes=${size - 2}-` })).body, whole.body.slice(-2));
        const outside = await get(path, { Range: `bytes=${size}-` });
        assert.equal([outside.status, outside.headers["content-range"]], [416, `bytes */${size}`]);
        const same = await get(path, { "If-None-Match": etag });
        assert.equal([same.status, same.body], [304, ""]);
      }),
    );
  }

  test(
    "gives a file that was written anew, not the one in memory",
    withServer({}, async ({ get, folder }) => {
      const path = join(folder, "seeds", "con01", "user-data");
      assert.match((await get("/seed/con01/user-data")).body, "con01");
      writeFileSync(path, "#cloud-config\nhostname: other\n");
      assert.match((await get("/seed/con01/user-data")).body, "other");
    }),
  );

  test(
    "a large file arrives whole",
    withServer({}, async ({ get }) => {
      const { body } = await get("/assets/debian-12/vmlinuz");
      assert.is(body.length, bigSize);
      assert.ok(Buffer.from(body, "latin1").equals(big));
    }),
  );
});

suite("boot server: who gets a seed", (test) => {
  test(
    "the node's fixed address, and no other node's seed",
    withServer({}, async ({ get, notes }) => {
      assert.is((await get("/seed/con01/user-data")).status, 200);
      const other = await get("/seed/com01/user-data");
      assert.is(other.status, 403);
      assert.match(other.body, "127.0.0.1 is not known to be com01");
      assert.not.match(other.body, "cloud-config");
      assert.is(notes.length, 1);
    }),
  );

  test(
    "the card behind the address, as the kernel has seen it",
    withServer({}, async ({ get, neighbours }) => {
      neighbours.learnt[con01] = macs.com01 ?? "";
      assert.is((await get("/seed/com01/user-data")).status, 200);
      // The address is con01's; whoever has it is not.
      assert.is((await get("/seed/con01/user-data")).status, 403);
    }),
  );

  test(
    "the card that the DHCP server gave the address to",
    withServer({ address: "10.0.0.1" }, async ({ get, neighbours }) => {
      neighbours.leased[con01] = macs.com01 ?? "";
      assert.is((await get("/seed/com01/user-data")).status, 200);
      assert.is((await get("/seed/con01/user-data")).status, 403);
    }),
  );

  test(
    "whoever has the node's token",
    withServer({ tokens: true }, async ({ get, folder }) => {
      const key = keyOf(join(folder, "state"));
      const token = tokenOf(key, "com01");
      assert.is((await get(`/seed/com01/${token}/user-data`)).status, 200);
      assert.is((await get(`/seed/com01/${tokenOf(key, "con01")}/user-data`)).status, 403);
      assert.is((await get(`/ipxe/${macs.com01}`)).body, `ipxe install com01 ${token}\n`);
    }),
  );

  test(
    "again and again until READY, and not after that",
    withServer({}, async ({ get, post }) => {
      for (let time = 0; time < 3; time++) assert.is((await get("/seed/con01/user-data")).status, 200);
      assert.is((await post("con01", installed)).status, 200);
      // Its first boot still reads it, as no installer has put it onto the disk.
      assert.is((await get("/seed/con01/user-data")).status, 200);
      assert.is((await post("con01", { time: "2026-01-01T00:00:00Z", event: "ready" })).status, 200);
      const { status, body } = await get("/seed/con01/user-data");
      assert.is(status, 403);
      assert.match(body, "the node is READY; seedsmith reinstall con01 opens it again");
    }),
  );

  test(
    "until installed, where the installer puts the first boot onto the disk",
    withServer({ installs: true }, async ({ get, post }) => {
      assert.is((await get("/seed/con01/autoinstall/user-data")).status, 200);
      await post("con01", installed);
      assert.is((await get("/seed/con01/autoinstall/user-data")).status, 403);
    }),
  );

  test(
    "until its time is over, and again after a reinstall is asked for",
    withServer({ seedSeconds: 60 }, async ({ get, clock, states }) => {
      clock.now += 60_000;
      assert.is((await get("/seed/con01/meta-data")).status, 200);
      clock.now += 1;
      assert.match((await get("/seed/con01/meta-data")).body, "its time is over");
      await states.happened({ time: clock.now, node: "con01", kind: "reinstall" });
      assert.is((await get("/seed/con01/meta-data")).status, 200);
    }),
  );
});

suite("boot server: what a machine boots", (test) => {
  test(
    "by its card, however that is written",
    withServer({}, async ({ get }) => {
      for (const path of [
        `/ipxe/${macs.con01}`,
        "/ipxe/52-54-00-00-00-01",
        "/ipxe/52%3A54%3A00%3a00:00:01",
        "/ipxe/?mac=52:54:00:00:00:01",
      ])
        assert.is((await get(path)).body, "ipxe install con01\n", path);
      assert.is((await get("/grub/52:54:00:00:00:01")).body, "grub install con01\n");
      assert.is((await get("/pxelinux/pxelinux.cfg/01-52-54-00-00-00-01")).body, "pxelinux install con01\n");
      assert.is((await get("/grub/grub.cfg")).body, "# grub\n");
      assert.is((await get("/pxelinux/boot.ipxe")).body, "#!ipxe\n");
    }),
  );

  test(
    "a machine that is no node is told so",
    withServer({}, async ({ get }) => {
      assert.equal((await get("/ipxe/52:54:00:00:00:99")).body, "ipxe refused\n");
      assert.equal((await get("/grub/52:54:00:00:00:99")).status, 200);
      assert.equal((await get("/pxelinux/pxelinux.cfg/default")).body, "pxelinux refused\n");
      assert.equal((await get("/pxelinux/pxelinux.cfg/C0A80001")).status, 404);
    }),
  );

  test("from its disk once it is installed, also after a restart, until a reinstall", async () => {
    let server = await testServer();
    try {
      const entry = async (): Promise<string> => (await server.get(`/ipxe/${macs.con01}`)).body;
      assert.is(await entry(), "ipxe install con01\n");
      assert.is((await server.post("con01", installed)).body, '{"ok":true}\n');
      assert.is(await entry(), "ipxe local con01\n");
      server = await server.again();
      assert.is(await entry(), "ipxe local con01\n");
      assert.is((await server.get(`/ipxe/${macs.com01}`)).body, "ipxe install com01\n");
      await server.states.happened({ time: server.clock.now, node: "con01", kind: "reinstall" });
      assert.is(await entry(), "ipxe install con01\n");
    } finally {
      await server.close();
    }
  });

  test(
    "from its disk once its runner speaks, though the installer's last word was lost",
    withServer({}, async ({ get, post }) => {
      await post("con01", {
        log: "a",
        events: [{ time: "2026-01-01T00:00:00Z", event: "run-start", at: 0 }],
      });
      assert.is((await get(`/ipxe/${macs.con01}`)).body, "ipxe local con01\n");
    }),
  );

  test(
    "from its disk after installations that never report their end",
    withServer({}, async ({ get, states }) => {
      for (let attempt = 0; attempt < attemptLimit; attempt++) {
        assert.is((await get(`/ipxe/${macs.con01}`)).body, "ipxe install con01\n");
        assert.is((await get("/seed/con01/user-data")).status, 200);
        assert.is((await get("/seed/con01/user-data")).status, 200);
        await states.happened({
          time: 0,
          node: "con01",
          kind: "entry",
          boot: "install",
          loader: "ipxe",
          address: con01,
        });
      }
      assert.is((await get(`/ipxe/${macs.con01}`)).body, "ipxe local con01\n");
      const state = states.get("con01");
      assert.is(state.stage, "failed");
      assert.match(state.failure ?? "", "none reported its end");
    }),
  );
});

suite("boot server: reports", (test) => {
  test(
    "of the installer, cloud-init and the runner",
    withServer({}, async ({ post, states }) => {
      const stage = (): string => states.get("con01").stage;
      const say = async (body: unknown): Promise<void> => {
        assert.equal((await post("con01", body)).status, 200);
      };
      assert.is(stage(), "waiting");
      await say({ origin: "installer", event: "started" });
      assert.is(stage(), "installing");
      await say({
        name: "subiquity/Install/install",
        description: "installing system",
        event_type: "start",
        origin: "curtin",
        timestamp: 1,
        level: "INFO",
      });
      assert.is(states.get("con01").doing, "installing system");
      await say({
        name: "x",
        description: "copying",
        event_type: "finish",
        result: "FAIL",
        origin: "curtin",
      });
      assert.equal([stage(), states.get("con01").failure], ["failed", "FAIL: copying"]);
      await say(installed);
      assert.is(stage(), "installed");
      await say({ name: "init-local", description: "looking", event_type: "start", origin: "cloudinit" });
      assert.is(stage(), "booting");
      const event = (more: object): object => ({
        time: "2026-01-01T00:00:00.000Z",
        node: "con01",
        generation: 1,
        ...more,
      });
      await say({ log: "a", events: [event({ event: "run-start", at: 0 })] });
      const step = { step: "files", name: "files", from: "site.yaml:3", n: 2, m: 9 };
      await say({
        log: "a",
        events: [
          event({ event: "step-start", at: 9, ...step }),
          event({ event: "step-fail", at: 20, ...step, message: "no", tail: "one\ntwo" }),
        ],
      });
      await say({
        log: "a",
        events: [event({ event: "failed", at: 30, ...step, message: "no", tail: "one\ntwo" })],
      });
      assert.is(stage(), "failed");
      assert.equal(states.get("con01").progress.failure, {
        step: "files",
        name: "files",
        from: "site.yaml:3",
        message: "no",
        tail: ["one", "two"],
      });
    }),
  );

  test(
    "that come twice count once",
    withServer({}, async ({ post, states }) => {
      const body = {
        log: "a",
        events: [
          { time: "2026-01-01T00:00:00Z", event: "run-start", at: 0 },
          { time: "2026-01-01T00:00:01Z", event: "step-start", step: "a", name: "a", n: 1, m: 2, at: 5 },
          { time: "2026-01-01T00:00:02Z", event: "step-ok", step: "a", name: "a", n: 1, m: 2, at: 9 },
        ],
      };
      await post("con01", body);
      await post("con01", body);
      assert.is(states.get("con01").progress.done, 1);
      assert.is(states.get("con01").timeline.length, 2);
    }),
  );

  test(
    "of nobody but the node",
    withServer({}, async ({ post, states, folder }) => {
      assert.is((await post("com01", installed)).status, 403);
      assert.is(states.get("com01").boot, "install");
      assert.is((await post("nobody", installed)).status, 404);
      assert.is((await post("com01", installed, tokenOf(keyOf(join(folder, "state")), "com01"))).status, 200);
      assert.is(states.get("com01").boot, "local");
    }),
  );

  test(
    "that are no reports",
    withServer({}, async ({ post, states }) => {
      for (const body of [
        "",
        "x",
        "null",
        "[]",
        "3",
        '"installed"',
        "{}",
        '{"event":7}',
        '{"event":"ready"}',
        '{"events":[{}]}',
      ])
        assert.is((await post("con01", body)).status, 400, body);
      assert.is(states.get("con01").stage, "waiting");
    }),
  );

  test("what was acknowledged is on the disk before the answer", async () => {
    const server = await testServer();
    try {
      await server.post("con01", installed);
      // Not closed, as by a kill: what stands in the file now is all that a next server would find.
      const text = readFileSync(join(server.folder, "state", "journal.jsonl"), "utf8");
      assert.match(text, '"type":"installed"');
      assert.ok(text.endsWith("\n"));
    } finally {
      await server.close();
    }
  });
});

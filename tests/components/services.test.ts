/**
 * Scripts of the services that are optional to the smallest cloud, against small servers on loopback. Real services are the
 * boot tests'.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";
import {
  type Asked,
  absent,
  account,
  json,
  type Outcome,
  run as runScript,
  answering as serving,
  token,
} from "./scripts.ts";

/** Runs a script of a component with nothing inherited but the PATH. */
const run = (
  script: string,
  args: readonly string[],
  env: { readonly [name: string]: string } = {},
): Promise<Outcome> => runScript(script, { args, env });

suite("scripts: horizon", (test) => {
  if (absent) return;
  const form = `<html><head><title>Login</title></head><body><form action="/horizon/auth/login/" method="POST">
    <input type="hidden" name="csrfmiddlewaretoken" value="form-token"><input type="hidden" name="region" value="default">
    <input name="domain" type="text"><input name="username"><input type="password" name="password"></form></body></html>`;

  /** A dashboard with one person, `alice` of `Default` with the password `right`. */
  const dashboard =
    (shown: string, lenient = false) =>
    ({ method, path, body, request }: Asked, response: ServerResponse): void => {
      const page = (text: string, headers = {}): void => {
        response.writeHead(200, { "Content-Type": "text/html", Connection: "close", ...headers });
        response.end(text);
      };
      const cookies = request.headers.cookie ?? "";
      if (path === "/horizon/auth/login/" && method === "GET") {
        page(form, { "Set-Cookie": "csrftoken=c1; Path=/" });
        return;
      }
      if (path === "/horizon/auth/login/") {
        const sent = new URLSearchParams(body);
        const forged = sent.get("csrfmiddlewaretoken") !== "form-token" || !cookies.includes("csrftoken=c1");
        if (forged) {
          response.writeHead(403, { Connection: "close" });
          response.end();
          return;
        }
        const good = sent.get("password") === "right" && sent.get("domain") === "Default";
        if (!good && !lenient) {
          page(`${form}<p>Invalid credentials.</p>`);
          return;
        }
        response.writeHead(302, {
          Location: "/horizon/",
          "Set-Cookie": "sessionid=s1; Path=/",
          Connection: "close",
        });
        response.end();
        return;
      }
      const inside = `<html><head><title>Overview</title></head><body><p>${shown}</p></body></html>`;
      page(cookies.includes("sessionid=s1") ? inside : form);
    };
  const env = { OS_USERNAME: "alice", OS_PASSWORD: "right", OS_USER_DOMAIN_NAME: "Default" };

  test("somebody who is let in sees name and project", async () => {
    await serving(dashboard("alice in service"), async (url) => {
      const done = await run("horizon/log-in.py", [`${url}/horizon/`, "service"], env);
      assert.is(done.code, 0, done.error);
      assert.match(done.out, /alice is logged in and sees service: Overview/);
    });
  });

  test("a wrong password, a page of somebody else, a dashboard that lets everybody in, none", async () => {
    await serving(dashboard("alice in service"), async (url) => {
      const done = await run("horizon/log-in.py", [`${url}/horizon/`, "service"], {
        ...env,
        OS_PASSWORD: "wrong",
      });
      assert.is(done.code, 1);
      assert.match(done.error, /refuses alice: .*Invalid credentials/);
    });
    await serving(dashboard("bob in elsewhere"), async (url) => {
      assert.match(
        (await run("horizon/log-in.py", [`${url}/horizon/`, "service"], env)).error,
        /shows no alice/,
      );
    });
    await serving(dashboard("alice in service", true), async (url) => {
      assert.match(
        (await run("horizon/log-in.py", [`${url}/horizon/`, "service"], env)).error,
        /lets alice in with a wrong/,
      );
    });
    await serving(
      (_, response) => json(response, 404, {}),
      async (url) => {
        assert.match(
          (await run("horizon/log-in.py", [`${url}/horizon/`, "service"], env)).error,
          /HTTP Error 404/,
        );
      },
    );
  });

  test("the session must be in the cache", async () => {
    let kept = true;
    const cache = createTcpServer((socket: Socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => {
        const right = data.toString() === "get :1:django.contrib.sessions.caches1\r\n";
        socket.end(kept && right ? "VALUE x 0 1\r\na\r\nEND\r\n" : "END\r\n");
      });
    });
    cache.listen(0, "127.0.0.1");
    await once(cache, "listening");
    const port = (cache.address() as AddressInfo).port;
    try {
      await serving(dashboard("alice in service"), async (url) => {
        const args = [`${url}/horizon/`, "service", `127.0.0.1:${port}`];
        assert.is((await run("horizon/log-in.py", args, env)).code, 0);
        kept = false;
        assert.match((await run("horizon/log-in.py", args, env)).error, /the session is in none of/);
      });
    } finally {
      cache.close();
    }
  });

  test("settings that are read last: added once, and moved to the end when the package adds below them", async () => {
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-settings-"));
    try {
      const file = join(folder, "local_settings.py");
      writeFileSync(file, "DEBUG = False");
      const call = (...more: string[]): Promise<Outcome> =>
        run("horizon/read-last.py", [file, "/etc/own.py", ...more]);
      assert.is((await call("check")).code, 1);
      assert.is((await call()).code, 0);
      const once_ = readFileSync(file, "utf8");
      assert.is((await call()).code, 0);
      assert.is(readFileSync(file, "utf8"), once_);
      writeFileSync(file, `${once_}DEBUG = True\n`);
      assert.is((await call("check")).code, 1);
      assert.is((await call()).code, 0);
      const text = readFileSync(file, "utf8");
      assert.is(text.match(/exec\(open/g)?.length, 1);
      assert.ok(text.startsWith("DEBUG = False\n") && text.includes("DEBUG = True\n"));
      assert.is((await call("check")).code, 0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

suite("scripts: cinder", (test) => {
  if (absent) return;

  test("services: up, down, unknown; a wrong password", async () => {
    const services = [
      { binary: "cinder-scheduler", host: "con01", state: "up", status: "enabled" },
      { binary: "cinder-volume", host: "blk01@lvm", state: "down", status: "enabled" },
    ];
    await serving(
      (asked, response) => {
        if (token(asked, response)) return;
        json(response, asked.path === "/v3/p1/os-services" ? 200 : 404, { services });
      },
      async (url) => {
        const ask = (...wanted: string[]): Promise<Outcome> =>
          run("cinder-common/services-up.py", [`${url}/v3`, ...wanted], account(url));
        assert.is((await ask("cinder-scheduler@con01")).code, 0);
        const bad = await ask("cinder-scheduler@con01", "cinder-volume@blk01@lvm", "cinder-volume@blk02@lvm");
        assert.is(bad.code, 1);
        assert.match(
          bad.error,
          /cinder-volume on blk01@lvm is down and enabled; cinder-volume on blk02@lvm has never reported/,
        );
        const wrong = await run("cinder-common/services-up.py", [`${url}/v3`, "cinder-scheduler@con01"], {
          ...account(url),
          OS_PASSWORD: "wrong",
        });
        assert.match(wrong.error, /401/);
      },
    );
  });

  /** An iSCSI target with one disk, and one account. */
  const target =
    (bytes: number, password: string) =>
    (socket: Socket): void => {
      socket.on("error", () => {});
      const challenge = "0x0123456789abcdef";
      let pending = Buffer.alloc(0);
      let notices = 1;
      const reply = (
        opcode: number,
        flags: number,
        data: Buffer,
        more: (head: Buffer) => void = () => {},
      ): void => {
        const head = Buffer.alloc(48);
        head[0] = opcode;
        head[1] = flags;
        head.writeUIntBE(data.length, 5, 3);
        more(head);
        socket.write(Buffer.concat([head, data, Buffer.alloc((4 - (data.length % 4)) % 4)]));
      };
      const keys = (values: Record<string, string>): Buffer =>
        Buffer.from(
          Object.entries(values)
            .map(([key, value]) => `${key}=${value}\0`)
            .join(""),
        );
      socket.on("data", (chunk) => {
        pending = Buffer.concat([pending, chunk]);
        for (;;) {
          if (pending.length < 48) return;
          const size = pending.readUIntBE(5, 3);
          const whole = 48 + size + ((4 - (size % 4)) % 4);
          if (pending.length < whole) return;
          const [head, data] = [pending.subarray(0, 48), pending.subarray(48, 48 + size).toString()];
          pending = pending.subarray(whole);
          if ((head[0] as number) === 0x43) {
            if (data.includes("AuthMethod=")) reply(0x23, 0, keys({ AuthMethod: "CHAP" }));
            else if (data.includes("CHAP_A="))
              reply(0x23, 0, keys({ CHAP_A: "5", CHAP_I: "7", CHAP_C: challenge }));
            else if (data.includes("CHAP_R=")) {
              const right = createHash("md5")
                .update(Buffer.from([7]))
                .update(password)
                .update(Buffer.from(challenge.slice(2), "hex"))
                .digest("hex");
              reply(0x23, 0x81, Buffer.alloc(0), (answer) => {
                answer[36] = data.includes(`CHAP_R=0x${right}`) ? 0 : 2;
                answer[37] = 1;
              });
            } else reply(0x23, 0x87, Buffer.alloc(0));
          } else if (notices > 0) {
            // As tgt does: the room for the data first, in zeros, and then that the command has failed.
            notices -= 1;
            reply(0x25, 0, Buffer.alloc(8), (data) => data.writeUInt32BE(0, 24));
            reply(0x21, 0x80, Buffer.alloc(0), (answer) => {
              answer[3] = 2;
            });
          } else {
            const capacity = Buffer.alloc(8);
            capacity.writeUInt32BE(bytes / 512 - 1, 0);
            capacity.writeUInt32BE(512, 4);
            reply(0x25, 0x81, capacity);
          }
        }
      });
    };

  /** A volume service whose volumes are on that target. @returns how the check ended and what is left of volumes */
  async function check(
    bytes: number,
    password: string,
    first: string,
    { forbidden = false } = {},
  ): Promise<Outcome & { readonly left: number }> {
    const disk = createTcpServer(target(bytes, password));
    disk.listen(0, "127.0.0.1");
    await once(disk, "listening");
    const portal = `127.0.0.1:${(disk.address() as AddressInfo).port}`;
    const volumes = new Map<string, { status: string; name: string }>();
    const attachments = new Map<string, { id: string; volume_id: string }>();
    try {
      const done = await serving(
        (asked, response) => {
          if (token(asked, response)) return;
          const [, kind = "", id = ""] = /^\/v3\/p1\/(\w+)\/?([\w-]*)/.exec(asked.path) ?? [];
          const show = ([key, one]: [string, object]): object => ({
            id: key,
            "os-vol-host-attr:host": "blk01@lvm#LVM",
            ...one,
          });
          if (kind === "volumes" && asked.method === "POST") {
            volumes.set("v1", { status: first, name: "x" });
            json(response, 202, { volume: { id: "v1" } });
          } else if (kind === "volumes" && asked.method === "DELETE") {
            const attached = [...attachments.values()].some((one) => one.volume_id === id);
            const refused = attached || forbidden;
            if (!refused) volumes.delete(id);
            json(response, refused ? 400 : 202, {});
          } else if (kind === "volumes" && id === "detail")
            json(response, 200, { volumes: [...volumes].map(show) });
          else if (kind === "volumes")
            json(response, 200, { volume: show(["v1", volumes.get("v1") as object]) });
          else if (asked.method === "POST") {
            attachments.set("a1", { id: "a1", volume_id: "v1" });
            json(response, 200, {
              attachment: {
                connection_info: {
                  target_portal: portal,
                  target_iqn: "iqn.2010-10.org.openstack:volume-v1",
                  target_lun: 1,
                  auth_username: "u",
                  auth_password: "right",
                },
              },
            });
          } else if (asked.method === "GET") {
            json(response, 200, { attachments: [...attachments.values()] });
          } else {
            attachments.delete(id);
            json(response, 200, {});
          }
        },
        (url) => run("cinder-storage/volume-works.py", [`${url}/v3`, "blk01@lvm"], account(url)),
      );
      return { ...done, left: volumes.size };
    } finally {
      disk.close();
    }
  }

  test("a volume that can be logged in to, and goes", async () => {
    const done = await check(1 << 30, "right", "available");
    assert.is(done.code, 0, done.error);
    assert.match(done.out, /1 GiB on blk01@lvm, by iSCSI from 127\.0\.0\.1/);
    assert.is(done.left, 0);
  });

  test("a volume in error, a refused login, a disk of another size: red, and nothing is left", async () => {
    for (const [bytes, password, status, words] of [
      [1 << 30, "right", "error", /the volume's status is error/],
      [1 << 30, "other", "available", /refuses the login: class 2, detail 1/],
      [1 << 20, "right", "available", /has 1048576 bytes by iSCSI/],
    ] as const) {
      const done = await check(bytes, password, status);
      assert.is(done.code, 1);
      assert.match(done.error, words);
      assert.is(done.left, 0);
    }
  });

  test("a volume that cannot be deleted does not hide what was wrong with it", async () => {
    const done = await check(1 << 20, "right", "available", { forbidden: true });
    assert.is(done.code, 1);
    assert.match(done.error, /and then: DELETE .*400[^\n]*\n.*has 1048576 bytes by iSCSI[^\n]*\n$/s);
    assert.is(done.left, 1);
  });

  test("volume group: there, elsewhere, no disk named, no such disk", async () => {
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-lvm-"));
    const tool = (name: string, text: string): void => {
      writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(folder, name), 0o755);
    };
    try {
      tool("vgs", "printf '  cinder-volumes|/dev/zero\\n'");
      tool("lsblk", "printf 'sda 10G disk\\n'");
      tool("vgcreate", "echo called >&2; exit 7");
      const call = (...args: string[]): Promise<Outcome> =>
        run("cinder-storage/volume-group.py", args, { PATH: `${folder}:${process.env.PATH ?? ""}` });
      assert.is((await call("check", "cinder-volumes", "/dev/zero")).code, 0);
      assert.is((await call("check", "cinder-volumes", "")).code, 0);
      assert.match(
        (await call("make", "cinder-volumes", "/dev/null")).error,
        /lies on \/dev\/zero, not on \/dev\/null/,
      );
      assert.match((await call("check", "other", "")).error, /there is no volume group other/);
      assert.match((await call("make", "other", "")).error, /no disk is named/);
      assert.match(
        (await call("make", "other", "/dev/null")).error,
        /is no disk of this machine, which has:\nsda/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

/**
 * The components' scripts against small servers on loopback that speak just enough of each protocol to accept and to
 * refuse. Real servers are the boot test's.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { listFiles } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";
import { absent, account, answering, components, json, type Outcome, python, run, token } from "./scripts.ts";

/** Runs `use` with a TCP server that gives every connection to `talk`. */
async function serving<T>(talk: (socket: Socket) => void, use: (port: number) => Promise<T>): Promise<T> {
  const server: Server = createServer((socket) => {
    socket.on("error", () => {});
    talk(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    return await use((server.address() as AddressInfo).port);
  } finally {
    server.close();
  }
}

/** A port on which nothing listens. */
async function closedPort(): Promise<number> {
  let closed = 0;
  await serving(
    () => {},
    async (port) => {
      closed = port;
    },
  );
  return closed;
}

/** A folder with commands that scripts find first. */
async function withCommands<T>(
  commands: { readonly [name: string]: string },
  use: (path: string) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-scripts-"));
  try {
    for (const [name, text] of Object.entries(commands)) {
      writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(folder, name), 0o755);
    }
    return await use(`${folder}:${process.env.PATH ?? ""}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

suite("scripts: the components' own", (test) => {
  test("are run where there is Python", () => {
    if (absent) console.log("skipped: the components' scripts need Python");
  });

  test("are Python 3.9 by their grammar", () => {
    if (absent) return;
    const files = listFiles(components).filter((file) => file.endsWith(".py"));
    assert.ok(files.length > 30);
    const read =
      "import ast, sys\nfor f in sys.argv[1:]: ast.parse(open(f).read(), f, feature_version=(3, 9))";
    const { status, stderr } = spawnSync(
      python,
      ["-c", read, ...files.map((file) => join(components, file))],
      {
        encoding: "utf8",
      },
    );
    assert.is(status, 0, stderr);
  });
});

suite("scripts: chrony", (test) => {
  if (absent) return;

  /** Runs `use` with an NTP server that answers with this first byte and stratum, to this or to another query. */
  async function ntp<T>(
    first: number,
    stratum: number,
    mine: boolean,
    use: (port: number) => Promise<T>,
  ): Promise<T> {
    const server = createSocket("udp4");
    server.on("message", (query, { port }) => {
      const reply = Buffer.alloc(48);
      reply[0] = first;
      reply[1] = stratum;
      query.copy(reply, 24, 40, 48);
      if (!mine) reply[24] = (reply[24] ?? 0) ^ 1;
      const now = Date.now() / 1000 + 2_208_988_800;
      for (const at of [32, 40]) {
        reply.writeUInt32BE(Math.floor(now), at);
        reply.writeUInt32BE(Math.floor((now % 1) * 2 ** 32), at + 4);
      }
      server.send(reply, port, "127.0.0.1");
    });
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    try {
      return await use(server.address().port);
    } finally {
      server.close();
    }
  }
  const ask = (port: number): Promise<Outcome> =>
    run("chrony/ntp-query.py", { args: [`127.0.0.1:${port} `] });

  test("a server that has the time", async () => {
    const { code, out } = await ntp(0o44, 10, true, ask);
    assert.is(code, 0);
    assert.match(out, /stratum 10, offset [+-]\d+\.\d+ s/);
  });

  test("a server without the time, an answer to another query, no server", async () => {
    const unsynchronised = await ntp(0o344, 0, true, ask);
    assert.is(unsynchronised.code, 1);
    assert.match(unsynchronised.error, /not synchronised \(leap 3, stratum 0\)/);
    assert.match((await ntp(0o44, 16, true, ask)).error, /stratum 16/);
    assert.match((await ntp(0o44, 10, false, ask)).error, /not an answer to this query/);
    assert.is((await ask(await closedPort())).code, 1);
    assert.is((await run("chrony/ntp-query.py", { args: [" "] })).code, 1);
  });

  const tracking = (offset: string): string =>
    `0A000001,10.0.0.1,11,1795434300.0,${offset},0,0,0,0,0,0,0,0,Normal`;
  const follow = (sources: string, offset: string, args = "10.0.0.2 10.0.0.1 "): Promise<Outcome> =>
    withCommands(
      { chronyc: `case "$3" in sources) printf '${sources}';; tracking) echo ${tracking(offset)};; esac` },
      (PATH) => run("chrony/follows.py", { args: [args], env: { PATH } }),
    );

  test("follows only the selected one, and only when the clock is there", async () => {
    const other = "^,?,192.0.2.1,0,6,0,1,0,0,0\\n";
    assert.is((await follow(`${other}^,*,10.0.0.1,10,6,17,1,0,0,0\\n`, "-0.000002")).code, 0);
    assert.match(
      (await follow("^,?,10.0.0.1,10,6,17,1,0,0,0\\n", "0")).error,
      /none of 10.0.0.2 10.0.0.1 is selected/,
    );
    assert.match((await follow("^,*,192.0.2.1,2,6,17,1,0,0,0\\n", "0")).error, /none of/);
    assert.match((await follow("^,*,10.0.0.1,10,6,17,1,0,0,0\\n", "-0.7")).error, /not there yet/);
    assert.is((await follow("", "0")).code, 1);
  });
});

suite("scripts: mariadb", (test) => {
  if (absent) return;
  const salt = Buffer.from("abcdefgh12345678wxyz");
  const sha = (...data: Buffer[]): Buffer => createHash("sha1").update(Buffer.concat(data)).digest();
  const packet = (sequence: number, payload: Buffer): Buffer => {
    const head = Buffer.alloc(4);
    head.writeUIntLE(payload.length, 0, 3);
    head[3] = sequence;
    return Buffer.concat([head, payload]);
  };
  const refusal = (number: number, words: string): Buffer =>
    Buffer.concat([Buffer.from([0xff, number & 255, number >> 8]), Buffer.from(words)]);
  const greeting = Buffer.concat([
    Buffer.from("\x0a5.5.5-10.11.19-MariaDB\0"),
    Buffer.from([7, 0, 0, 0]),
    salt.subarray(0, 8),
    Buffer.from([0, 0xff, 0xf7, 33, 2, 0, 0xff, 0x81, 21]),
    Buffer.alloc(10),
    salt.subarray(8),
    Buffer.from("\0mysql_native_password\0"),
  ]);

  /** A server with one account, keystone and `p@ss/w:rd`, and one database, keystone. */
  const server =
    (detour: boolean) =>
    (socket: Socket): void => {
      socket.write(packet(0, greeting));
      let asked = false;
      socket.on("data", (data) => {
        const body = data.subarray(4);
        let proof = body;
        if (!asked) {
          asked = true;
          const flags = body.readUInt32LE(0);
          assert.is(flags & 0x8208, 0x8208);
          const [user = "", rest] = [
            body.subarray(32, body.indexOf(0, 32)).toString(),
            body.subarray(body.indexOf(0, 32) + 1),
          ];
          proof = rest.subarray(1, 1 + (rest[0] ?? 0));
          const database = rest
            .subarray(1 + (rest[0] ?? 0))
            .toString()
            .split("\0")[0];
          if (database !== "keystone") {
            socket.end(packet(2, refusal(1049, `#42000Unknown database '${database}'`)));
            return;
          }
          if (user !== "keystone") {
            socket.end(packet(2, refusal(1045, `#28000Access denied for user '${user}'`)));
            return;
          }
          if (detour) {
            socket.write(
              packet(
                2,
                Buffer.concat([Buffer.from("\xfemysql_native_password\0", "latin1"), salt, Buffer.from([0])]),
              ),
            );
            return;
          }
        }
        const once = sha(Buffer.from("p@ss/w:rd"));
        const mask = sha(salt, sha(once));
        const right =
          proof.length === 20 &&
          proof.every((byte, index) => byte === ((once[index] ?? 0) ^ (mask[index] ?? 0)));
        socket.end(
          packet(
            4,
            right
              ? Buffer.from([0, 0, 0, 2, 0, 0, 0])
              : refusal(1045, "#28000Access denied for user 'keystone'"),
          ),
        );
      });
    };
  const login = (rest: string, detour = false): Promise<Outcome> =>
    serving(server(detour), (port) =>
      run("mariadb/mysql-login.py", { env: { URL: rest.replace("HOST", `127.0.0.1:${port}`) } }),
    );

  test("a user with the right password", async () => {
    for (const detour of [false, true]) {
      const { code, out, error } = await login(
        "mysql+pymysql://keystone:p%40ss%2Fw%3Ard@HOST/keystone",
        detour,
      );
      assert.is(code, 0, error);
      assert.match(out, /keystone logged in/);
    }
  });

  test("a wrong password, an unknown user, an unknown database, no server", async () => {
    for (const detour of [false, true]) {
      assert.match(
        (await login("mysql+pymysql://keystone:wrong@HOST/keystone", detour)).error,
        /error 1045: 28000Access denied|error 1045: Access denied/,
      );
    }
    assert.match(
      (await login("mysql+pymysql://nobody:x@HOST/keystone")).error,
      /Access denied for user 'nobody'/,
    );
    assert.match(
      (await login("mysql+pymysql://keystone:p%40ss%2Fw%3Ard@HOST/glance")).error,
      /Unknown database 'glance'/,
    );
    const URL = `mysql://127.0.0.1:${await closedPort()}`;
    assert.is((await run("mariadb/mysql-login.py", { env: { URL } })).code, 1);
  });

  test("without a user: whether a server answers", async () => {
    assert.is((await login("mysql://HOST")).code, 0);
    const answer = (text: Buffer | string) => (socket: Socket) => void socket.end(text);
    const greet = (talk: (socket: Socket) => void): Promise<Outcome> =>
      serving(talk, (port) => run("mariadb/mysql-login.py", { env: { URL: `mysql://127.0.0.1:${port}` } }));
    assert.is((await greet(answer(packet(0, refusal(1130, "Host '10.0.0.9' is not allowed"))))).code, 0);
    assert.match(
      (await greet(answer(packet(0, refusal(1040, "Too many connections"))))).error,
      /Too many connections/,
    );
    assert.match((await greet(answer("SSH-2.0-OpenSSH_9.2\r\n"))).error, /closed|not a MariaDB/);
    assert.match((await greet(answer(""))).error, /closed/);
  });

  test("cluster-begun: a member answers, or the file is there", async () => {
    const closed = await closedPort();
    const begun = (ends: string, file = "/nowhere"): Promise<Outcome> =>
      run("mariadb/cluster-begun.py", { args: [ends, file] });
    await serving(
      () => {},
      async (port) => {
        assert.is((await begun(`127.0.0.1:${closed} 127.0.0.1:${port} `)).code, 0);
      },
    );
    assert.is((await begun(`127.0.0.1:${closed} `)).code, 1);
    assert.is((await begun(`127.0.0.1:${closed} `, components)).code, 0);
  });
});

suite("scripts: rabbitmq", (test) => {
  if (absent) return;
  const method = (
    channel: number,
    [group, number]: readonly [number, number],
    rest: Buffer = Buffer.alloc(0),
  ): Buffer => {
    const head = Buffer.from([1, 0, channel, 0, 0, 0, 0, 0, group, 0, number]);
    head.writeUInt32BE(4 + rest.length, 3);
    return Buffer.concat([head, rest, Buffer.from([0xce])]);
  };
  const close = (channel: number, code: number, words: string): Buffer =>
    method(
      channel,
      [channel === 0 ? 10 : 20, channel === 0 ? 50 : 40],
      Buffer.concat([
        Buffer.from([code >> 8, code & 255, words.length]),
        Buffer.from(words),
        Buffer.alloc(4),
      ]),
    );

  /** A broker with the user openstack and `s3cret`; `vhost` and `queue` say what that user may. */
  const broker =
    (may: { vhost?: boolean; queue?: boolean } = {}) =>
    (socket: Socket): void => {
      let started = false;
      let pending = Buffer.alloc(0);
      socket.on("data", (data) => {
        pending = Buffer.concat([pending, data]);
        if (!started) {
          if (pending.length < 8) return;
          assert.is(pending.subarray(0, 8).toString("latin1"), "AMQP\0\0\x09\x01");
          pending = pending.subarray(8);
          started = true;
          socket.write(
            method(0, [10, 10], Buffer.from("\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US", "latin1")),
          );
        }
        while (pending.length >= 8 && pending.length >= 8 + pending.readUInt32BE(3)) {
          const size = pending.readUInt32BE(3);
          const frame = pending.subarray(7, 7 + size);
          pending = pending.subarray(8 + size);
          reply(`${frame.readUInt16BE(0)}.${frame.readUInt16BE(2)}`, frame.subarray(4).toString("latin1"));
        }
      });
      const reply = (name: string, text: string): void => {
        const answers: { [name: string]: () => Buffer | null } = {
          "10.11": () =>
            text.includes("\0openstack\0s3cret")
              ? Buffer.concat([
                  Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]),
                  method(0, [10, 30], Buffer.from([7, 255, 0, 2, 0, 0, 0, 60])),
                ])
              : close(0, 403, "ACCESS_REFUSED - Login was refused"),
          "10.31": () => null,
          "10.40": () =>
            may.vhost === false
              ? close(0, 530, "NOT_ALLOWED - vhost / not found")
              : method(0, [10, 41], Buffer.from([0])),
          "20.10": () => method(1, [20, 11], Buffer.alloc(4)),
          "50.10": () =>
            may.queue === false
              ? close(1, 403, "ACCESS_REFUSED - access to queue")
              : method(1, [50, 11], Buffer.concat([Buffer.from("\x07amq.gen"), Buffer.alloc(8)])),
          "50.20": () => {
            assert.ok(text.includes("\x07amq.gen\x0aamq.direct\x07amq.gen"), text);
            return method(1, [50, 21]);
          },
          "10.50": () => method(0, [10, 51]),
        };
        const answer = answers[name]?.();
        assert.ok(answer !== undefined, `method ${name}`);
        if (answer !== null) socket.write(answer);
      };
    };
  const login = (
    url: string,
    args: readonly string[] = [],
    may: { vhost?: boolean; queue?: boolean } = {},
  ): Promise<Outcome> =>
    serving(broker(may), (port) =>
      run("rabbitmq/amqp-login.py", { args, env: { URL: url.replaceAll("HOST", `127.0.0.1:${port}`) } }),
    );
  const mine = "rabbit://openstack:s3cret@HOST/";

  test("a user with the right password", async () => {
    for (const args of [[], ["permissions"]]) {
      const { code, out, error } = await login(mine, args);
      assert.is(code, 0, error);
      assert.match(out, /openstack at 127\.0\.0\.1: ok/);
    }
    assert.is((await login("amqp://HOST")).code, 0);
  });

  test("a wrong password, no virtual host, no permission, no broker", async () => {
    assert.match(
      (await login("rabbit://openstack:wrong@HOST/")).error,
      /403 ACCESS_REFUSED - Login was refused/,
    );
    assert.match((await login(mine, [], { vhost: false })).error, /530 NOT_ALLOWED/);
    assert.match((await login(mine, ["permissions"], { queue: false })).error, /access to queue/);
    assert.is((await login(mine, [], { queue: false })).code, 0);
    const URL = `rabbit://openstack:s3cret@127.0.0.1:${await closedPort()}/`;
    assert.is((await run("rabbitmq/amqp-login.py", { env: { URL } })).code, 1);
    assert.match(
      (
        await serving(
          (socket) => void socket.end("AMQP\0\0\x09\x01"),
          (port) => run("rabbitmq/amqp-login.py", { env: { URL: `amqp://127.0.0.1:${port}` } }),
        )
      ).error,
      /another protocol version|was closed/,
    );
    assert.is(
      (await run("rabbitmq/amqp-login.py", { args: ["nonsense"], env: { URL: "amqp://127.0.0.1" } })).code,
      1,
    );
  });

  test("several hosts of one URL: any; several URLs: all", async () => {
    const away = await closedPort();
    const url = `rabbit://openstack:s3cret@127.0.0.1:${away},openstack:s3cret@HOST/`;
    assert.is((await login(url)).code, 0);
    assert.is((await login(`${mine}\n${url}\n`)).code, 0);
    assert.is((await login(`${mine}\nrabbit://openstack:wrong@HOST/\n`)).code, 1);
    assert.is((await run("rabbitmq/amqp-login.py", { env: { URL: "\n" } })).code, 0);
  });

  test("set-user hands over a hash in a file, and the password to nobody", async () => {
    const shown = 'echo "$1 $2"; ls -l "$3" | cut -c 1-10; cat "$3"';
    await withCommands({ rabbitmqctl: shown }, async (PATH) => {
      const { code, out, error } = await run("rabbitmq/set-user.py", {
        args: ["openstack"],
        env: { PATH },
        stdin: "s3 cret\\\n",
      });
      assert.is(code, 0, error);
      const [call, mode, definitions = ""] = out.split("\n");
      assert.is(call, "--quiet import_definitions");
      assert.is(mode, "-rw-------");
      const { users, permissions } = JSON.parse(definitions) as {
        users: { name: string; password_hash: string; tags: string }[];
        permissions: unknown;
      };
      assert.equal(permissions, [
        { user: "openstack", vhost: "/", configure: ".*", write: ".*", read: ".*" },
      ]);
      assert.is(users.length, 1);
      assert.is(users[0]?.name, "openstack");
      assert.is(users[0]?.tags, "");
      const hash = Buffer.from(users[0]?.password_hash ?? "", "base64");
      const salted = Buffer.concat([hash.subarray(0, 4), Buffer.from("s3 cret\\")]);
      assert.equal(hash.subarray(4), createHash("sha256").update(salted).digest());
    });
    await withCommands({ rabbitmqctl: "exit 70" }, async (PATH) => {
      const call = { args: ["x"], env: { PATH } };
      assert.is((await run("rabbitmq/set-user.py", { ...call, stdin: "s\n" })).code, 70);
      assert.is((await run("rabbitmq/set-user.py", call)).code, 1);
    });
  });

  test("whole names who is missing", async () => {
    await withCommands(
      { rabbitmqctl: `echo '{"running_nodes": ["rabbit@con01", "rabbit@con02"]}'` },
      async (PATH) => {
        assert.is((await run("rabbitmq/whole.py", { args: ["con01 con02 "], env: { PATH } })).code, 0);
        const { code, error } = await run("rabbitmq/whole.py", {
          args: ["con01 con02 con03 "],
          env: { PATH },
        });
        assert.is(code, 1);
        assert.match(error, /not running: rabbit@con03/);
      },
    );
  });
});

suite("scripts: memcached", (test) => {
  if (absent) return;

  /** A cache of 64 MiB. */
  const cache =
    (remembers = true) =>
    (socket: Socket): void => {
      const kept = new Map<string, string>();
      let setting: string | null = null;
      let pending = "";
      socket.on("data", (data) => {
        pending += data.toString();
        const lines = pending.split("\r\n");
        pending = lines.pop() ?? "";
        for (const line of lines) {
          const [verb, key = ""] = line.split(" ");
          if (setting !== null) {
            if (remembers) kept.set(setting, line);
            setting = null;
            socket.write("STORED\r\n");
          } else if (verb === "stats")
            socket.write("STAT version 1.6.18\r\nSTAT limit_maxbytes 67108864\r\nEND\r\n");
          else if (verb === "set") setting = key;
          else if (verb === "delete") socket.write(kept.delete(key) ? "DELETED\r\n" : "NOT_FOUND\r\n");
          else {
            const value = kept.get(key);
            socket.write(
              value === undefined ? "END\r\n" : `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`,
            );
          }
        }
      });
    };
  const ask = (talk: (socket: Socket) => void, ...args: string[]): Promise<Outcome> =>
    serving(talk, (port) => run("memcached/memcached-answers.py", { args: [`127.0.0.1:${port} `, ...args] }));

  test("a cache that keeps", async () => {
    assert.is((await ask(cache())).code, 0);
    const { code, out, error } = await ask(cache(), "64");
    assert.is(code, 0, error);
    assert.match(out, /version 1\.6\.18/);
  });

  test("a cache that forgets, one of another size, another server, none", async () => {
    assert.match((await ask(cache(false), "64")).error, /'END' instead of 'VALUE /);
    assert.match((await ask(cache(), "128")).error, /64 MiB instead of 128/);
    assert.match(
      (await ask((socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n"))).error,
      /no statistics/,
    );
    assert.match((await ask((socket) => void socket.end())).error, /closed/);
    assert.is(
      (await run("memcached/memcached-answers.py", { args: [`127.0.0.1:${await closedPort()}`] })).code,
      1,
    );
  });

  test("listens-only sees a listener elsewhere", async () => {
    if (process.platform !== "linux") return;
    await serving(
      () => {},
      async (port) => {
        assert.is((await run("memcached/listens-only.py", { args: ["127.0.0.1", String(port)] })).code, 0);
        const { code, error } = await run("memcached/listens-only.py", { args: ["10.0.0.1", String(port)] });
        assert.is(code, 1);
        assert.match(error, /also listens on 127\.0\.0\.1/);
      },
    );
    assert.is(
      (await run("memcached/listens-only.py", { args: ["10.0.0.1", String(await closedPort())] })).code,
      0,
    );
  });
});

suite("scripts: etcd", (test) => {
  if (absent) return;

  /** An etcd; `prefix` is the path of its gateway. */
  async function etcd(
    { prefix = "/v3", healthy = "true", full = false, port: peer = 2380 },
    use: (end: string) => Promise<Outcome>,
  ): Promise<Outcome & { readonly left: number }> {
    const kept = new Map<string, string>();
    const server = createHttpServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      request.on("end", () => {
        const asked = (body === "" ? {} : JSON.parse(body)) as { key: string; value: string };
        const answers: { [path: string]: () => object } = {
          "/health": () => ({ health: healthy }),
          [`${prefix}/kv/put`]: () => {
            if (!full) kept.set(asked.key, asked.value);
            return full ? { error: "etcdserver: mvcc: database space exceeded" } : {};
          },
          [`${prefix}/kv/range`]: () =>
            kept.has(asked.key) ? { kvs: [{ key: asked.key, value: kept.get(asked.key) }] } : {},
          [`${prefix}/kv/deleterange`]: () => {
            kept.delete(asked.key);
            return {};
          },
          [`${prefix}/cluster/member/list`]: () => ({
            members: [
              { name: "con01", peerURLs: [`http://10.0.0.1:${peer}`], clientURLs: ["http://10.0.0.1:2379"] },
            ],
          }),
        };
        const answer = answers[request.url ?? ""]?.();
        response.writeHead(answer === undefined ? 404 : "error" in answer ? 500 : 200, {
          Connection: "close",
        });
        response.end(JSON.stringify(answer ?? {}));
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      return { ...(await use(`127.0.0.1:${(server.address() as AddressInfo).port}`)), left: kept.size };
    } finally {
      server.close();
    }
  }
  const key = (end: string): Promise<Outcome> => run("etcd/etcd-key.py", { args: [end] });
  const members =
    (words: string) =>
    (end: string): Promise<Outcome> =>
      run("etcd/etcd-members.py", { args: [end, words] });

  test("a store that keeps a key, with the gateway of 3.4 and of 3.3", async () => {
    for (const prefix of ["/v3", "/v3beta"]) {
      const { code, error, left } = await etcd({ prefix }, key);
      assert.is(code, 0, error);
      assert.is(left, 0);
    }
  });

  test("a store that is not healthy, full, or not there", async () => {
    assert.match((await etcd({ healthy: "false" }, key)).error, /not healthy/);
    assert.match((await etcd({ full: true }, key)).error, /space exceeded/);
    assert.match((await etcd({ prefix: "/v9" }, key)).error, /no gateway/);
    assert.is((await key(`127.0.0.1:${await closedPort()}`)).code, 1);
  });

  test("members", async () => {
    assert.is((await etcd({}, members("con01=10.0.0.1 "))).code, 0);
    assert.is((await etcd({ prefix: "/v3beta" }, members("con01=10.0.0.1 "))).code, 0);
    assert.match(
      (await etcd({ port: 7001 }, members("con01=10.0.0.1 "))).error,
      /not the members of this site: .*:7001/,
    );
    assert.is((await etcd({}, members("con01=10.0.0.1 con02=10.0.0.2 "))).code, 1);
  });
});

suite("scripts: keystone", (test) => {
  if (absent) {
    test.skip("skipped: no python3", () => {});
    return;
  }
  type Thing = { id: string; [key: string]: unknown };

  /** As much of keystone as the scripts speak: collections, role assignments, passwords. */
  class Keystone {
    readonly lists: { [what: string]: Thing[] } = {
      regions: [],
      domains: [{ id: "default", name: "Default" }],
      projects: [{ id: "p0", name: "admin", domain_id: "default" }],
      roles: [{ id: "r0", name: "admin" }],
      services: [],
      endpoints: [],
      users: [{ id: "u0", name: "admin", domain_id: "default", password: "secret" }],
    };
    readonly assigned: { user: string; role: string; project: string }[] = [];
    writes = 0;
    #next = 1;

    answer(method: string, path: string, body: string): [number, object | null] {
      const [, what = "", id = ""] = path.replace(/\?.*/, "").split("/");
      const given = (body === "" ? {} : JSON.parse(body)) as { [key: string]: Thing };
      if (what === "auth") return this.#login(given as never);
      if (what === "role_assignments") {
        const role_assignments = this.assigned.map(({ user, role, project }) => ({
          user: { id: user },
          role: { id: role },
          scope: { project: { id: project } },
        }));
        return [200, { role_assignments }];
      }
      if (method !== "GET") this.writes += 1;
      const list = this.lists[what] ?? [];
      if (method === "GET") return [200, { [what]: list.map(({ password: _, ...rest }) => rest) }];
      if (method === "PUT") {
        const [, , project = "", , user = "", , role = ""] = path.split("/");
        this.assigned.push({ user, role, project });
        return [204, null];
      }
      const single = what.slice(0, -1);
      const wanted = given[single] as Thing;
      const one = method === "PATCH" ? list.find((thing) => thing.id === id) : undefined;
      const made: Thing = one ?? { ...wanted, id: wanted.id ?? `${single}${this.#next++}` };
      if (one === undefined) list.push(made);
      else Object.assign(one, wanted);
      return [201, { [single]: made }];
    }

    #login({
      auth,
    }: {
      auth: { identity: { password: { user: { name: string; password: string } } } };
    }): [number, object] {
      const { name, password } = auth.identity.password.user;
      const known = this.lists["users"]?.some((one) => one["name"] === name && one["password"] === password);
      return known === true ? [201, { token: {} }] : [401, { error: { message: "no" } }];
    }
  }

  const serve = <T>(keystone: Keystone, use: (url: string) => Promise<T>): Promise<T> =>
    answering(({ method, path, body }, response) => {
      const [status, answer] = keystone.answer(method, path, body);
      response.writeHead(status, status === 201 ? { "X-Subject-Token": "token" } : {});
      response.end(answer === null ? "" : JSON.stringify(answer));
    }, use);
  const objects = [
    { kind: "region", name: "RegionOne" },
    { kind: "project", name: "service", domain: "Default" },
    { kind: "role", name: "service" },
    { kind: "service", type: "image", name: "glance" },
    { kind: "endpoint", type: "image", region: "RegionOne", url: "http://con01:9292" },
    {
      kind: "user",
      name: "glance",
      domain: "Default",
      project: "service",
      password: 'it\'s\\ "hard"',
      roles: ["admin", "service", null],
    },
  ];
  const stdin = objects.map((one) => JSON.stringify(one)).join("\n");
  const register = (url: string, ...args: string[]): Promise<Outcome> =>
    run("keystone/register.py", { args, env: { OS_AUTH_URL: url, OS_PASSWORD: "secret" }, stdin });

  test("register: makes everything once; a check before is red and after it green; again nothing is written", async () => {
    const keystone = new Keystone();
    await serve(keystone, async (url) => {
      const before = await register(url, "check");
      assert.is(before.code, 1);
      for (const words of ["region RegionOne is missing", "service image is missing", "user glance"])
        assert.match(before.error, words);
      assert.is(keystone.writes, 0, "a check changes nothing");
      assert.equal(await register(url), { code: 0, out: "", error: "" });
      assert.equal(keystone.lists["endpoints"]?.map((one) => one["interface"]).sort(), [
        "admin",
        "internal",
        "public",
      ]);
      assert.is(keystone.assigned.length, 2);
      assert.is((await register(url, "check")).code, 0);
      const { writes } = keystone;
      assert.is((await register(url)).code, 0);
      assert.is(keystone.writes, writes, "nothing is left to do");
    });
  });

  test("register: a URL, a password and a role that differ are red, and made right", async () => {
    const keystone = new Keystone();
    await serve(keystone, async (url) => {
      await register(url);
      Object.assign(keystone.lists["endpoints"]?.[0] ?? {}, { url: "http://old:9292" });
      Object.assign(keystone.lists["users"]?.[1] ?? {}, { password: "other" });
      keystone.assigned.pop();
      const seen = await register(url, "check");
      assert.is(seen.code, 1);
      for (const words of ["differs", "refuses its password", "has no role"]) assert.match(seen.error, words);
      assert.not.match(seen.error, "hard");
      assert.is((await register(url)).code, 0);
      assert.is((await register(url, "check")).code, 0);
      assert.is(keystone.lists["endpoints"]?.length, 3, "no duplicate");
    });
  });

  test("register and log-in: a wrong password, and nobody there, are said in a line", async () => {
    await serve(new Keystone(), async (url) => {
      const wrong = {
        OS_AUTH_URL: url,
        OS_PASSWORD: "wrong",
        OS_USERNAME: "admin",
        OS_PROJECT_NAME: "admin",
      };
      for (const script of ["keystone/register.py", "keystone/log-in.py"]) {
        const seen = await run(script, { env: wrong, stdin });
        assert.is(seen.code, 1, script);
        assert.match(seen.error, /401/);
        assert.not.match(seen.error, /Traceback|wrong/);
      }
      assert.is((await run("keystone/log-in.py", { env: { ...wrong, OS_PASSWORD: "secret" } })).code, 0);
    });
    const nobody = `http://127.0.0.1:${await closedPort()}`;
    const seen = await register(nobody);
    assert.is(seen.code, 1);
    assert.not.match(seen.error, /Traceback/);
  });
});

suite("scripts: nova, neutron and the first instance's objects", (test) => {
  if (absent) {
    test.skip("skipped: no python3", () => {});
    return;
  }
  /** Answers by path, with keystone's login among them, whose catalog has all services at this place. */
  const cloud = async <T>(
    answers: { readonly [path: string]: unknown },
    use: (url: string) => Promise<T>,
    regions: { readonly [type: string]: string } = {},
  ): Promise<T> => {
    let place = "";
    return await answering(
      (asked, response) => {
        const answer = answers[asked.path.replace(/\?.*/, "")];
        if (token(asked, response, place, regions)) return;
        if (asked.request.headers["x-auth-token"] !== "t") json(response, 401, {});
        else json(response, answer === undefined ? 404 : 200, answer ?? {});
      },
      (url) => {
        place = url;
        return use(url);
      },
    );
  };
  const hypervisors = (state: string, address: string): object => ({
    hypervisors: [
      { service: { host: "com01" }, state, host_ip: address, hypervisor_hostname: "com01.example" },
      { service: { host: "com02" }, state: "up", host_ip: "10.0.0.12", hypervisor_hostname: "com02.example" },
    ],
  });

  test("sole-host: nobody, itself, and another one that is down; another one that is up is named", async () => {
    const ask = (state: string, address: string): Promise<Outcome> =>
      cloud({ "/compute/os-hypervisors/detail": hypervisors(state, address) }, (url) =>
        run("nova-common/sole-host.py", {
          args: [`${url}/compute`, "com01", "10.0.0.11"],
          env: account(url),
        }),
      );
    assert.is((await ask("up", "10.0.0.11")).code, 0);
    assert.is((await ask("down", "10.0.0.99")).code, 0);
    const other = await ask("up", "10.0.0.99");
    assert.is(other.code, 1);
    assert.match(other.error, "10.0.0.99 runs instances as com01 too; this machine is 10.0.0.11");
  });

  test("only-one-agent: an agent at another address is named, one that has no tunnels is nobody's", async () => {
    const ask = (alive: boolean, end: string | undefined): Promise<Outcome> =>
      cloud(
        { "/network/v2.0/agents": { agents: [{ alive, configurations: { tunneling_ip: end } }] } },
        (url) =>
          run("neutron-common/only-one-agent.py", {
            args: [`${url}/network`, "com01", "neutron-linuxbridge-agent", "10.0.0.11"],
            env: account(url),
          }),
      );
    assert.is((await ask(true, "10.0.0.11")).code, 0);
    assert.is((await ask(false, "10.0.0.99")).code, 0);
    assert.is((await ask(true, undefined)).code, 0);
    const other = await ask(true, "10.0.0.99");
    assert.is(other.code, 1);
    assert.match(other.error, "10.0.0.99 has an agent as com01 too");
  });

  test("services-up: up, down, never seen; a compute node must be in a cell, and its hypervisor up", async () => {
    const services = [
      { binary: "nova-scheduler", host: "com01", state: "up", status: "enabled" },
      { binary: "nova-conductor", host: "com01", state: "up", status: "disabled" },
      { binary: "nova-compute", host: "com01", state: "up", status: "enabled" },
    ];
    const ask = (state: string, ...wanted: string[]): Promise<Outcome> =>
      cloud(
        {
          "/compute/os-services": { services },
          "/compute/os-hypervisors/detail":
            state === "" ? { hypervisors: [] } : hypervisors(state, "10.0.0.11"),
        },
        (url) =>
          run("nova-common/services-up.py", {
            args: [`${url}/compute`, "com01", ...wanted],
            env: account(url),
          }),
      );
    assert.equal(await ask("up", "nova-scheduler", "nova-compute"), { code: 0, out: "", error: "" });
    assert.equal(await ask("up", "nova-conductor", "nova-novncproxy"), {
      code: 1,
      out: "",
      error: "nova-conductor on com01 is up and disabled; nova-novncproxy on com01 has never reported\n",
    });
    assert.match((await ask("", "nova-compute")).error, "com01 is not mapped to a cell yet");
    assert.match((await ask("down", "nova-compute")).error, "the hypervisor of com01 is down");
    assert.is((await ask("", "nova-scheduler")).code, 0, "only a compute node has a hypervisor");
  });

  test("agents-alive: on each host; one that is dead, switched off or was never there is named", async () => {
    const agent = (host: string, alive: boolean, admin_state_up = true): object => ({
      host,
      binary: "neutron-dhcp-agent",
      alive,
      admin_state_up,
    });
    const agents = [agent("net01", true), agent("net02", false), agent("net03", true, false)];
    const ask = (hosts: string): Promise<Outcome> =>
      cloud({ "/network/v2.0/agents": { agents } }, (url) =>
        run("neutron-common/agents-alive.py", {
          args: [`${url}/network`, hosts, "neutron-dhcp-agent"],
          env: account(url),
        }),
      );
    assert.is((await ask("net01,")).code, 0);
    const bad = ["net02 is not alive", "net03 is switched off", "net04 has never reported"];
    assert.equal(await ask("net01,net02,net03,net04"), {
      code: 1,
      out: "",
      error: `${bad.map((text) => `neutron-dhcp-agent on ${text}`).join("; ")}\n`,
    });
  });

  test("finds-services: the regions of nova.conf, and what placement knows", async () => {
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-scripts-"));
    const conf = join(folder, "nova.conf");
    writeFileSync(
      conf,
      "[DEFAULT]\nx=1\n[neutron]\nregion_name = RegionOne\n[placement]\nregion_name=RegionOne\n",
    );
    const ask = (inventories: object, regions = {}): Promise<Outcome> =>
      cloud(
        {
          "/compute/os-hypervisors/detail": hypervisors("up", "10.0.0.11"),
          "/placement/resource_providers": { resource_providers: [{ uuid: "u1" }] },
          "/placement/resource_providers/u1/inventories": { inventories },
        },
        (url) => run("nova-common/finds-services.py", { args: [conf, "com01"], env: account(url) }),
        regions,
      );
    try {
      assert.is((await ask({ VCPU: {} })).code, 0);
      const empty = await ask({});
      assert.is(empty.code, 1);
      assert.match(empty.error, "placement does not know what com01 has");
      const elsewhere = await ask({ VCPU: {} }, { network: "RegionTwo" });
      assert.is(elsewhere.code, 1);
      assert.match(elsewhere.error, /\[neutron\].*RegionOne.*network is in RegionTwo/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("first-objects: what is there may still not be served", async () => {
    const subnet = {
      id: "s1",
      name: "provider",
      cidr: "198.51.100.0/24",
      gateway_ip: "198.51.100.1",
      dns_nameservers: [],
      enable_dhcp: true,
    };
    const wanted = { kind: "network", name: "provider", physical: "provider", pool: null, dns: [null] };
    const stdin = JSON.stringify({ ...wanted, cidr: subnet.cidr, gateway: subnet.gateway_ip });
    const ask = (mode: string, ports: readonly object[]): Promise<Outcome> =>
      cloud(
        {
          "/network/v2.0/networks": {
            networks: [{ id: "n1", "router:external": true, "provider:physical_network": "provider" }],
          },
          "/network/v2.0/subnets": { subnets: [subnet] },
          "/network/v2.0/ports": { ports },
        },
        (url) => run("launch-instance/first-objects.py", { args: [mode], env: account(url), stdin }),
      );
    const port = { id: "x1", status: "DOWN", fixed_ips: [{ subnet_id: "s1" }] };
    assert.is((await ask("check", [])).code, 0);
    assert.is((await ask("served", [{ ...port, status: "ACTIVE" }])).code, 0);
    assert.match(
      (await ask("served", [])).error,
      "subnet provider has no DHCP server yet: no agent has taken it",
    );
    const down = await ask("served", [port]);
    assert.is(down.code, 1);
    assert.match(down.error, "port x1 is DOWN");
  });

  test("networks-served: a network without a port of this host, or with one that is DOWN, is not served", async () => {
    const ask = (ports: readonly object[]): Promise<Outcome> =>
      cloud(
        {
          "/network/v2.0/agents": { agents: [{ id: "a1", binary: "neutron-dhcp-agent" }] },
          "/network/v2.0/agents/a1/dhcp-networks": { networks: [{ id: "n1", name: "first" }] },
          "/network/v2.0/subnets": { subnets: [{ id: "s1", name: "one", enable_dhcp: true }] },
          "/network/v2.0/ports": { ports },
        },
        (url) =>
          run("neutron-network/networks-served.py", {
            args: [`${url}/network`, "con01"],
            env: account(url),
          }),
      );
    const port = {
      "binding:host_id": "con01",
      status: "DOWN",
      fixed_ips: [{ subnet_id: "s1", ip_address: "192.0.2.2" }],
    };
    assert.match((await ask([])).error, "subnet one of first has no DHCP port on con01");
    assert.match((await ask([{ ...port, "binding:host_id": "con02" }])).error, "no DHCP port on con01");
    assert.match((await ask([port])).error, "the DHCP port 192.0.2.2 on con01 is DOWN");
  });
});

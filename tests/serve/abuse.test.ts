import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";
import { ask, big, type TestServer, withServer } from "./boot-server.ts";

const installed = '{"origin":"installer","event":"installed"}';

/** Sends bytes as they are, and gives all that comes back until the server ends the connection. */
function raw(port: number, ...parts: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (part: string) => {
      text += part;
    });
    socket.on("error", () => undefined);
    socket.on("close", () => done(text));
    for (const part of parts) socket.write(part);
  });
}

/** Whether the server still does its work, and for the right node only. */
async function works({ get, post }: TestServer): Promise<void> {
  assert.is((await get("/seed/con01/meta-data")).body, "instance-id: x-con01-1\n");
  assert.is((await get("/seed/com01/meta-data")).status, 403);
  assert.is((await post("com01", installed)).status, 403);
}

/**
 * The same of a server whose time limits are so short that a busy machine may keep an honest request from meeting
 * them.
 */
async function worksInTheEnd(server: TestServer): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await works(server);
      return;
    } catch (error) {
      if (tries === 50) throw error;
    }
  }
}

const opened = (port: number): Promise<Socket> =>
  new Promise((done, failed) => {
    const socket = connect(port, "127.0.0.1", () => done(socket));
    socket.on("error", failed);
  });

/** Resolves when the other side has ended it. */
const ended = (socket: Socket): Promise<void> =>
  new Promise((done) => {
    socket.removeAllListeners("error");
    socket.on("error", () => undefined);
    if (socket.closed) done();
    else socket.on("close", () => done());
  });

suite("abuse: paths", (test) => {
  const up = ["..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "..%00", "....", "..;", "%c0%ae%c0%ae", "\u2025"];
  const slash = ["/", "%2f", "%252f", "\\", "%5c", "//", "/./", "%c0%af"];
  const begin = [
    "/assets/",
    "/loaders/",
    "/pxelinux/",
    "/seed/con01/",
    "/seed/",
    "/grub/",
    "/",
    "//",
    "/assets/debian-12/",
  ];
  const ends = ["etc/passwd", "secret", "seeds/com01/user-data", "state/key", "state/journal.jsonl"];

  test(
    "no way out of the served folders, however it is written",
    withServer({}, async (server) => {
      writeFileSync(join(server.folder, "secret"), "SECRET");
      const secrets = [
        "SECRET",
        "root:x:0",
        "hostname: com01",
        readFileSync(join(server.folder, "state", "key"), "latin1"),
      ];
      let asked = 0;
      const paths: string[] = [];
      for (const head of begin)
        for (const dots of up)
          for (const cut of slash)
            for (const end of ends) paths.push(head + (dots + cut).repeat(asked++ % 2 === 0 ? 2 : 5) + end);
      paths.push(
        "/etc/passwd",
        "//etc/passwd",
        "/assets//etc/passwd",
        "/assets/%2fetc/passwd",
        `/assets/${server.folder}/secret`,
        "http://127.0.0.1/etc/passwd",
        "file:///etc/passwd",
        "*",
        "/seed/con01/user-data%00.txt",
        "/seed/con01/../com01/user-data",
        "/seed/com01%2f..%2fcon01/user-data",
        "/seed/con01%2f..%2fcom01/user-data",
        "/seed/__proto__/user-data",
        "/seed/constructor/user-data",
        "/__proto__/x",
        "/constructor/x",
        "/assets/.hidden",
        "/assets/debian-12/.hidden",
        `/assets/${"a/".repeat(3000)}b`,
      );
      // One connection for all, as a flood of connections is another test's.
      const requests = paths
        .filter((path) => !/[\s\u0100-\uffff]/.test(path))
        .map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      let answers = 0;
      // A request that breaks HTTP ends its connection, so each of a few goes by itself.
      const chunk = 40;
      for (let at = 0; at < requests.length; at += chunk) {
        const part = requests.slice(at, at + chunk);
        const text = await raw(
          server.port,
          part.join(""),
          "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        for (const secret of secrets) assert.not.ok(text.includes(secret), part.join(""));
        answers += text.split("HTTP/1.1 ").length - 1;
        assert.not.match(text, "HTTP/1.1 200");
        assert.not.match(text, "HTTP/1.1 500");
      }
      assert.ok(answers > requests.length / 2, `${answers} answers to ${requests.length} requests`);
      await works(server);
    }),
  );

  test(
    "a symbolic link leads nowhere outside, whether of a file or of a folder",
    withServer({}, async (server) => {
      const { folder, get } = server;
      writeFileSync(join(folder, "secret"), "SECRET");
      const assets = join(folder, "assets");
      symlinkSync(join(folder, "secret"), join(assets, "file"));
      symlinkSync(folder, join(assets, "folder"));
      symlinkSync("../seeds", join(assets, "seeds"));
      symlinkSync("debian-12/vmlinuz", join(assets, "inside"));
      symlinkSync("loop", join(assets, "loop"));
      mkdirSync(join(assets, "empty"));
      for (const path of ["file", "folder/secret", "seeds/com01/user-data", "loop", "empty", "missing"])
        assert.is((await get(`/assets/${path}`)).status, 404, path);
      assert.is((await get("/assets/inside")).status, 200);
      // A seed that is a link to another node's.
      const seed = join(folder, "seeds", "con01", "user-data");
      assert.match((await get("/seed/con01/user-data")).body, "con01");
      renameSync(seed, `${seed}.old`);
      symlinkSync(join(folder, "secret"), seed);
      assert.not.match((await get("/seed/con01/user-data")).body, "SECRET");
      assert.ok(existsSync(join(folder, "secret")));
    }),
  );
});

suite("abuse: reports", (test) => {
  const head = (length: number | string, more = ""): string =>
    `POST /report/con01 HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n${more}\r\n`;

  test(
    "larger than allowed, said at once or found out",
    withServer({ limits: { report: 10_000 } }, async (server) => {
      const large = "x".repeat(20_000);
      assert.match(await raw(server.port, head(1e12)), /^HTTP\/1.1 413 /);
      assert.match(await raw(server.port, head(large.length), large), /^HTTP\/1.1 413 /);
      const chunk = `1000\r\n${"x".repeat(4096)}\r\n`;
      const chunked = "POST /report/con01 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
      assert.match(await raw(server.port, chunked, chunk.repeat(20)), /^HTTP\/1.1 413 /);
      await works(server);
    }),
  );

  test(
    "whose length is a lie, or never comes",
    withServer({ limits: { head: 500, request: 1000 } }, async (server) => {
      // Longer than said: the rest is no request, and ends the connection.
      const answers = await raw(
        server.port,
        head(installed.length),
        installed,
        `${"y".repeat(3000)}\r\n\r\n`,
      );
      assert.ok(answers.split("HTTP/1.1 200").length <= 2);
      // Shorter than said, and a stream of chunks without an end: given up when their time is over.
      assert.not.match(await raw(server.port, head(5000), installed), "HTTP/1.1 200");
      const chunked = "POST /report/con01 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
      assert.not.match(await raw(server.port, chunked, "5\r\nhello\r\n"), "HTTP/1.1 200");
      for (const length of [
        "-1",
        "abc",
        "1, 2",
        "5\r\nContent-Length: 6",
        "0x10",
        "5\r\nTransfer-Encoding: chunked",
      ])
        assert.not.match(await raw(server.port, head(length), installed), "HTTP/1.1 200", length);
      await worksInTheEnd(server);
    }),
  );

  test(
    "of wrong kinds and shapes",
    withServer({}, async (server) => {
      const { port, states } = server;
      const post = (body: string | Buffer, headers: Record<string, string> = {}): Promise<number> =>
        ask(port, "/report/con01", { method: "POST", body, headers }).then(({ status }) => status);
      const deep = "[".repeat(100_000);
      for (const body of [
        deep,
        deep + "]".repeat(100_000),
        `{"events":${deep}${"]".repeat(100_000)}}`,
        `{"a":`.repeat(20_000),
        Buffer.from([0xff, 0xfe, 0x00]),
        '{"event":"installed"',
        '{"__proto__":{"event":"installed"}}',
        '{"event":{"toString":"installed"}}',
        '{"event":["installed"]}',
        '{"events":"installed"}',
        JSON.stringify({ events: Array.from({ length: 101 }, () => JSON.parse(installed) as object) }),
        JSON.stringify({ event: "ready" }),
        JSON.stringify({ event: "ready", time: 5 }),
      ])
        assert.is(await post(body), 400, String(body).slice(0, 60));
      assert.is(await post(gzipSync("x".repeat(100)), { "Content-Encoding": "gzip" }), 415);
      assert.is(states.get("con01").stage, "waiting");
      // What is long or has control characters is cut and cleaned, not kept.
      const wild = {
        event: "failed",
        message: `\u001b[31m${"x".repeat(5000)}\u0007\u202e`,
        tail: {},
        step: 7,
      };
      assert.is(await post(JSON.stringify({ ...wild, time: "2026-01-01T00:00:00Z" })), 200);
      const { message } = states.get("con01").progress.failure ?? { message: "" };
      assert.is(message, "x".repeat(message.length));
      assert.ok(message.length <= 300);
      await works(server);
    }),
  );

  test(
    "more of them than a node has to say",
    withServer({ limits: { burst: 10, rate: 0 } }, async (server) => {
      const statuses: number[] = [];
      for (let time = 0; time < 15; time++) statuses.push((await server.post("con01", installed)).status);
      assert.equal(statuses, [...Array<number>(10).fill(200), ...Array<number>(5).fill(429)]);
      assert.ok(server.states.get("con01").timeline.length <= 120);
      await works(server);
    }),
  );
});

suite("abuse: slow clients and floods", (test) => {
  test(
    "a head that never ends, sent byte by byte",
    withServer({ limits: { head: 400, request: 800 } }, async (server) => {
      const socket = await opened(server.port);
      socket.write("GET /seed/con01/user-data HTTP/1.1\r\nHost: x\r\n");
      const drip = setInterval(() => socket.write("X: y\r\n"), 50);
      await ended(socket);
      clearInterval(drip);
      await worksInTheEnd(server);
    }),
  );

  test(
    "a body that never ends, sent byte by byte",
    withServer({ limits: { head: 400, request: 800 } }, async (server) => {
      const socket = await opened(server.port);
      socket.write("POST /report/con01 HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n");
      const drip = setInterval(() => socket.write(" "), 50);
      await ended(socket);
      clearInterval(drip);
      await worksInTheEnd(server);
    }),
  );

  test(
    "a reader that does not read",
    withServer({ limits: { reader: 400 } }, async (server) => {
      // More than all that the system itself would take off the server.
      const { folder } = server;
      writeFileSync(join(folder, "assets", "large"), Buffer.concat(Array.from({ length: 24 }, () => big)));
      const socket = await opened(server.port);
      socket.pause();
      socket.write("GET /assets/large HTTP/1.1\r\nHost: x\r\n\r\n");
      while (server.server.sending === 0) await new Promise((done) => setTimeout(done, 5));
      // Nothing is read, so only the server can end this.
      while (server.server.sending > 0) await new Promise((done) => setTimeout(done, 5));
      let size = 0;
      socket.on("data", (part: Buffer) => {
        size += part.length;
      });
      socket.resume();
      await ended(socket);
      assert.ok(size < 24 * big.length, `${size} bytes`);
      await worksInTheEnd(server);
    }),
  );

  test(
    "more connections of one address than a machine needs, and room again when they are gone",
    withServer({ limits: { connectionsOfOne: 8 } }, async (server) => {
      const sockets = await Promise.all(Array.from({ length: 8 }, () => opened(server.port)));
      assert.is(await raw(server.port, "GET /status HTTP/1.1\r\nHost: x\r\n\r\n"), "");
      for (const socket of sockets) socket.destroy();
      for (;;) {
        const answered = await raw(server.port, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        if (answered.startsWith("HTTP/1.1 404")) break;
      }
      await works(server);
    }),
  );

  test(
    "a flood of requests for other nodes' seeds, none of which is given",
    withServer({}, async (server) => {
      const request = "GET /seed/com01/user-data HTTP/1.1\r\nHost: x\r\n\r\n";
      const last = "GET /seed/com01/user-data HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
      const texts = await Promise.all(
        Array.from({ length: 16 }, () => raw(server.port, request.repeat(249), last)),
      );
      for (const text of texts) {
        assert.is(text.split("HTTP/1.1 403").length - 1, 250);
        assert.not.match(text, "cloud-config");
      }
      await works(server);
    }),
  );

  test(
    "bytes that are no HTTP",
    withServer({}, async (server) => {
      for (const bytes of [
        "\0".repeat(1000),
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        `GET /${"a".repeat(20_000)} HTTP/1.1\r\n\r\n`,
        `GET / HTTP/1.1\r\nHost: x\r\nX: ${"a".repeat(20_000)}\r\n\r\n`,
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x0a]),
      ])
        assert.not.match(await raw(server.port, bytes), "HTTP/1.1 200");
      for (const method of ["PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"])
        assert.is((await server.get("/seed/con01/user-data", {}, method)).status, 405, method);
      await works(server);
    }),
  );
});

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { processName } from "../../../src/lab/host.ts";
import { digestOf, fetchImage, reachable } from "../../../src/lab/images/fetch.ts";
import { imageOf, images, imagesFolder } from "../../../src/lab/images/store.ts";
import { suite } from "../../support/suite.ts";
import { type Answer, failure, image, publisher, sendFile, sha256, sha512 } from "./publisher.ts";

interface World {
  readonly cache: string;
  readonly requests: readonly string[];
  readonly lines: string[];
  readonly fetch: () => ReturnType<typeof fetchImage>;
  readonly source: Parameters<typeof fetchImage>[0];
}

/** Runs a test against a server of its own, with a cache of its own. */
async function withServer(
  file: Answer,
  test: (world: World) => Promise<void>,
  list: string | number = `${sha256} *other.img\n${sha256} *disk.img\n`,
  more: { readonly patience?: number; readonly attempts?: number } = {},
): Promise<void> {
  const cache = mkdtempSync(join(tmpdir(), "seedsmith-fetch-"));
  const { base, requests, close } = await publisher((request, response, requests) => {
    if (request.url === "/SUMS") {
      if (typeof list === "number") response.writeHead(list).end();
      else response.end(list);
    } else file(request, response, requests.filter((line) => line.startsWith("/disk.img")).length);
  });
  const lines: string[] = [];
  const source = { target: "debian-12", url: `${base}/disk.img`, digests: `${base}/SUMS` };
  const check = async () => {};
  const options = {
    cache,
    progress: (line: string) => lines.push(line),
    attempts: 3,
    pause: 0.01,
    check,
    ...more,
  };
  try {
    await test({ cache, requests, lines, source, fetch: () => fetchImage(source, options) });
  } finally {
    close();
    rmSync(cache, { recursive: true, force: true });
  }
}

/** What is left of a download that has not become an image. */
const leftovers = (cache: string): string[] => {
  const folder = join(imagesFolder(cache), ".fetching");
  return existsSync(folder) ? readdirSync(folder) : [];
};

suite("fetching an image", (test) => {
  test("puts it in place once, and then takes it from the cache", async () => {
    await withServer(
      (request, response) => sendFile(request, response),
      async ({ cache, fetch, requests }) => {
        const first = await fetch();
        assert.equal(readFileSync(first.disk), image);
        assert.is(first.key, sha256.slice(0, 16));
        assert.equal(first.origin.kind === "fetched" && first.origin.digest, `sha256:${sha256}`);
        assert.equal(await fetch(), first);
        assert.equal(requests, ["/SUMS", "/disk.img", "/SUMS"]);
        assert.is(imageOf(cache, "debian-12")?.key, first.key);
        assert.equal(leftovers(cache), []);
      },
    );
  });

  test("goes on where connections were cut, each a little further", async () => {
    await withServer(
      (request, response) => sendFile(request, response, { cutAfter: 50_000 }),
      async ({ fetch, requests, lines }) => {
        const { disk } = await fetch();
        assert.equal(readFileSync(disk), image);
        const ranges = requests.filter((line) => line.startsWith("/disk.img bytes="));
        assert.ok(ranges.length >= 5, requests.join("\n"));
        assert.ok(lines.some((line) => line.includes("going on at")));
      },
      undefined,
      // On a busy machine a connection may be cut before what has come was taken from it.
      { attempts: 1000 },
    );
  });

  test("goes on with what a killed process has left", async () => {
    await withServer(
      (request, response) => sendFile(request, response),
      async ({ cache, fetch, requests }) => {
        mkdirSync(join(imagesFolder(cache), ".fetching"), { recursive: true });
        writeFileSync(join(imagesFolder(cache), ".fetching", sha256), image.subarray(0, 1000));
        // Of a process that is gone.
        writeFileSync(
          join(imagesFolder(cache), ".fetching", `${sha256}.lock`),
          JSON.stringify({ pid: 2 ** 22 - 1, start: "1" }),
        );
        assert.equal(readFileSync((await fetch()).disk), image);
        assert.ok(requests.includes("/disk.img bytes=1000-"), requests.join("\n"));
      },
    );
  });

  test("begins again where the server knows no ranges", async () => {
    await withServer(
      (request, response, count) =>
        sendFile(request, response, count === 1 ? { cutAfter: 100_000 } : { ranges: false }),
      async ({ fetch }) => {
        assert.equal(readFileSync((await fetch()).disk), image);
      },
    );
  });

  test("needs nothing more where all was there already", async () => {
    await withServer(
      (request, response) => sendFile(request, response),
      async ({ cache, fetch }) => {
        mkdirSync(join(imagesFolder(cache), ".fetching"), { recursive: true });
        writeFileSync(join(imagesFolder(cache), ".fetching", sha256), image);
        assert.equal(readFileSync((await fetch()).disk), image);
      },
    );
  });

  test("throws away what is longer than the file", async () => {
    await withServer(
      (request, response) => sendFile(request, response),
      async ({ cache, fetch }) => {
        mkdirSync(join(imagesFolder(cache), ".fetching"), { recursive: true });
        writeFileSync(join(imagesFolder(cache), ".fetching", sha256), Buffer.alloc(image.length + 5));
        assert.equal(readFileSync((await fetch()).disk), image);
      },
    );
  });

  test("throws away what is not what the list says, and leaves no image", async () => {
    const other = "0".repeat(64);
    await withServer(
      (request, response) => sendFile(request, response),
      async ({ cache, fetch }) => {
        const error = await failure(fetch);
        assert.ok(error.message.includes(sha256) && error.message.includes(other), error.message);
        assert.equal(images(cache), []);
        assert.equal(leftovers(cache), []);
      },
      `${other}  disk.img\n`,
    );
  });

  test("trusts nothing that the list does not have", async () => {
    await withServer(
      () => assert.unreachable("the image is not asked for"),
      async ({ fetch }) => {
        assert.match((await failure(fetch)).message, "does not list disk.img");
      },
      `${sha256}  disk.img.manifest\n`,
    );
  });

  test("asks again after a server's trouble, and not after its refusal", async () => {
    await withServer(
      (request, response, count) => {
        if (count < 3) response.writeHead(503).end();
        else sendFile(request, response);
      },
      async ({ fetch }) => {
        assert.equal(readFileSync((await fetch()).disk), image);
      },
    );
    await withServer(
      (_, response) => response.writeHead(404).end(),
      async ({ fetch, requests }) => {
        const error = await failure(fetch);
        assert.match(error.message, "status 404");
        assert.match(error.hint ?? "", "seedsmith lab images build");
        assert.equal(requests, ["/SUMS", "/disk.img"]);
      },
    );
  });

  test("does not wait for ever for a server that has gone silent", async () => {
    await withServer(
      (request, response, count) => {
        if (count > 1) return sendFile(request, response);
        response.writeHead(200, { "Content-Length": image.length });
        response.write(image.subarray(0, 5000));
      },
      async ({ fetch, lines }) => {
        assert.equal(readFileSync((await fetch()).disk), image);
        assert.ok(
          lines.some((line) => line.includes("nothing came for 1 s")),
          lines.join("\n"),
        );
      },
      undefined,
      // On a busy machine even one that answers may take a second.
      { patience: 1, attempts: 1000 },
    );
  });

  test("says why, when nobody answers", async () => {
    await withServer(
      () => {},
      async ({ source, cache }) => {
        const closed = createServer();
        await new Promise<void>((resolve) => closed.listen(0, "127.0.0.1", resolve));
        const { port } = closed.address() as AddressInfo;
        await new Promise((resolve) => closed.close(resolve));
        const nobody = { ...source, digests: `http://127.0.0.1:${port}/SUMS` };
        const error = await failure(() => fetchImage(nobody, { cache, attempts: 2, pause: 0.01 }));
        assert.match(error.message, `127.0.0.1:${port}`);
        assert.match(error.message, "ECONNREFUSED");
        assert.match((await reachable(nobody)) ?? "", "ECONNREFUSED");
      },
    );
  });

  test("is one process's work at a time", async () => {
    await withServer(
      (request, response) => sendFile(request, response),
      async ({ cache, fetch }) => {
        mkdirSync(join(imagesFolder(cache), ".fetching"), { recursive: true });
        writeFileSync(
          join(imagesFolder(cache), ".fetching", `${sha256}.lock`),
          JSON.stringify(processName(process.pid)),
        );
        assert.match((await failure(fetch)).message, `process ${process.pid}`);
      },
    );
  });

  test("reads the lists that publishers write", () => {
    const name = "debian-12-genericcloud-amd64.qcow2";
    assert.equal(digestOf(`${sha512}  ${name}\n`, name), { algorithm: "sha512", hex: sha512 });
    assert.equal(digestOf(`${sha256} *${name}\r\n`, name), { algorithm: "sha256", hex: sha256 });
    assert.equal(digestOf(`SHA256 (${name}) = ${sha256.toUpperCase()}\n`, name), {
      algorithm: "sha256",
      hex: sha256,
    });
    assert.is(digestOf(`${sha256}  x${name}\n${sha256.slice(1)}  ${name}\n# ${name}\n`, name), null);
  });
});

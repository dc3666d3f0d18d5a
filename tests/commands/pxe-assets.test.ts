/** What `pxe assets` fetches of installers; the loaders come out of packages, which `npm run test:pxe` sees. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Asset, fetchAsset } from "../../src/commands/pxe/assets.ts";
import { type Answer, failure, image, publisher, sendFile, sha256 } from "../lab/images/publisher.ts";
import { suite } from "../support/suite.ts";

const path = "assets/ubuntu-24.04/initrd";

interface World {
  readonly url: string;
  /** What was asked of the publisher, each with its range. */
  readonly requests: readonly string[];
  readonly lines: readonly string[];
  readonly fetch: (digest?: string) => Promise<Asset>;
  /** The files beside the asset, and it. */
  readonly files: () => readonly string[];
  readonly read: () => Buffer;
  readonly write: (name: string, bytes: Buffer) => void;
}

function withPublisher(answer: Answer, test: (world: World) => Promise<void>): () => Promise<void> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-assets-"));
    const beside = join(folder, "assets", "ubuntu-24.04");
    const { base, requests, close } = await publisher((request, response, all) =>
      answer(request, response, all.length),
    );
    const url = `${base}/casper/initrd`;
    const lines: string[] = [];
    const options = { progress: (line: string) => lines.push(line), attempts: 1000, pause: 0.001 };
    try {
      await test({
        url,
        requests,
        lines,
        fetch: (digest = sha256) => fetchAsset(url, digest, folder, path, options),
        files: () => readdirSync(beside),
        read: () => readFileSync(join(folder, path)),
        write: (name, bytes) => {
          mkdirSync(beside, { recursive: true });
          writeFileSync(join(beside, name), bytes);
        },
      });
    } finally {
      close();
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

const whole: Answer = (request, response) => sendFile(request, response);

suite("what installers boot, by URL and digest", (test) => {
  test(
    "comes once, and is then looked at and left as it is",
    withPublisher(whole, async ({ fetch, requests, url, read, files }) => {
      assert.equal(await fetch(), { path, from: url, change: "created" });
      assert.equal(read(), image);
      assert.equal(await fetch(), { path, from: url, change: "same" });
      assert.equal(requests, ["/casper/initrd"]);
      assert.equal(files(), ["initrd"]);
    }),
  );

  test(
    "replaces another version, or one that was damaged",
    withPublisher(whole, async ({ fetch, read, write }) => {
      write("initrd", image.subarray(1));
      assert.is((await fetch()).change, "created");
      assert.equal(read(), image);
    }),
  );

  test(
    "is thrown away with another digest, and what was there stays",
    withPublisher(whole, async ({ fetch, url, read, write, files }) => {
      const before = Buffer.from("the one before");
      write("initrd", before);
      const error = await failure(() => fetch("0".repeat(64)));
      assert.is(
        error.message,
        `${url} is not what was asked for: its sha256 is ${sha256}, and must be ${"0".repeat(64)}`,
      );
      assert.is(error.hint, "it was thrown away; look whether the digest is that of this version");
      assert.equal(read(), before);
      assert.equal(files(), ["initrd"]);
    }),
  );

  test(
    "goes on where the connection was cut",
    withPublisher(
      // Until something has come: on a busy machine what came may not have been taken before the cut.
      (request, response) =>
        sendFile(request, response, request.headers.range === undefined ? { cutAfter: 50_000 } : {}),
      async ({ fetch, requests, read, lines, files }) => {
        await fetch();
        assert.equal(read(), image);
        assert.match(requests.at(-1) ?? "", /^\/casper\/initrd bytes=[1-9]\d*-$/);
        assert.ok(
          lines.some((line) => line.includes("going on at")),
          lines.join("\n"),
        );
        assert.equal(files(), ["initrd"]);
      },
    ),
  );

  test(
    "goes on with what a killed run has left, and not with what is left of another version",
    withPublisher(whole, async ({ fetch, requests, read, write }) => {
      write(`.initrd.${"0".repeat(16)}.part`, Buffer.alloc(2000));
      write(`.initrd.${sha256.slice(0, 16)}.part`, image.subarray(0, 1000));
      await fetch();
      assert.equal(requests, ["/casper/initrd bytes=1000-"]);
      assert.equal(read(), image);
    }),
  );

  test(
    "is asked for once where there is no such file, and nothing is left of it",
    withPublisher(
      (_, response) => response.writeHead(404).end(),
      async ({ fetch, requests, url, files }) => {
        const error = await failure(fetch);
        assert.match(error.message, `${url} cannot be fetched: `);
        assert.match(error.message, "status 404");
        assert.equal(requests, ["/casper/initrd"]);
        assert.equal(files(), []);
      },
    ),
  );
});

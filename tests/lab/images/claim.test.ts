import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as assert from "uvu/assert";
import { processName } from "../../../src/lab/host.ts";
import { alone, claim } from "../../../src/lab/images/claim.ts";
import { buildLock, sweepImages } from "../../../src/lab/images/store.ts";
import { suite } from "../../support/suite.ts";

function withLock(test: (lock: string) => Promise<void> | void): () => Promise<void> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-claim-"));
    try {
      await test(join(folder, "lock"));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

/** Of a process that is gone. */
const gone = JSON.stringify({ pid: 2 ** 22 - 1, start: "1" });

suite("work that is one process's at a time", (test) => {
  test(
    "is taken once; what a process has left that is gone counts for nothing",
    withLock((lock) => {
      writeFileSync(lock, gone);
      assert.is(claim(lock), null);
      assert.equal(claim(lock), processName(process.pid));
      rmSync(lock);
      writeFileSync(lock, "half of it");
      assert.is(claim(lock), null);
    }),
  );

  test(
    "of an image is swept with the rest where its process is gone, and left where it is not",
    withLock((path) => {
      const cache = dirname(path);
      const [old, own, half] = ["a", "b", "c"].map((key) => buildLock(cache, "debian-12", key)) as [
        string,
        string,
        string,
      ];
      mkdirSync(dirname(own), { recursive: true });
      writeFileSync(old, gone);
      assert.is(claim(own), null);
      writeFileSync(half, "half of");
      mkdirSync(join(dirname(own), `.making-${2 ** 22 - 1}-abc`));
      sweepImages(cache);
      assert.equal(
        readdirSync(dirname(own)).sort(),
        [own, half].map((lock) => lock.slice(dirname(own).length + 1)),
      );
    }),
  );

  test(
    "is done once where two want the same, and the other takes what came of it",
    withLock(async (lock) => {
      let made: string | null = null;
      let open: (value: string) => void = () => {};
      const work = new Promise<string>((done) => {
        open = done;
      });
      const told: number[] = [];
      const one = alone(
        lock,
        () => made,
        async () => {
          made = await work;
          return made;
        },
        () => assert.unreachable("nobody else is at it"),
      );
      const other = alone(
        lock,
        () => made,
        () => Promise.reject(new Error("it is made already")),
        (pid) => {
          told.push(pid);
          open("the image");
        },
        0.005,
      );
      assert.equal(await Promise.all([one, other]), ["the image", "the image"]);
      assert.equal(told, [process.pid]);
      assert.not.ok(existsSync(lock));
    }),
  );

  test(
    "falls to the next where the first has failed",
    withLock(async (lock) => {
      const first = alone(
        lock,
        () => null,
        () => Promise.reject(new Error("no room")),
        () => {},
      );
      const second = alone(
        lock,
        () => null,
        async () => "the image",
        () => {},
        0.005,
      );
      const [failed, made] = await Promise.allSettled([first, second]);
      assert.is(failed.status, "rejected");
      assert.equal(made, { status: "fulfilled", value: "the image" });
    }),
  );
});

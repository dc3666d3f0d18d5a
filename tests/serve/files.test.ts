import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { belief, looksInSpan, SmallFiles } from "../../src/serve/files.ts";
import { suite } from "../support/suite.ts";

/** Files of a folder that are kept in memory, and a clock that only the test moves. */
function withKept(
  test: (kept: {
    readonly clock: { now: number };
    /** The kept text, or null where the file is to be read anew. */
    readonly get: (name: string) => string | null;
    readonly write: (name: string, text: string) => void;
    readonly read: (name: string) => void;
    readonly remove: (name: string) => void;
  }) => void,
  limit?: number,
): () => void {
  return () => {
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-kept-"));
    const clock = { now: 0 };
    const small = new SmallFiles({ now: () => clock.now, ...(limit === undefined ? {} : { limit }) });
    const at = (name: string): string => join(folder, name);
    try {
      test({
        clock,
        get: (name) => small.get(name, at(name))?.bytes.toString() ?? null,
        write: (name, text) => {
          // Another file under the same name, as render writes.
          writeFileSync(at(`${name}.new`), text);
          renameSync(at(`${name}.new`), at(name));
        },
        read: (name) =>
          small.put(name, { stat: statSync(at(name)), bytes: readFileSync(at(name)), headers: [] }),
        remove: (name) => rmSync(at(name)),
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

suite("small files that are kept in memory", (test) => {
  test(
    "are given only as long as they are the ones on the disk",
    withKept(({ get, read, write, remove }) => {
      assert.is(get("a"), null);
      write("a", "one");
      read("a");
      assert.is(get("a"), "one");
      write("a", "two");
      assert.is(get("a"), null);
      read("a");
      assert.is(get("a"), "two");
      remove("a");
      assert.is(get("a"), null);
    }),
  );

  test(
    "are believed for a second after a look where there is no end of looking, and not longer",
    withKept(({ clock, get, read, write, remove }) => {
      const busy = (): void => {
        for (let look = 0; look < looksInSpan; look++) assert.is(get("b"), "bee");
      };
      write("a", "one");
      write("b", "bee");
      read("a");
      read("b");
      busy();
      write("a", "two");
      assert.is(get("a"), "one");
      clock.now += belief / 2;
      busy();
      assert.is(get("a"), "one");
      clock.now += belief / 2 - 1;
      busy();
      assert.is(get("a"), "one");
      clock.now += 1;
      assert.is(get("a"), null);
      read("a");
      assert.is(get("a"), "two");
      // With time to look, at once.
      remove("a");
      assert.is(get("a"), "two");
      clock.now += 100;
      assert.is(get("a"), null);
    }),
  );

  test(
    "are bounded in memory: what was found last is dropped last",
    withKept(({ get, read, write }) => {
      for (const name of ["a", "b", "c"]) write(name, name.repeat(40));
      read("a");
      read("b");
      assert.ok(get("a") !== null);
      read("c");
      assert.is(get("b"), null);
      assert.ok(get("a") !== null && get("c") !== null);
    }, 100),
  );
});

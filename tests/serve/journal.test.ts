import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Fold, Journal, JournalError } from "../../src/serve/journal.ts";
import { suite } from "../support/suite.ts";

/** A list of numbers as a state. */
class Numbers implements Fold<number[], number> {
  all: number[] = [];
  restore(kept: number[]): void {
    this.all = [...kept];
  }
  apply(entry: number): void {
    this.all.push(entry);
  }
  keep(): number[] {
    return this.all;
  }
}

async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-journal-"));
  try {
    await test(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What a new process would know. */
async function known(folder: string): Promise<number[]> {
  const numbers = new Numbers();
  await (await Journal.open(folder, numbers)).close();
  return numbers.all;
}

const count = (n: number): number[] => Array.from({ length: n }, (_, index) => index);

suite("journal", (test) => {
  test("what was written is known to the next process, in order", () =>
    withFolder(async (folder) => {
      const journal = await Journal.open(folder, new Numbers());
      await Promise.all(count(500).map((n) => journal.append(n)));
      // Not closed, as by a kill.
      assert.equal(await known(folder), count(500));
      await journal.close();
    }));

  test("a torn last line is cut off, wherever it was torn, and what follows is whole", () =>
    withFolder(async (folder) => {
      const path = join(folder, "journal.jsonl");
      const journal = await Journal.open(folder, new Numbers());
      await journal.append(1);
      await journal.append(2);
      await journal.close();
      const whole = readFileSync(path);
      const first = whole.indexOf(10) + 1;
      for (let end = first; end <= whole.length; end++) {
        writeFileSync(path, whole.subarray(0, end));
        const numbers = new Numbers();
        const again = await Journal.open(folder, numbers);
        assert.equal(numbers.all, end === whole.length ? [1, 2] : [1]);
        await again.append(3);
        await again.close();
        assert.equal((await known(folder)).at(-1), 3);
      }
    }));

  test("a last line of which the disk has only zeros is cut off", () =>
    withFolder(async (folder) => {
      const journal = await Journal.open(folder, new Numbers());
      await journal.append(1);
      await journal.close();
      appendFileSync(join(folder, "journal.jsonl"), `${"\0".repeat(40)}\n`);
      assert.equal(await known(folder), [1]);
    }));

  test("damage anywhere else is an error, never a guess", () =>
    withFolder(async (folder) => {
      const path = join(folder, "journal.jsonl");
      writeFileSync(path, "[1,[1]]\nnonsense\n[3,[3]]\n");
      for (const text of ["[1,[1]]\nnonsense\n[3,[3]]\n", "{}\n[2,[2]]\n"]) {
        writeFileSync(path, text);
        let error: unknown;
        await Journal.open(folder, new Numbers()).catch((caught: unknown) => {
          error = caught;
        });
        assert.instance(error, JournalError);
        assert.is(readFileSync(path, "utf8"), text);
      }
    }));

  test("it is compacted, and stays bounded", () =>
    withFolder(async (folder) => {
      const numbers = new (class extends Numbers {
        override apply(entry: number): void {
          this.all = [entry];
        }
      })();
      const journal = await Journal.open(folder, numbers, 500);
      for (const n of count(300)) await journal.append(n);
      const size = statSync(join(folder, "journal.jsonl")).size;
      assert.ok(size <= 600, `${size} bytes`);
      const again = new Numbers();
      await (await Journal.open(folder, again)).close();
      assert.is(again.all.at(-1), 299);
      await journal.close();
    }));

  test("a kill between the snapshot and the new journal counts nothing twice", () =>
    withFolder(async (folder) => {
      writeFileSync(join(folder, "snapshot.json"), '{"format":1,"batch":2,"state":[1,2]}');
      writeFileSync(join(folder, "journal.jsonl"), "[1,[1]]\n[2,[2]]\n[3,[3]]\n");
      writeFileSync(join(folder, "journal.jsonl.new"), "");
      assert.equal(await known(folder), [1, 2, 3]);
    }));
});

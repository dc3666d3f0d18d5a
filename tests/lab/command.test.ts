/** Commands in this process's place: seen from outside, by a process that does nothing else. */
import { spawnSync } from "node:child_process";
import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";

/** Runs a command through `standIn` in a process of its own. */
function stoodIn(argv: readonly string[], input: Buffer) {
  const script = `
    import { standIn } from ${JSON.stringify(new URL("../../src/lab/command.ts", import.meta.url).href)};
    standIn(${JSON.stringify(argv)}, null).then(
      (status) => { process.exitCode = status; },
      (error) => { console.error(error.message); process.exitCode = 99; },
    );`;
  const args = ["--import", "tsx", "--input-type=module", "--eval", script];
  return spawnSync(process.execPath, args, { input });
}

suite("a command in this process's place", (test) => {
  test("has its input and output byte for byte, and its status", () => {
    // Neither is text.
    const input = Buffer.from([0, 255, 128, 10, 195, 40]);
    const done = stoodIn(["sh", "-c", "cat; echo said >&2; exit 7"], input);
    assert.equal([...done.stdout], [...input]);
    assert.equal([done.status, done.stderr.toString()], [7, "said\n"]);
  });

  test("its death by a signal is told as shells do; what is not there is said", () => {
    assert.is(stoodIn(["sh", "-c", "kill -TERM $$"], Buffer.alloc(0)).status, 143);
    const none = stoodIn(["seedsmith-is-no-such-program"], Buffer.alloc(0));
    assert.equal(
      [none.status, none.stderr.toString()],
      [99, "seedsmith-is-no-such-program is not installed\n"],
    );
  });
});

import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as assert from "uvu/assert";
import { type RenderOptions, type RenderResult, render } from "../../src/commands/render.ts";
import { makePackage } from "../cases/cases.ts";
import { bundled, type Program } from "../support/program.ts";
import { suite } from "../support/suite.ts";

const here = import.meta.dirname;
const baseSite = readFileSync(join(here, "..", "cases", "base-site.yaml"), "utf8");
/** What changes user-data, seed.iso and plan.json of both nodes. */
const changedSite = `${baseSite}options: { basic: { greeting: changed } }\n`;

/** Path to content of everything below a folder; a link as its target. */
function snapshot(root: string): Record<string, string> {
  const files: Record<string, string> = {};
  if (!existsSync(root)) return files;
  for (const file of readdirSync(root, { recursive: true, encoding: "utf8" }).sort()) {
    const stat = lstatSync(join(root, file));
    if (stat.isFile()) files[file] = readFileSync(join(root, file), "latin1");
    else if (stat.isSymbolicLink()) files[file] = "link";
  }
  return files;
}

suite("output", (test) => {
  let packageRoot = "";
  let cwd = "";
  let tree = "";
  let program: Program;
  test.before(async () => {
    packageRoot = makePackage();
    program = await bundled("tests/write/render-here.ts");
  });
  test.after(() => {
    program.remove();
    rmSync(packageRoot, { recursive: true, force: true });
  });
  test.before.each(() => {
    cwd = mkdtempSync(join(tmpdir(), "seedsmith-output-"));
    tree = join(cwd, "build", "lab");
    writeFileSync(join(cwd, "site.yaml"), baseSite);
  });
  test.after.each(() => rmSync(cwd, { recursive: true, force: true }));

  const run = (more: Partial<RenderOptions> = {}): Promise<RenderResult> =>
    render({
      packageRoot,
      cwd,
      site: null,
      target: null,
      profiles: [],
      nodes: [],
      out: "build",
      workerUrl: null,
      ...more,
    });
  const errors = (result: RenderResult): string[] =>
    result.problems.filter(({ notice }) => notice !== true).map(({ code, message }) => `${code}: ${message}`);
  const fine = async (more: Partial<RenderOptions> = {}): Promise<RenderResult> => {
    const result = await run(more);
    assert.equal(errors(result), []);
    return result;
  };
  /** A render in a process of its own, in which one call of node:fs fails. */
  const child = (fail: string, path = ""): { signal: string | null; status: number | null; stderr: string } =>
    spawnSync(
      process.execPath,
      ["--import", pathToFileURL(join(here, "fail.mjs")).href, program.path, packageRoot, cwd],
      {
        encoding: "utf8",
        env: { ...process.env, SEEDSMITH_TEST_FAIL: fail, SEEDSMITH_TEST_PATH: path },
      },
    );

  test("rendering twice writes nothing and leaves nothing behind", async () => {
    await fine();
    const times = (): string[] =>
      readdirSync(cwd, { recursive: true, encoding: "utf8" })
        .sort()
        .map((file) => `${file} ${lstatSync(join(cwd, file)).mtimeMs} ${lstatSync(join(cwd, file)).ino}`)
        .filter((line) => lstatSync(join(cwd, line.split(" ")[0] ?? "")).isFile());
    const before = times();
    const again = await fine();
    assert.is(again.wrote, false);
    assert.equal(times(), before);
    assert.equal(
      readdirSync(tree).filter((file) => file.startsWith(".")),
      [],
    );
  });

  test("a part leaves the other nodes' files, manifest and origins as they are", async () => {
    await fine();
    const before = snapshot(tree);
    writeFileSync(join(cwd, "site.yaml"), changedSite);
    await fine({ nodes: ["two"] });
    const after = snapshot(tree);
    assert.equal(Object.keys(after), Object.keys(before));
    for (const file of Object.keys(before).filter((name) => name.startsWith("one/")))
      assert.is(after[file], before[file]);
    assert.is.not(after["two/user-data"], before["two/user-data"]);
    const files = (text: string | undefined): Record<string, unknown> =>
      (JSON.parse(text ?? "{}") as { files: Record<string, unknown> }).files;
    const [old, now] = [files(before["manifest.json"]), files(after["manifest.json"])];
    assert.equal(Object.keys(now), Object.keys(old));
    assert.equal(now["one/user-data"], old["one/user-data"]);
    assert.ok(Object.hasOwn(files(after["origins.json"]), "one/user-data"));
    await fine();
    assert.is.not(snapshot(tree)["one/user-data"], before["one/user-data"]);
  });

  test("a node that is gone takes its files along, and nobody else's", async () => {
    await fine();
    writeFileSync(join(tree, "two", "mine.txt"), "mine");
    writeFileSync(join(tree, "mine.txt"), "mine");
    writeFileSync(join(cwd, "site.yaml"), baseSite.replace(/^ {2}two:.*\n/m, ""));
    const result = await fine();
    assert.ok(result.removed > 0);
    assert.equal(readdirSync(join(tree, "two")), ["mine.txt"]);
    assert.is(readFileSync(join(tree, "mine.txt"), "utf8"), "mine");
    rmSync(join(tree, "two"), { recursive: true });
    assert.is((await fine()).wrote, false);
  });

  test("a foreign file in the way is reported and left", async () => {
    mkdirSync(join(tree, "one"), { recursive: true });
    writeFileSync(join(tree, "one", "user-data"), "mine");
    const before = snapshot(cwd);
    const result = await run();
    assert.match(errors(result).join(), /^output-foreign: build.lab.one.user-data exists/);
    assert.equal(snapshot(join(cwd, "build")), snapshotBelow(before, "build"));
  });

  test("a foreign manifest is reported and left", async () => {
    mkdirSync(tree, { recursive: true });
    writeFileSync(join(tree, "manifest.json"), "[]");
    assert.match(errors(await run()).join(), /^output-foreign: build.lab.manifest.json/);
    assert.equal(snapshot(tree), { "manifest.json": "[]" });
  });

  test("a folder where a file must be", async () => {
    mkdirSync(join(tree, "one", "seed.iso"), { recursive: true });
    assert.match(errors(await run()).join(), /^output-unwritable: .*a folder stands where a file must be/);
    assert.equal(snapshot(tree), {});
  });

  test("a file where the output folder must be", async () => {
    writeFileSync(join(cwd, "build"), "mine");
    assert.match(errors(await run()).join(), /^output-unwritable: .*a file stands where a folder must be/);
    assert.is(readFileSync(join(cwd, "build"), "utf8"), "mine");
  });

  test("a file where a node's folder must be", async () => {
    mkdirSync(tree, { recursive: true });
    writeFileSync(join(tree, "one"), "mine");
    assert.match(errors(await run()).join(), /^output-unwritable: .*a file stands where a folder must be/);
    assert.equal(snapshot(tree), { one: "mine" });
  });

  test("a node's folder that is a link is neither written nor emptied", async () => {
    await fine();
    const elsewhere = join(cwd, "elsewhere");
    renameSync(join(tree, "two"), elsewhere);
    symlinkSync(elsewhere, join(tree, "two"), "junction");
    const before = snapshot(elsewhere);
    writeFileSync(join(cwd, "site.yaml"), changedSite);
    const whole = snapshot(tree);
    assert.match(errors(await run()).join(), /^output-foreign: build.lab.two exists/);
    assert.equal(snapshot(tree), whole);
    // Gone from the site: what the link leads to stays.
    writeFileSync(join(cwd, "site.yaml"), baseSite.replace(/^ {2}two:.*\n/m, ""));
    await fine();
    assert.equal(snapshot(elsewhere), before);
  });

  test("a link in place of a file is replaced, not written through", async () => {
    await fine();
    const precious = join(cwd, "precious");
    writeFileSync(precious, "mine");
    rmSync(join(tree, "one", "user-data"));
    try {
      symlinkSync(precious, join(tree, "one", "user-data"));
    } catch {
      return; // Windows without the right to make links.
    }
    await fine();
    assert.is(readFileSync(precious, "utf8"), "mine");
    assert.ok(lstatSync(join(tree, "one", "user-data")).isFile());
  });

  test("a manifest that names files elsewhere removes nothing there", async () => {
    await fine();
    writeFileSync(join(cwd, "precious"), "mine");
    const path = join(tree, "manifest.json");
    const manifest = JSON.parse(readFileSync(path, "utf8")) as { files: Record<string, unknown> };
    for (const name of [
      "../../precious",
      "gone/../../../precious",
      join(cwd, "precious"),
      "..\\..\\precious",
    ])
      manifest.files[name] = { sha256: "", size: 0 };
    writeFileSync(path, JSON.stringify(manifest));
    await fine();
    assert.is(readFileSync(join(cwd, "precious"), "utf8"), "mine");
    assert.not.match(readFileSync(path, "utf8"), "precious");
  });

  test("a journal that names files elsewhere is not followed", async () => {
    await fine();
    writeFileSync(join(cwd, "precious"), "mine");
    mkdirSync(join(tree, ".staging"));
    writeFileSync(join(tree, ".staging", "a0"), "evil");
    writeFileSync(
      join(tree, ".journal.json"),
      JSON.stringify({ put: [["a0", "../../precious"]], remove: ["../../precious"] }),
    );
    await fine();
    assert.is(readFileSync(join(cwd, "precious"), "utf8"), "mine");
  });

  test("two runs at once: the second is told", async () => {
    await fine();
    const before = snapshot(tree);
    // A process that lives: the test's parent.
    writeFileSync(join(tree, ".lock"), `${process.ppid} ${(await import("node:os")).hostname()}\n`);
    writeFileSync(join(cwd, "site.yaml"), changedSite);
    assert.match(errors(await run()).join(), /another run of seedsmith is writing there/);
    rmSync(join(tree, ".lock"));
    assert.equal(snapshot(tree), before);
  });

  test("secrets that cannot be kept: nothing is written", async () => {
    writeFileSync(join(cwd, ".seedsmith"), "a file");
    const result = await run();
    assert.ok(errors(result).length > 0);
    assert.not.ok(existsSync(join(cwd, "build")));
  });

  test("problems leave no empty folders", async () => {
    writeFileSync(join(cwd, "site.yaml"), `${baseSite}packages: [Bad]\n`);
    assert.ok(errors(await run()).length > 0);
    assert.equal(readdirSync(cwd), ["site.yaml"]);
  });

  // A tree that was rendered, what it becomes after a change, and one call that fails on the way.
  const broken = async (
    fail: string,
    path: string,
  ): Promise<{ old: object; done: () => Promise<void>; run: ReturnType<typeof child> }> => {
    await fine();
    const old = snapshot(tree);
    writeFileSync(join(cwd, "site.yaml"), changedSite);
    return { old, run: child(fail, path), done: async () => void (await fine()) };
  };

  for (const [fail, path] of [
    ["writeFileSync:2:ENOSPC", ".staging"],
    ["mkdirSync:1:EROFS", ".staging"],
    ["linkSync:1:EIO", ".staging"],
    ["renameSync:1:EIO", "journal"],
    ["renameSync:4:EIO", "lab"],
    ["renameSync:7:EACCES", "lab"],
    ["writeFileSync:1:EACCES", ".lock"],
  ] as const) {
    test(`${fail} on ${path}: what stood there stays whole`, async () => {
      const { old, run: one, done } = await broken(fail, path);
      // A file system without links is none of a reader's business: contents are copied instead.
      if (fail.startsWith("linkSync")) assert.is(one.status, 0, one.stderr);
      else {
        assert.is(one.status, 1, one.stderr);
        assert.match(one.stderr, "output-unwritable");
        assert.equal(snapshot(tree), old);
      }
      await done();
      assert.equal(
        readdirSync(tree).filter((file) => file.startsWith(".")),
        [],
      );
    });
  }

  // The same for a tree that is not there yet, whose nodes' folders are renamed as a whole.
  for (const [fail, path] of [
    ["writeFileSync:3:ENOSPC", ".staging"],
    ["mkdirSync:3:EIO", ".staging"],
    ["renameSync:3:EIO", "lab"],
    ["renameSync:4:EACCES", "lab"],
  ] as const) {
    test(`${fail} on ${path} in a first render: nothing is left`, async () => {
      const one = child(fail, path);
      assert.is(one.status, 1, one.stderr);
      assert.match(one.stderr, "output-unwritable");
      assert.not.ok(existsSync(join(cwd, "build")));
      await fine();
    });
  }

  test("killed at any rename of a first render: the next run finds nothing or the new tree", async () => {
    await fine();
    const wanted = snapshot(tree);
    for (const nth of [1, 2, 3, 4, 5]) {
      rmSync(tree, { recursive: true });
      const { signal } = child(`renameSync:${nth}:kill`, "lab");
      assert.ok(signal !== null || process.platform === "win32", `rename ${nth}`);
      // A part: what it does not render shows which tree it found.
      await fine({ nodes: ["two"] });
      const found = snapshot(tree);
      const one = Object.keys(wanted).filter((file) => file.startsWith(join("one", "")));
      assert.ok(one.length > 0);
      for (const file of one) assert.is(found[file], nth === 1 ? undefined : wanted[file]);
      await fine();
      assert.equal(snapshot(tree), wanted);
    }
  });

  test("a node that is new beside others", async () => {
    writeFileSync(join(cwd, "site.yaml"), baseSite.replace(/^ {2}two:.*\n/m, ""));
    await fine();
    const one = lstatSync(join(tree, "one", "vendor-data")).ino;
    writeFileSync(join(cwd, "site.yaml"), baseSite);
    const { nodes } = await fine();
    assert.equal(
      nodes.map(({ changes }) => [changes.created > 0, changes.same > 0]),
      [
        [false, true],
        [true, false],
      ],
    );
    assert.is(lstatSync(join(tree, "one", "vendor-data")).ino, one);
    assert.is(lstatSync(join(tree, "two")).mode & 0o777, process.platform === "win32" ? 0o666 : 0o700);
  });

  test("killed at any rename: the next run finds the old or the new tree", async () => {
    await fine();
    const old = snapshot(tree);
    const start = join(cwd, "start");
    cpSync(tree, start, { recursive: true });
    writeFileSync(join(cwd, "site.yaml"), changedSite);
    await fine();
    const wanted = snapshot(tree);
    let killed = 0;
    for (const nth of [1, 2, 6, 99]) {
      rmSync(tree, { recursive: true });
      cpSync(start, tree, { recursive: true });
      const { signal } = child(`renameSync:${nth}:kill`, "lab");
      if (signal !== null) killed += 1;
      // The next command, a part: what it does not render shows which tree it found.
      writeFileSync(join(cwd, "site.yaml"), changedSite);
      await fine({ nodes: ["two"] });
      const found = snapshot(tree);
      const one = Object.keys(found).filter((file) => file.startsWith("one/"));
      const is = (tree_: Record<string, string>): boolean => one.every((file) => found[file] === tree_[file]);
      assert.ok(is(old) || is(wanted), `half a tree after the kill at rename ${nth}`);
      assert.is(is(wanted), nth > 1, `the journal decides (${nth})`);
      assert.equal(
        Object.keys(found).filter((file) => file.startsWith(".")),
        [],
      );
    }
    assert.ok(killed >= (process.platform === "win32" ? 0 : 3), `only ${killed} were killed`);
  });
});

function snapshotBelow(files: Record<string, string>, folder: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(files)
      .filter(([file]) => file.startsWith(`${folder}/`) || file.startsWith(`${folder}\\`))
      .map(([file, text]) => [file.slice(folder.length + 1), text]),
  );
}

/** `lab timeline` on what earlier labs have left, without any lab. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { LabRequest } from "../../src/commands/lab/request.ts";
import { timeline } from "../../src/commands/lab/timeline.ts";
import { LabError } from "../../src/lab/command.ts";
import { saveRecord } from "../../src/lab/report/boot-record.ts";
import { ran, record } from "../lab/report/records.ts";
import { event } from "../lab/watch/fake-lab.ts";
import { inTemporaryFolder, writeTree } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

/** Runs the command in a folder; gives what it printed, or what it refused. */
async function run(
  cwd: string,
  more: Partial<LabRequest> & { readonly nodes?: readonly string[]; readonly site?: string } = {},
) {
  const { nodes = [], site = null, ...rest } = more;
  const request: LabRequest = {
    choice: { packageRoot: "", cwd, site, target: null, profiles: [], nodes },
    out: "build",
    format: "text",
    driver: null,
    timeout: null,
    follow: false,
    keep: false,
    report: null,
    svg: null,
    positionals: [],
    problems: () => 1,
    ...rest,
  };
  const write = process.stdout.write;
  let out = "";
  process.stdout.write = ((text: string) => {
    out += text;
    return true;
  }) as typeof write;
  try {
    await timeline(request);
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    return `refused: ${error.message}; ${error.hint}`;
  } finally {
    process.stdout.write = write;
  }
  return out;
}

/** Two nodes of a lab that is down. */
function leave(folder: string, site: string): void {
  for (const [place, node] of ["con01", "com01"].entries()) {
    const events = [
      event(node, 10, "run-start"),
      ...ran(node, "db", 10, 40 + place),
      event(node, 41 + place, "ready"),
    ];
    saveRecord(join(folder, "build", site, "lab"), {
      ...record(node, events),
      site,
      siteFile: join(folder, `${site}.yaml`),
      place,
    });
  }
}

suite("lab timeline", (test) => {
  test("of a lab that is down, as text, JSON and picture", async () => {
    await inTemporaryFolder(async (folder) => {
      leave(folder, "one");
      const text = await run(folder, { svg: "out/picture.svg" });
      assert.match(text, /^con01 +READY +41s/m);
      assert.match(text, /^com01: READY after 42s$/m);
      assert.match(text, /\ndrawn in out\/picture\.svg\n$/);
      assert.match(
        readFileSync(join(folder, "out", "picture.svg"), "utf8"),
        /^<\?xml[^>]*>\n<svg [^>]*First boot of one/,
      );
      const found = JSON.parse(await run(folder, { format: "json", nodes: ["com01"] }));
      assert.equal([found.site, found.length, found.nodes.length], ["one", 42, 1]);
      assert.equal(found.longest[0].name, "name of db");
    });
  });

  test("of several labs the one that is meant, by its site file", async () => {
    await inTemporaryFolder(async (folder) => {
      leave(folder, "one");
      leave(folder, "two");
      assert.match(
        await run(folder),
        /^refused: there are records of several sites below build: one, two; say which: --site FILE$/,
      );
      assert.match(await run(folder, { site: "two.yaml", format: "json" }), /"site": "two"/);
      assert.match(
        await run(folder, { site: "three.yaml" }),
        /^refused: nothing is known of a lab of this site; /,
      );
    });
  });

  test("what cannot be is said: no lab, no such node, no place for the picture, a damaged record", async () => {
    await inTemporaryFolder(async (folder) => {
      assert.match(await run(folder), /^refused: nothing is known of a lab of this site; seedsmith lab up/);
      leave(folder, "one");
      assert.is(
        await run(folder, { nodes: ["con1"] }),
        'refused: nothing is known of a node "con1"; did you mean "con01"?',
      );
      writeTree(folder, { file: "" });
      assert.match(
        await run(folder, { svg: "file/picture.svg" }),
        /^refused: file\/picture\.svg cannot be written: /,
      );
      writeTree(folder, { "build/one/lab/records/con01.json": "{" });
      assert.match(await run(folder), /^refused: .*con01\.json is damaged: .*; delete it/);
    });
  });
});

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { load } from "js-yaml";
import * as assert from "uvu/assert";
import {
  differenceFromGolden,
  exampleTargets,
  golden,
  goldens,
  listFiles,
  rendered,
  root,
} from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

suite("the example site", (test) => {
  test("every output is its golden, on every target", async () => {
    const wanted = [...(await goldens())].filter(([path]) => path.startsWith("example/"));
    assert.ok(wanted.length >= exampleTargets().length * 2 * 6);
    for (const [path, text] of wanted) assert.is(differenceFromGolden(path, text), null);
    assert.equal(
      listFiles(golden).filter((path) => path.startsWith("example/")),
      wanted.map(([path]) => path).sort(),
      "goldens are left over or missing: run npm run bless and review the diff",
    );
  });

  test("the runner in the seed is the one in guest/", async () => {
    const { nodes } = await rendered("example", root);
    const runner = readFileSync(join(root, "guest", "seedsmith-node"), "utf8");
    for (const artifacts of nodes.values()) {
      const bytes = artifacts.find(({ name }) => name === "user-data")?.bytes ?? new Uint8Array();
      const data = load(new TextDecoder().decode(bytes)) as {
        write_files: { path: string; encoding?: string; content: string }[];
      };
      const file = data.write_files.find(({ path }) => path === "/usr/local/sbin/seedsmith-node");
      assert.is(file?.encoding, "gz+b64");
      assert.is(gunzipSync(Buffer.from(file?.content ?? "", "base64")).toString("utf8"), runner);
    }
  });
});

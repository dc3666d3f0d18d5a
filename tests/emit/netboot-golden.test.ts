import * as assert from "uvu/assert";
import { differenceFromGolden, golden, listFiles, netbootGoldens } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

suite("netboot goldens", (test) => {
  test("what machines of sites/pxe read is its golden", async () => {
    const wanted = await netbootGoldens();
    for (const [path, text] of wanted) assert.is(differenceFromGolden(path, text), null);
    assert.equal(
      listFiles(golden).filter((path) => path.startsWith("netboot/")),
      [...wanted.keys()].sort(),
      "goldens are left over or missing: run npm run bless and review the diff",
    );
  });
});

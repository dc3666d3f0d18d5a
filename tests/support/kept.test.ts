import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { inTemporaryFolder } from "./build-site.ts";
import { kept } from "./kept.ts";
import { suite } from "./suite.ts";

suite("what tests keep in the cache", (test) => {
  const write =
    (text: string) =>
    async (folder: string): Promise<void> =>
      writeFileSync(join(folder, "file"), text);

  test("is made once", async () => {
    await inTemporaryFolder(async (cache) => {
      const place = join(cache, "things", "key");
      for (const text of ["first", "second"]) await kept(place, write(text));
      assert.is(readFileSync(join(place, "file"), "utf8"), "first");
      assert.equal(readdirSync(join(cache, "things")), ["key"]);
    });
  });

  test("is not there when it could not be made, and nothing is left over", async () => {
    await inTemporaryFolder(async (cache) => {
      const failing = kept(join(cache, "things", "key"), async (folder) => {
        await write("half")(folder);
        throw new Error("no space");
      });
      assert.is(await failing.catch((error: Error) => error.message), "no space");
      assert.equal(readdirSync(join(cache, "things")), []);
    });
  });

  test("is whole when somebody else made it meanwhile", async () => {
    await inTemporaryFolder(async (cache) => {
      const place = join(cache, "things", "key");
      await kept(place, async (folder) => {
        await write("mine")(folder);
        await kept(place, write("another's"));
      });
      assert.is(readFileSync(join(place, "file"), "utf8"), "another's");
      assert.equal(readdirSync(join(cache, "things")), ["key"]);
    });
  });
});

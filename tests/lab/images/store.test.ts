import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Image, useImage, usersOf } from "../../../src/lab/images/store.ts";
import { destroyFolder, Ledger } from "../../../src/lab/ledger.ts";
import { suite } from "../../support/suite.ts";

suite("an image in use", (test) => {
  test("is marked by a lab, and is free again when the lab is down", async () => {
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-store-"));
    try {
      mkdirSync(join(folder, "image"));
      const image = { disk: join(folder, "image", "disk.qcow2") } as Image;
      const lab = join(folder, "lab");
      useImage(image, Ledger.begin("t1", lab));
      assert.equal(
        usersOf(image, () => true),
        [lab],
      );
      await destroyFolder(lab);
      assert.equal(
        usersOf(image, () => true),
        [],
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

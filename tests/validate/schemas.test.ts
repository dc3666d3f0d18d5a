import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import * as assert from "uvu/assert";
import { schemaFiles } from "../../scripts/schemas.ts";
import { listFiles, root } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

suite("schemas", (test) => {
  test("schemas/ is what scripts/schemas.ts writes", () => {
    const files = schemaFiles();
    assert.equal(listFiles(join(root, "schemas")), [...files.keys()].sort());
    for (const [name, text] of files) {
      assert.is(
        readFileSync(join(root, "schemas", name), "utf8"),
        text,
        `schemas/${name} differs: run npm run schemas and review the diff`,
      );
    }
  });

  test("every schema is one that ajv compiles", () => {
    for (const text of schemaFiles().values()) {
      const ajv = new Ajv({ allowUnionTypes: true, strictRequired: false });
      assert.type(ajv.compile(JSON.parse(text)), "function");
    }
  });
});

import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { problemsPage } from "../scripts/problems.ts";
import { suite } from "./support/suite.ts";

suite("docs/problems.md", (test) => {
  test("is what scripts/problems.ts writes", () => {
    assert.fixture(
      readFileSync(join(import.meta.dirname, "..", "docs", "problems.md"), "utf8"),
      problemsPage(),
    );
  });
});

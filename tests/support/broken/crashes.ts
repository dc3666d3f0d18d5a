/** A test file that ends its process before its tests have run: the run must be red. */
import { suite } from "../suite.ts";

suite("crashes", (test) => {
  test("never ends", () => process.exit(0));
});

/** A test that waits for what never comes: the process ends, without totals, and the run must be red. */
import { suite } from "../suite.ts";

suite("waits", (test) => {
  test("for ever", () => new Promise(() => {}));
});

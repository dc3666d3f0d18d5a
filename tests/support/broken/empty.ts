/** A test file with a suite and no test: the run must be red. */
import { suite } from "../suite.ts";

suite("has no test", () => {});

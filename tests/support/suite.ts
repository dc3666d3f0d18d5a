import { type Test, suite as uvuSuite } from "uvu";

/** How many suites and tests the running file has defined; the runner refuses a test file that lacks them. */
export const defined = { suites: 0, tests: 0 };

/**
 * Defines a suite and runs it. uvu passes a file that forgets `.run()`; going through this function makes
 * that impossible.
 */
export function suite(name: string, build: (test: Test) => void): void {
  defined.suites += 1;
  const test = uvuSuite(name);
  const counted: Test = Object.assign((...args: Parameters<Test>): void => {
    defined.tests += 1;
    test(...args);
  }, test);
  build(counted);
  test.run();
}

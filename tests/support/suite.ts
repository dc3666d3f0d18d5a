import { type Test, suite as uvuSuite } from "uvu";

/** How many suites the running file has defined; the runner refuses a test file that defines none. */
export let suites = 0;

/**
 * Defines a suite and runs it. uvu passes a file that forgets `.run()`; going through this function makes
 * that impossible.
 */
export function suite(name: string, build: (test: Test) => void): void {
  suites += 1;
  const test = uvuSuite(name);
  build(test);
  test.run();
}

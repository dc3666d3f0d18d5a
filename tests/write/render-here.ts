/** Renders the site of a folder into its build/: `render-here.ts PACKAGE FOLDER`. */
import { render } from "../../src/commands/render.ts";
import { formatProblems } from "../../src/core/report.ts";

const [packageRoot = "", cwd = ""] = process.argv.slice(2);
render({
  packageRoot,
  cwd,
  site: null,
  target: null,
  profiles: [],
  nodes: [],
  out: "build",
  workerUrl: null,
}).then(({ problems }) => {
  process.stderr.write(formatProblems(problems, () => null));
  process.exitCode = problems.some(({ notice }) => notice !== true) ? 1 : 0;
});

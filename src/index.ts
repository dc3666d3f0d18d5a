/** What other programs may use. */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { loadReaders, makeLibrary } from "./commands/compile.ts";
import { Problems } from "./core/problem.ts";
import { formatProblems } from "./core/report.ts";
import { packRunner } from "./emit/cloud-config.ts";
import { type CompiledLibrary, readLibrary, readText } from "./load/library.ts";

import { checkReferences } from "./resolve/references.ts";
import { digest } from "./write/tree.ts";

export { compile } from "./commands/compile.ts";
export { openVault, render, renderInMemory } from "./commands/render.ts";
export { type Problem, Problems, problemCodes } from "./core/problem.ts";
export { formatProblems } from "./core/report.ts";
export type { NodePlan } from "./plan/model.ts";
export { readyMadeSource } from "./validate/ready-made.ts";

/**
 * Compiles the built-in library for the package's build: read, checked, with positions.
 * @returns the library (without the components' files), and a report that is empty when all is well
 */
export async function compileLibrary(
  root: string,
): Promise<{ library: Omit<CompiledLibrary, "files">; report: string }> {
  const { loadYaml, validate } = await loadReaders();
  const problems = new Problems();
  const entries = readLibrary(root, root, loadYaml, problems);
  for (const { kind, loaded } of entries) validate(kind, loaded, problems);
  const shown = "sites/example/site.yaml";
  const text = readText(join(root, shown), shown, problems);
  const example = text === null ? null : loadYaml(shown, text, problems);
  if (example !== null) validate("site", example, problems);
  const library = makeLibrary(
    entries.map((entry) => ({ ...entry, trusted: true })),
    new Set(),
    null,
    root,
    root,
    problems,
    null,
  );
  if (!problems.failed && example !== null)
    checkReferences(
      library,
      example,
      { problems, source: (file) => readText(join(root, file), file, new Problems()) },
      true,
    );
  const report = formatProblems(problems.list, (file) => readText(join(root, file), file, new Problems()));
  return {
    library: {
      entries: entries.map(({ kind, name, loaded, folder }) => ({
        kind,
        name,
        loaded,
        folder: relative(root, folder).split("\\").join("/"),
      })),
      packedRunner: packedRunner(readFileSync(join(root, "guest", "seedsmith-node"), "utf8")),
      example: example ?? { file: shown, value: null, marks: { v: [1, 1, 1] } },
    },
    report,
  };
}

function packedRunner(runner: string): CompiledLibrary["packedRunner"] {
  return { sha256: digest(Buffer.from(runner)), content: packRunner(runner) };
}

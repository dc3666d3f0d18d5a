/** Writes docs/problems.md from the table of codes; tests/problems.test.ts checks that it was run. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { problemCodes } from "../src/core/problem.ts";

/** The page's text. */
export function problemsPage(): string {
  const rows = Object.entries(problemCodes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, meaning]) => `| \`${code}\` | ${meaning} |`);
  return `# Problem codes

Every problem that seedsmith reports has one of these codes, a place (\`file:line:column\`, where a file is to
blame), what is wrong and what to do. \`--format json\` gives them as data. This page is written by
\`node --import tsx scripts/problems.ts\` from \`src/core/problem.ts\`.

| Code | Meaning |
|---|---|
${rows.join("\n")}
`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  writeFileSync(join(import.meta.dirname, "..", "docs", "problems.md"), problemsPage());
}

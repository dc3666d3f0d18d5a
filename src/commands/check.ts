/** `seedsmith check`: all that render does but the writing; with --tools the outside tools judge the result. */
import type { Problem } from "../core/problem.ts";
import { siteFiles } from "../emit/site-files.ts";
import type { ToolResult } from "../verify/tools.ts";
import { type Choice, type Compiled, compile } from "./compile.ts";
import { type NodeResult, openVault, renderInMemory } from "./render.ts";

export async function check(
  choice: Choice,
  tools: boolean,
): Promise<{
  compiled: Compiled;
  problems: readonly Problem[];
  tools: readonly ToolResult[];
  nodes: readonly NodeResult[];
  text: string;
}> {
  const compiled = await compile(choice);
  const { problems } = compiled;
  if (compiled.narrowed && compiled.site !== null) {
    for (const node of compiled.site.nodes) if (!compiled.chosen.includes(node)) compiled.plan?.plan(node);
  }
  // Secrets that do not exist yet are made in memory and forgotten: check writes nothing.
  const opened = compiled.plan === null ? null : openVault(compiled);
  let results: readonly NodeResult[] = [];
  let toolResults: readonly ToolResult[] = [];
  if (opened !== null) {
    const rendered = renderInMemory(compiled, opened.vault);
    results = rendered.results;
    if (tools && !problems.failed) {
      const { runSiteTools, runTools } = await import("../verify/tools.ts");
      toolResults = [
        ...(await runTools(rendered.nodes)),
        ...(compiled.site === null ? [] : runSiteTools(compiled.site.name, siteFiles(compiled.site))),
      ];
      for (const { tool, node, outcome, detail } of toolResults) {
        if (outcome === "failed")
          problems.add({
            code: "tool-failed",
            at: null,
            message: `${tool} refuses what was rendered for ${node}: ${detail}`,
            hint: "this is a defect of seedsmith unless your own cloud_config or files are to blame",
          });
        if (outcome === "skipped")
          problems.add({
            code: "tool-skipped",
            at: null,
            message: `${tool} was skipped: ${detail}`,
            notice: true,
          });
      }
    }
  }
  const lines = results
    .slice(0, 50)
    .flatMap((node) => [
      `${node.node}  ${node.target}  ${node.packages} packages, ${node.files} files, ${node.steps} steps, ${node.checks} checks  seed.iso ${node.isoSize} bytes`,
      ...(node.install === null
        ? []
        : [`  installs: ${node.install.title}`, ...node.install.disks.map((disk) => `    ${disk}`)]),
    ]);
  if (results.length > 50) lines.push(`... and ${results.length - 50} more nodes`);
  const count = (outcome: ToolResult["outcome"]): number =>
    toolResults.filter((one) => one.outcome === outcome).length;
  if (tools)
    lines.push(`tools: ${count("passed")} passed, ${count("failed")} failed, ${count("skipped")} skipped`);
  lines.push("no problems; nothing was written");
  return {
    compiled,
    problems: problems.list,
    tools: toolResults,
    nodes: results,
    text: `${lines.join("\n")}\n`,
  };
}

import { longPosition, type Position } from "./position.ts";
import type { Problem } from "./problem.ts";

/** Gives the text of a file for excerpts, or null when it cannot be had. */
export type SourceText = (file: string) => string | null;

/**
 * Formats problems as a person reads them: code, place, excerpt with the spot underlined, hint.
 * @param source reads a file for the excerpt; never called for a problem without place
 */
export function formatProblems(problems: readonly Problem[], source: SourceText): string {
  const sorted = [...problems].sort(compareProblems);
  return sorted.map((problem) => formatProblem(problem, source)).join("\n");
}

function formatProblem(problem: Problem, source: SourceText): string {
  const lines = [`${problem.notice === true ? "notice" : "error"}[${problem.code}]: ${problem.message}`];
  if (problem.at !== null) lines.push(...excerpt(problem.at, problem.secret === true ? () => null : source));
  for (const other of problem.also ?? []) {
    lines.push(`  ${other.label}:`, ...excerpt(other.at, source));
  }
  if (problem.hint !== undefined) lines.push(`  hint: ${problem.hint}`);
  return `${lines.join("\n")}\n`;
}

function excerpt(at: Position, source: SourceText): string[] {
  const lines = [` --> ${longPosition(at)}`];
  const content = source(at.file)?.split("\n")[at.line - 1];
  if (content === undefined) return lines;
  const shown = content.replaceAll("\t", " ").replace(/\r$/, "");
  // A very long line is cut around the spot.
  const start = at.column > 100 ? at.column - 60 : 0;
  const cut = shown.slice(start, start + 140);
  const gutter = String(at.line);
  const length = Math.max(1, Math.min(at.length ?? 1, cut.length - (at.column - 1 - start)));
  lines.push(`${gutter} | ${cut}`);
  lines.push(
    `${" ".repeat(gutter.length)} | ${" ".repeat(Math.max(0, at.column - 1 - start))}${"^".repeat(length)}`,
  );
  return lines;
}

/** By file, line, column, so that reports read from top to bottom and never depend on the order of discovery. */
function compareProblems(a: Problem, b: Problem): number {
  if (a.at === null || b.at === null) return (a.at === null ? 0 : 1) - (b.at === null ? 0 : 1);
  return (
    compareText(a.at.file, b.at.file) ||
    a.at.line - b.at.line ||
    a.at.column - b.at.column ||
    compareText(a.message, b.message)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Problems for `--format json`. */
export function problemsAsJson(problems: readonly Problem[]): unknown[] {
  return [...problems].sort(compareProblems).map(({ code, at, message, hint, also, notice }) => ({
    code,
    severity: notice === true ? "notice" : "error",
    file: at?.file ?? null,
    line: at?.line ?? null,
    column: at?.column ?? null,
    message,
    hint: hint ?? null,
    also: also ?? [],
  }));
}

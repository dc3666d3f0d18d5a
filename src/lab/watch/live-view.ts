/** The view on a terminal: a row a node, drawn again in place. */
import type { NodeProgress, Phase } from "./progress.ts";
import type { Terminal, View, WatchResult } from "./view.ts";
import { count, doing, doingSince, eventLine, oneLine, resultText, type SourceLine, span } from "./words.ts";

/** Cuts a text to a number of columns, with an ellipsis; wide and coloured characters count as they show. */
type Truncate = (text: string, columns: number) => string;

/** Where a wide character meets the edge, cli-truncate may give one column too many. */
export function fitting(truncate: Truncate, width: (text: string) => number): Truncate {
  return (text, columns) => {
    if (columns < 1) return "";
    const cut = truncate(text, columns);
    return width(cut) <= columns ? cut : truncate(text, columns - 1);
  };
}

interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** What is worth a row most when there are fewer rows than nodes. */
const importance: Readonly<Record<Phase, number>> = {
  failed: 0,
  running: 1,
  rebooting: 2,
  booting: 3,
  ready: 4,
};
const colours: Readonly<Record<Phase, number>> = {
  failed: 31,
  running: 36,
  rebooting: 33,
  booting: 2,
  ready: 32,
};
const barWidth = 12;

function bar({ done, of, phase }: NodeProgress): string {
  const share = phase === "ready" ? 1 : of === null || of === 0 ? 0 : Math.min(1, done / of);
  // Only what is READY looks full.
  const full = phase === "ready" ? barWidth : Math.min(barWidth - 1, Math.floor(share * barWidth));
  return "█".repeat(full) + "░".repeat(barWidth - full);
}

/**
 * All nodes as lines that fit a terminal; pure.
 * @param now ms since 1970
 * @param paint puts a text into a colour, by its SGR number
 */
export function frame(
  nodes: readonly NodeProgress[],
  now: number,
  { columns, rows }: Size,
  truncate: Truncate,
  paint: (text: string, colour: number) => string = (text) => text,
): string[] {
  // The last line stays free for the cursor.
  const room = Math.max(1, rows - 2);
  const two = nodes.length * 2 <= room && columns >= 40;
  const fits = two || nodes.length <= room ? nodes.length : Math.max(1, room - 1);
  const chosen = new Set(
    [...nodes]
      .sort((a, b) => importance[a.phase] - importance[b.phase])
      .slice(0, fits)
      .map(({ node }) => node),
  );
  const shown = nodes.filter(({ node }) => chosen.has(node));
  const nameWidth = Math.min(
    Math.max(...shown.map(({ node }) => node.length), 1),
    Math.max(8, Math.floor(columns / 4)),
  );
  const countWidth = Math.max(0, ...shown.map((state) => count(state).length));
  const lines: string[] = [];
  for (const state of shown) {
    const name = truncate(state.node, nameWidth).padEnd(nameWidth);
    const since =
      state.phase === "ready" || state.phase === "failed"
        ? (state.ended ?? now) - state.since
        : now - doingSince(state);
    const parts = [
      name,
      ...(columns >= 70 ? [bar(state)] : []),
      ...(countWidth === 0 ? [] : [count(state).padStart(countWidth)]),
      span(since).padStart(6),
    ];
    const head = parts.join("  ");
    const last =
      state.phase === "failed"
        ? oneLine(state.failure?.message ?? "")
        : state.phase === "ready"
          ? ""
          : oneLine(state.lastLine);
    const rest = Math.max(0, columns - head.length - 2);
    const what = doing(state);
    const behind = !two && last !== "" && rest - what.length > 12 ? `: ${last}` : "";
    const text = rest < 4 ? "" : truncate(`${what}${behind}`, rest);
    const split = Math.min(text.length, what.length);
    lines.push(
      truncate(
        `${head}  ${paint(text.slice(0, split), colours[state.phase])}${text.slice(split)}`.trimEnd(),
        columns,
      ),
    );
    if (two && last !== "") lines.push(paint(truncate(`    ${last}`, columns), 2));
  }
  const hidden = nodes.filter(({ node }) => !chosen.has(node));
  if (hidden.length > 0) lines.push(truncate(`and ${hidden.length} more: ${tally(hidden)}`, columns));
  const begin = Math.min(...nodes.map(({ since }) => since));
  lines.push(
    truncate(
      paint(
        `${nodes.length} ${nodes.length === 1 ? "node" : "nodes"}: ${tally(nodes)}; ${span(now - begin)}`,
        2,
      ),
      columns,
    ),
  );
  return lines;
}

/** `3 running, 1 booting`. */
function tally(nodes: readonly NodeProgress[]): string {
  return Object.keys(importance)
    .map((phase) => ({ phase, number: nodes.filter((state) => state.phase === phase).length }))
    .filter(({ number }) => number > 0)
    .map(({ phase, number }) => `${number} ${phase === "ready" ? "READY" : phase}`)
    .join(", ");
}

/**
 * A view that draws in place. Retries and failures also stay as lines above the drawing, so that they can be read
 * when the next step has begun.
 * @param begin ms since 1970
 */
export async function liveView(
  out: Terminal & NodeJS.WritableStream,
  begin: number,
  source?: SourceLine,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<View> {
  // Loaded here, as nothing else of the program needs them.
  const [{ createLogUpdate }, { default: cliTruncate }, { default: stringWidth }] = await Promise.all([
    import("log-update"),
    import("cli-truncate"),
    import("string-width"),
  ]);
  const update = createLogUpdate(out as NodeJS.WritableStream);
  const truncate = fitting(cliTruncate, stringWidth);
  const coloured = (environment.NO_COLOR ?? "") === "";
  const paint = (text: string, colour: number): string =>
    coloured && text !== "" ? `\x1b[${colour}m${text}\x1b[0m` : text;
  const size = (): Size => ({ columns: out.columns ?? 80, rows: out.rows ?? 24 });
  let last: readonly NodeProgress[] = [];
  let shown: { readonly lines: readonly string[]; readonly columns: number } = { lines: [], columns: 0 };
  /** Erases the drawing. Terminals that became narrower have broken its lines: then it takes more rows than it had. */
  const clear = (): void => {
    update.clear();
    const { columns } = size();
    if (columns < shown.columns) {
      const more = shown.lines.map((line) => Math.max(1, Math.ceil(stringWidth(line) / columns)) - 1);
      out.write("\x1b[1A\x1b[2K".repeat(more.reduce((sum, rows) => sum + rows, 0)));
    }
    shown = { lines: [], columns };
  };
  const draw = (now: number): void => {
    if (last.length === 0) return;
    const { columns } = size();
    if (columns !== shown.columns) clear();
    const lines = frame(last, now, size(), truncate, paint);
    update(lines.join("\n"));
    shown = { lines, columns };
  };
  const stay = (line: string, now: number): void => {
    clear();
    out.write(`${line}\n`);
    draw(now);
  };
  return {
    event(event, progress, now): void {
      if (event.event !== "step-retry" && event.event !== "check-fail" && event.event !== "reboot") return;
      const line = eventLine(event);
      if (line !== null)
        stay(truncate(`[${span(now - begin).padStart(6)}] ${progress.node}: ${line}`, size().columns), now);
    },
    draw(nodes, now): void {
      last = nodes;
      draw(now);
    },
    note(line): void {
      stay(line, Date.now());
    },
    close(result: WatchResult, now): void {
      clear();
      update.done();
      out.write(resultText(result, now, source));
    },
  };
}

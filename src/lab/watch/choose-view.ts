/** Which view a command gets. */
import { jsonView, plainView } from "./line-views.ts";
import type { Terminal, View } from "./view.ts";
import type { SourceLine } from "./words.ts";

/**
 * The view for a command: JSON lines on standard output for programs; else on standard error, drawn in place on a
 * terminal, plain lines where there is none.
 * @param source reads the line that a failure is blamed on
 */
export async function viewFor(
  format: "text" | "json",
  source: SourceLine,
  out: Terminal = process.stdout,
  err: Terminal & NodeJS.WritableStream = process.stderr,
): Promise<View> {
  const begin = Date.now();
  if (format === "json") return jsonView(out);
  if (err.isTTY !== true || process.env.TERM === "dumb") return plainView(err, begin, source);
  // Loaded only where it draws.
  const { liveView } = await import("./live-view.ts");
  return await liveView(err, begin, source);
}

/** `seedsmith serve`, `watch` and `reinstall`: where each is, and what is said when the host is in the way. */
import { exit } from "../core/exit.ts";
import { LabError } from "../lab/command.ts";
import type { ServeRequest } from "./serve/request.ts";

const commands: Readonly<Record<string, () => Promise<(request: ServeRequest) => Promise<number>>>> = {
  serve: async () => (await import("./serve/serve.ts")).serve,
  watch: async () => (await import("./serve/watch.ts")).watch,
  reinstall: async () => (await import("./serve/reinstall.ts")).reinstall,
};

/**
 * Runs a command of the boot server.
 * @returns the exit code; what the host lacks or refuses is said and is 3
 */
export async function runServe(command: string, request: ServeRequest): Promise<number> {
  try {
    const load = commands[command];
    if (load === undefined) throw new Error(`there is no command ${command}`);
    return await (await load())(request);
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    if (request.format === "json")
      process.stdout.write(
        `${JSON.stringify({ ok: false, error: error.message, hint: error.hint }, null, 2)}\n`,
      );
    else {
      process.stderr.write(`error: ${error.message}\n`);
      if (error.hint !== null) process.stderr.write(`  hint: ${error.hint}\n`);
    }
    return exit.tool;
  }
}

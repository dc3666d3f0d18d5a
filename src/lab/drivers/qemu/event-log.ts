/**
 * The runner's event log of a machine, mirrored on this side. A look from time to time would cost a slow machine
 * a login each; so one connection stays and brings what is added. What was read is kept for when the machine is
 * off.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, fstatSync, openSync, readFileSync, writeSync } from "node:fs";
import { run } from "../../command.ts";
import { eventLog } from "../../events.ts";

/** Appends to a mirror what comes from an offset on: several writers write the same bytes to the same place. */
class Mirror {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  get size(): number {
    return existsSync(this.path) ? readFileSync(this.path).length : 0;
  }

  write(bytes: Buffer, at: number): void {
    const file = openSync(this.path, existsSync(this.path) ? "r+" : "w+", 0o600);
    try {
      // Never a hole: what would make one is brought again.
      if (fstatSync(file).size >= at) writeSync(file, bytes, 0, bytes.length, at);
    } finally {
      closeSync(file);
    }
  }
}

interface Following {
  readonly child: ChildProcess;
  ended: boolean;
}

const following = new Map<string, Following>();
const lastTry = new Map<string, number>();

/** Milliseconds between two attempts to reach a machine. */
const pause = 2000;

process.on("exit", () => {
  for (const { child } of following.values()) child.kill();
});

/**
 * Brings the mirror up to date, and keeps it so while this process lives. The first call waits for what there is;
 * a machine that cannot be reached is left for a later one.
 * @param command gives the command line that runs another one in the machine
 * @param signal ends the first call's wait
 */
export async function mirrorEvents(
  path: string,
  command: (argv: readonly string[]) => string[],
  signal: AbortSignal,
): Promise<void> {
  const mirror = new Mirror(path);
  const known = following.get(path);
  if (known !== undefined && !known.ended) return;
  if (Date.now() - (lastTry.get(path) ?? 0) < pause) return;
  lastTry.set(path, Date.now());
  const have = mirror.size;
  // Until the log is there, and for the first look: all at once.
  const look = command(["sh", "-c", `test ! -e ${eventLog} || tail -c +${have + 1} ${eventLog}`]);
  const got = await run(look, { timeout: 90, signal }).catch(() => null);
  lastTry.set(path, Date.now());
  if (got === null || got.status !== 0 || signal.aborted) return;
  if (got.stdout !== "") mirror.write(Buffer.from(got.stdout), have);
  let at = mirror.size;
  const [program = "", ...args] = command(["tail", "-c", `+${at + 1}`, "-F", eventLog]);
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
  const entry: Following = { child, ended: false };
  following.set(path, entry);
  child.stdout.on("data", (bytes: Buffer) => {
    mirror.write(bytes, at);
    at += bytes.length;
  });
  const over = (): void => {
    entry.ended = true;
  };
  child.on("error", over);
  child.on("close", over);
  // Neither holds this process back from its end.
  child.unref();
  (child.stdout as unknown as { unref(): void }).unref();
}

/** Lets go of a machine's log. */
export function endMirror(path: string): void {
  following.get(path)?.child.kill();
  following.delete(path);
  lastTry.delete(path);
}

/** Runs host tools: always an argument vector, never a shell line. */
import { spawn } from "node:child_process";
import { constants } from "node:os";

/**
 * Seconds to wait for what the kernel does by itself once it was told to: a process ends, a mount or a link is free, a
 * folder is empty. It takes milliseconds, and half a minute on a host whose disk or processors are taken.
 */
export const patience = 60;

/**
 * A host tool or capability is missing or failed. Labs touch the host, so unlike in the compiler this is no
 * bug of ours; the command line answers it with exit code 3.
 */
export class LabError extends Error {
  override readonly name = "LabError";
  /** What to do about it, or null. */
  readonly hint: string | null;

  constructor(message: string, hint: string | null = null) {
    super(message);
    this.hint = hint;
  }
}

/** What a command left behind. */
export interface Finished {
  /** Exit status; 128 + the signal's number is not invented: `signal` says it. */
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** What it reads; `null`: what this process reads. */
  readonly stdin?: string | null;
  /** Seconds; then the command is killed and counts as failed. */
  readonly timeout?: number;
  /** Kills the command, which then counts as ended by that. */
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Called with what it prints, as it comes; all of it is in the result, too. */
  readonly onOutput?: (stream: "stdout" | "stderr", text: string) => void;
  /** Called with each full line of stderr while it runs. */
  readonly onLine?: (line: string) => void;
}

/** Why a program does not start, in words. A folder of PATH that may not be read looks like a program that may not be run. */
function notStarted(program: string, { code, message }: NodeJS.ErrnoException): string {
  if (code === "ENOENT") return `${program} is not installed`;
  return code === "EACCES" ? `${program} is not installed, or not for this user` : `${program}: ${message}`;
}

/**
 * Runs a command to its end.
 * @returns its status and output, whatever the status is
 * @throws LabError when it cannot be started or takes longer than `timeout`
 */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [program, ...args] = argv;
  if (program === undefined) throw new Error("run() needs a program");
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: [options.stdin === null ? "inherit" : "pipe", "pipe", "pipe"],
      env: options.env ?? process.env,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    let stdout = "";
    let stderr = "";
    let shown = 0;
    let late = false;
    const timer =
      options.timeout === undefined
        ? null
        : setTimeout(() => {
            late = true;
            child.kill("SIGKILL");
          }, options.timeout * 1000);
    const stop = (): void => void child.kill("SIGKILL");
    if (options.signal?.aborted === true) stop();
    options.signal?.addEventListener("abort", stop);
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      options.onOutput?.("stdout", text);
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
      options.onOutput?.("stderr", text);
      for (let end = stderr.indexOf("\n", shown); end >= 0; end = stderr.indexOf("\n", shown)) {
        options.onLine?.(stderr.slice(shown, end));
        shown = end + 1;
      }
    });
    // A tool that does not read its input closes the pipe; its status tells enough.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.stdin ?? "");
    child.on("error", (error: NodeJS.ErrnoException) => {
      if (timer !== null) clearTimeout(timer);
      reject(new LabError(notStarted(program, error)));
    });
    child.on("close", (status, signal) => {
      if (timer !== null) clearTimeout(timer);
      options.signal?.removeEventListener("abort", stop);
      if (late) reject(new LabError(`no end after ${options.timeout} s: ${argv.join(" ")}`));
      else resolve({ status, signal, stdout, stderr });
    });
  });
}

/**
 * Runs a command in this process's place, as far as that goes: with its input, output and terminal, byte for byte.
 * Ctrl-C is the command's affair; what else would end this process ends the command.
 * @param timeout seconds; then it is killed
 * @returns its status; 128 and the signal's number when a signal ended it
 * @throws LabError when it cannot be started
 */
export function standIn(argv: readonly string[], timeout: number | null): Promise<number> {
  const [program = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: "inherit" });
    const timer = timeout === null ? null : setTimeout(() => child.kill("SIGKILL"), timeout * 1000);
    const ignore = (): void => {};
    const end = (): void => void child.kill("SIGTERM");
    for (const name of ["SIGINT", "SIGQUIT"] as const) process.on(name, ignore);
    for (const name of ["SIGTERM", "SIGHUP"] as const) process.on(name, end);
    const over = (): void => {
      if (timer !== null) clearTimeout(timer);
      for (const name of ["SIGINT", "SIGQUIT"] as const) process.off(name, ignore);
      for (const name of ["SIGTERM", "SIGHUP"] as const) process.off(name, end);
    };
    child.on("error", (error: NodeJS.ErrnoException) => {
      over();
      reject(new LabError(notStarted(program, error)));
    });
    child.on("close", (status, signal) => {
      over();
      resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

/**
 * Runs a command that has to succeed.
 * @returns what it printed on stdout
 * @throws LabError with the command and what it printed on stderr
 */
export async function must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const done = await run(argv, options);
  if (done.status !== 0) {
    const how = done.signal ?? `status ${done.status}`;
    const said = (done.stderr.trim() || done.stdout.trim()).split("\n").slice(-12).join("\n");
    throw new LabError(`${argv.join(" ")}: ${how}${said === "" ? "" : `\n${said}`}`);
  }
  return done.stdout;
}

/** Waits. */
export function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

/**
 * Tries until `probe` gives something other than null.
 * @param timeout seconds
 * @returns what the probe gave, or null when time ran out
 */
export async function poll<T>(
  timeout: number,
  probe: () => T | null | Promise<T | null>,
  every = 0.1,
): Promise<T | null> {
  for (const end = Date.now() + timeout * 1000; ; ) {
    const found = await probe();
    if (found !== null) return found;
    if (Date.now() >= end) return null;
    await sleep(every);
  }
}

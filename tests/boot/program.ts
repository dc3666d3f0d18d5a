/** `seedsmith` as a person calls it, in a workspace. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { cache } from "./lab.ts";
import { repository, type Workspace } from "./rendered.ts";

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The program while it runs. */
export class Command {
  out = "";
  err = "";
  readonly child: ChildProcess;
  readonly done: Promise<Outcome>;

  /** @param env beyond this process's */
  constructor(workspace: Workspace, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(process.execPath, [join(repository, "dist", "cli.js"), ...args], {
      cwd: workspace.folder,
      env: { ...process.env, SEEDSMITH_CACHE: cache, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.out += text;
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.err += text;
    });
    this.done = new Promise((resolve) => {
      this.child.on("close", (code) => resolve({ code, out: this.out, err: this.err }));
    });
  }
}

/** Runs it to its end. */
export function run(workspace: Workspace, ...args: readonly string[]): Promise<Outcome> {
  return new Command(workspace, args).done;
}

/** Where the lab of a workspace's site is. */
export function labOf(workspace: Workspace, site = "boot"): string {
  return join(workspace.folder, "build", site, "lab");
}

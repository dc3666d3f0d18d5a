/** What the commands of the boot server are given. */
import type { Problem } from "../../core/problem.ts";
import type { Choice, Compiled } from "../compile.ts";

/** A command line of `serve`, `watch` or `reinstall`. */
export interface ServeRequest {
  readonly choice: Choice;
  /** The output folder as it was given. */
  readonly out: string;
  readonly format: "text" | "json";
  /** Where to listen instead of where the site says: `ADDRESS:PORT`. */
  readonly listen: string | null;
  readonly dhcp: boolean;
  /** Whether seeds are asked for by token. */
  readonly tokens: boolean;
  /** Of the server, for `watch`. */
  readonly url: string | null;
  /** Prints problems of the input as every command does, and gives the exit code. */
  readonly problems: (compiled: Compiled, problems: readonly Problem[], data: object) => number;
}

/** Reaching into a machine by ssh. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { must, run } from "../../command.ts";

/** How a machine is reached. */
export interface Way {
  /** Runs ssh where the machine can be reached: nothing, or the command that enters the lab's network. */
  readonly within: readonly string[];
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The lab's own key, or null: then a person's own keys are tried. */
  readonly key: string | null;
  /** Where the machine's host keys are remembered. */
  readonly known: string;
  /** Socket by which one connection serves many commands, or null. */
  readonly shared: string | null;
}

/** An argument for a shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The command line of ssh, without a command to run. */
export function sshCommand(way: Way): string[] {
  const option = (text: string) => ["-o", text];
  return [
    ...way.within,
    ...["ssh", ...(way.port === 22 ? [] : ["-p", String(way.port)])],
    // The machine's keys were made by its first boot; whoever has them keeps them.
    ...option("StrictHostKeyChecking=accept-new"),
    ...option(`UserKnownHostsFile=${way.known}`),
    ...(way.key === null ? [] : ["-i", way.key, ...option("IdentitiesOnly=yes")]),
    `${way.user}@${way.host}`,
  ];
}

/**
 * The command line of ssh that runs a command as root, asking nobody anything.
 * @param argv the command; it reaches the machine word by word
 * @param tty whether it gets a terminal, as this process has one
 */
export function remoteCommand(way: Way, argv: readonly string[], tty = false): string[] {
  const command = sshCommand(way);
  const target = command.pop() ?? "";
  const options = ["BatchMode=yes", "LogLevel=ERROR", "ConnectTimeout=60", "ServerAliveInterval=15"];
  // A configuration of this user's may say anything; the lab's own key needs none.
  if (way.key !== null) command.push("-F", "/dev/null");
  if (way.shared !== null)
    options.push("ControlMaster=auto", `ControlPath=${way.shared}`, "ControlPersist=120");
  const words = way.user === "root" ? argv : ["sudo", "-n", "--", ...argv];
  return [
    ...[...command, ...(tty ? ["-t"] : []), ...options.flatMap((text) => ["-o", text])],
    ...[target, "--", words.map(quoted).join(" ")],
  ];
}

/** Makes the lab's key where there is none. */
export async function makeKey(folder: string, comment: string): Promise<string> {
  const path = join(folder, "key");
  if (!existsSync(path))
    await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path]);
  return path;
}

/** Ends a connection that serves many commands. */
export async function hangUp(way: Way): Promise<void> {
  if (way.shared === null || !existsSync(way.shared)) return;
  await run(["ssh", "-o", `ControlPath=${way.shared}`, "-O", "exit", way.host], { timeout: 10 }).catch(
    () => {},
  );
}

/** `seedsmith lab exec NODE -- COMMAND` */
import { constants } from "node:os";
import { LabError, standIn } from "../../lab/command.ts";
import { machineNamed, openLab } from "./find.ts";
import type { LabRequest } from "./request.ts";
import { printJson } from "./request.ts";

/** Seconds that a command may take whose output goes nowhere before its end. */
const patience = 3600;

/**
 * Runs a command on a node, with this command's input, output and, where both are one, terminal. The exit code is the
 * command's.
 */
export async function exec(request: LabRequest): Promise<number> {
  const { state, driver } = await openLab(request);
  const [node = "", ...argv] = request.positionals;
  const machine = machineNamed(state, node);
  if (request.format === "json") {
    const timeout = request.timeout ?? patience;
    // A terminal is not for programs, and what is typed at one is not for the node.
    const stdin = process.stdin.isTTY ? "" : null;
    const done = await driver.exec(state.lab, machine.name, argv, { timeout, stdin });
    printJson({ node, ...done });
    return done.status ?? 128 + (done.signal === null ? 0 : constants.signals[done.signal]);
  }
  const tty = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const { timeout } = request;
  // Ended on the node: whatever carries the command there would leave it running. --foreground leaves it the terminal.
  const limit =
    timeout === null ? [] : ["timeout", ...(tty ? ["--foreground"] : []), "--kill-after=5", String(timeout)];
  const began = Date.now();
  const command = await driver.entering(state.lab, machine.name, [...limit, ...argv], tty);
  const status = await standIn(command, timeout === null ? null : timeout + 15);
  if (timeout !== null && Date.now() - began >= timeout * 1000)
    throw new LabError(`no end after ${timeout} s: ${argv.join(" ")}`);
  return status;
}

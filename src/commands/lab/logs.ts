/** `seedsmith lab logs NODE` */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { exit } from "../../core/exit.ts";
import { sleep } from "../../lab/command.ts";
import { plain } from "../../lab/console.ts";
import { machineNamed, openLab } from "./find.ts";
import { type LabRequest, printJson } from "./request.ts";

/** What was added to a file after an offset; nothing while it does not exist. */
function added(path: string, offset: number): Buffer {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return Buffer.alloc(0);
  }
  try {
    const buffer = Buffer.alloc(Math.max(0, Math.min(fstatSync(file).size - offset, 2 ** 20)));
    return buffer.subarray(0, readSync(file, buffer, 0, buffer.length, offset));
  } finally {
    closeSync(file);
  }
}

/** Prints a node's console. */
export async function logs(request: LabRequest): Promise<number> {
  const { state, driver } = await openLab(request);
  const machine = machineNamed(state, request.positionals[0] ?? "");
  const path = driver.console(state.lab, machine.name);
  let offset = 0;
  const next = (): string => {
    let text = "";
    for (;;) {
      const bytes = added(path, offset);
      if (bytes.length === 0) return text;
      // Whole lines, so that neither a character nor an escape sequence is cut.
      const end = bytes.lastIndexOf(10) + 1 || (bytes.length === 2 ** 20 ? bytes.length : 0);
      if (end === 0) return text;
      offset += end;
      text += plain(bytes.subarray(0, end).toString("utf8"));
    }
  };
  if (request.format === "json") {
    printJson({ node: machine.name, path, lines: next().split("\n").slice(0, -1) });
    return exit.fine;
  }
  for (;;) {
    // Before the log: what it printed before it went off is then still read.
    const { power } = await driver.state(state.lab, machine.name);
    process.stdout.write(next());
    if (!request.follow || power === "off" || power === "dead") return exit.fine;
    await sleep(0.25);
  }
}

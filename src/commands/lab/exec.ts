/** `seedsmith lab exec NODE -- COMMAND` */
import { constants } from "node:os";
import { machineNamed, openLab } from "./find.ts";
import type { LabRequest } from "./request.ts";
import { printJson } from "./request.ts";

/** Runs a command on a node; its output and exit code are the command's. */
export async function exec(request: LabRequest): Promise<number> {
  const { state, driver } = await openLab(request);
  const [node = "", ...argv] = request.positionals;
  const machine = machineNamed(state, node);
  const seen = { stdout: 0, stderr: 0 };
  const done = await driver.exec(state.lab, machine.name, argv, {
    timeout: request.timeout ?? 3600,
    ...(request.format === "json"
      ? {}
      : {
          onOutput(stream, text): void {
            seen[stream] += text.length;
            process[stream].write(text);
          },
        }),
  });
  if (request.format === "json") printJson({ node, ...done });
  else {
    // Of a driver that gives it only at the end.
    if (seen.stdout === 0) process.stdout.write(done.stdout);
    if (seen.stderr === 0) process.stderr.write(done.stderr);
  }
  return done.status ?? 128 + (done.signal === null ? 0 : constants.signals[done.signal]);
}

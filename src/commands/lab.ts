/** `seedsmith lab VERB` and `seedsmith test`: where each verb is, and what is said when the host is in the way. */
import { exit } from "../core/exit.ts";
import { LabError } from "../lab/command.ts";
import { type LabRequest, printJson, type Verb } from "./lab/request.ts";

const verbs: Readonly<Record<string, () => Promise<Verb>>> = {
  test: async () => (await import("./lab/test.ts")).test,
  "lab check": async () => (await import("./lab/check.ts")).check,
  "lab up": async () => (await import("./lab/up.ts")).up,
  "lab status": async () => (await import("./lab/status.ts")).status,
  "lab exec": async () => (await import("./lab/exec.ts")).exec,
  "lab logs": async () => (await import("./lab/logs.ts")).logs,
  "lab down": async () => (await import("./lab/down.ts")).down,
  "lab images": async () => (await import("./lab/images.ts")).images,
  "lab timeline": async () => (await import("./lab/timeline.ts")).timeline,
  "lab doctor": async () => (await import("./lab/doctor.ts")).doctor,
};

/** What the host's disk refuses is no defect of ours. */
function fromHost(error: Error): Error {
  const { code, path } = error as NodeJS.ErrnoException;
  const reasons: Readonly<Record<string, string>> = {
    ENOSPC: "the disk is full",
    EDQUOT: "the quota is used up",
    EROFS: "the file system is read-only",
    EACCES: "permission denied",
    EPERM: "permission denied",
  };
  const reason = reasons[code ?? ""];
  if (error instanceof LabError || reason === undefined) return error;
  return new LabError(
    `${path ?? "the lab's folder"} cannot be written: ${reason}`,
    "mend that, then seedsmith lab down, and try again",
  );
}

/**
 * Runs a verb.
 * @param command such as `lab up`
 * @returns the exit code; what the host lacks or refuses is said and is 3
 */
export async function runLab(command: string, request: LabRequest): Promise<number> {
  try {
    const load = verbs[command];
    if (load === undefined) throw new LabError(`${command} is not there yet`);
    return await (await load())(request);
  } catch (caught) {
    const error = caught instanceof Error ? fromHost(caught) : caught;
    if (!(error instanceof LabError)) throw caught;
    if (request.format === "json") printJson({ ok: false, error: error.message, hint: error.hint });
    else {
      process.stderr.write(`error: ${error.message}\n`);
      if (error.hint !== null) process.stderr.write(`  hint: ${error.hint}\n`);
    }
    return exit.tool;
  }
}

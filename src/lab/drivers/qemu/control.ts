/** Asking and telling a running qemu: its machine protocol, QMP, over a socket of the file system. */
import { createConnection } from "node:net";
import { LabError, patience } from "../../command.ts";

/** A connection to a qemu. */
export interface Control {
  /** Runs a command and gives what it returns. @throws LabError with qemu's own words */
  run(command: string, argument?: object): Promise<unknown>;
  /** Runs a command line of the monitor for people, for what the protocol lacks; gives what it prints. */
  monitor(line: string): Promise<string>;
}

type Answer = {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly QMP?: object;
};

/**
 * Connects to a qemu, does something, and lets go: it talks to one at a time.
 * @param timeout seconds, for everything together
 * @throws LabError when nobody answers, or the connection ends before the work does
 */
export async function controlling<T>(
  socket: string,
  work: (control: Control) => Promise<T>,
  timeout = patience,
): Promise<T> {
  const connection = createConnection(socket);
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let buffered = "";
  let greeted = () => {};
  let broken: (error: Error) => void = () => {};
  const greeting = new Promise<void>((resolve) => {
    greeted = resolve;
  });
  const end = new Promise<never>((_, reject) => {
    broken = (error) => {
      for (const { reject: give } of waiting.values()) give(error);
      reject(error);
    };
  });
  end.catch(() => {});
  connection.setEncoding("utf8");
  connection.on("data", (text: string) => {
    buffered += text;
    for (let at = buffered.indexOf("\n"); at >= 0; at = buffered.indexOf("\n")) {
      const line = buffered.slice(0, at);
      buffered = buffered.slice(at + 1);
      let answer: Answer;
      try {
        answer = JSON.parse(line) as Answer;
      } catch {
        continue;
      }
      if (answer.QMP !== undefined) greeted();
      const asked = answer.id === undefined ? undefined : waiting.get(answer.id);
      if (asked === undefined || answer.id === undefined) continue;
      waiting.delete(answer.id);
      if (answer.error === undefined) asked.resolve(answer.return);
      else asked.reject(new LabError(`qemu: ${answer.error.desc}`));
    }
  });
  connection.on("error", (error) => broken(new LabError(`qemu cannot be asked: ${error.message}`)));
  connection.on("close", () => broken(new LabError("qemu ended the connection")));
  const timer = setTimeout(
    () => broken(new LabError(`qemu does not answer within ${timeout} s`)),
    timeout * 1000,
  );
  let last = 0;
  const control: Control = {
    run: (execute, argument) =>
      new Promise((resolve, reject) => {
        last += 1;
        waiting.set(last, { resolve, reject });
        connection.write(
          `${JSON.stringify({ execute, id: last, ...(argument === undefined ? {} : { arguments: argument }) })}\n`,
        );
      }),
    monitor: async (line) =>
      String(await control.run("human-monitor-command", { "command-line": line })).trim(),
  };
  try {
    await Promise.race([greeting, end]);
    await Promise.race([control.run("qmp_capabilities"), end]);
    return await Promise.race([work(control), end]);
  } finally {
    clearTimeout(timer);
    connection.destroy();
  }
}

/** Follows a boot server from outside: its status, and what happens from then on. */
import { get } from "node:http";

/** A message of the server: its kind, and what it says. */
export interface Message {
  readonly kind: string;
  readonly data: unknown;
}

/** Bytes of one message; more is not from our server. */
const limit = 64 << 20;

/** Cuts a stream of server-sent events into messages. */
export class MessageReader {
  #rest = "";

  /** @returns the messages that are whole now */
  read(text: string): readonly Message[] {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop() ?? "";
    if (this.#rest.length > limit) throw new Error("a message without an end");
    return blocks.flatMap((block) => {
      const kind = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (kind === undefined || data === undefined) return [];
      try {
        return [{ kind, data: JSON.parse(data) as unknown }];
      } catch {
        return [];
      }
    });
  }
}

/** Ms without a word after which a server counts as gone: it speaks every 5 s. */
const silence = 20_000;

/**
 * Listens until the connection ends.
 * @param url of the server
 * @returns why it ended
 */
export function listen(url: string, hear: (message: Message) => void, signal: AbortSignal): Promise<string> {
  return new Promise((done) => {
    const asked = get(`${url}/events`, { signal, agent: false, timeout: silence }, (response) => {
      if (response.statusCode !== 200) {
        response.resume();
        done(`it answers ${response.statusCode}`);
        return;
      }
      const reader = new MessageReader();
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        try {
          for (const message of reader.read(text)) hear(message);
        } catch (error) {
          asked.destroy(error as Error);
        }
      });
      response.on("end", () => done("it ended the connection"));
      response.on("error", (error) => done(error.message));
    });
    asked.on("timeout", () => asked.destroy(new Error("it says nothing any more")));
    asked.on("error", (error: NodeJS.ErrnoException) =>
      done(error.code === "ECONNREFUSED" ? "nobody listens there" : error.message),
    );
  });
}

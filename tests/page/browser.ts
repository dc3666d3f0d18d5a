/** Drives a real Chromium over its debugging pipe: messages of JSON, each ended by a zero byte. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

export interface Page {
  /** Calls a method of the DevTools protocol. */
  call(method: string, params?: object): Promise<Record<string, unknown>>;
  /** The value of an expression in the page. */
  value<T>(expression: string): Promise<T>;
  /** Waits until an expression holds. */
  until(expression: string): Promise<void>;
  /** Presses a key and lets it go. */
  press(key: "Tab" | "Enter" | " " | "ArrowRight"): Promise<void>;
}

export interface Browser {
  readonly page: Page;
  /** What the page wrote to its console as errors, and exceptions. */
  readonly errors: readonly string[];
  close(): Promise<void>;
}

const keyCodes = { Tab: 9, Enter: 13, " ": 32, ArrowRight: 39 } as const;

/** Starts a browser with one empty page. @throws when there is none */
export async function browser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), "seedsmith-chromium-"));
  const child: ChildProcess = spawn(
    "chromium",
    [
      "--headless=new",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      `--user-data-dir=${profile}`,
      "--remote-debugging-pipe",
      "about:blank",
    ],
    { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
  );
  const into = child.stdio[3] as Writable;
  const from = child.stdio[4] as Readable;
  const waiting = new Map<
    number,
    { done: (value: Record<string, unknown>) => void; failed: (error: Error) => void }
  >();
  const errors: string[] = [];
  let number = 0;
  let rest = "";
  const gone = (why: string): void => {
    for (const { failed } of waiting.values()) failed(new Error(why));
    waiting.clear();
  };
  child.on("error", (error) => gone(error.message));
  child.on("close", () => gone("chromium ended"));
  from.setEncoding("utf8").on("data", (text: string) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop() ?? "";
    for (const message of messages) {
      const { id, result, error, method, params } = JSON.parse(message) as {
        id?: number;
        result?: Record<string, unknown>;
        error?: { message: string };
        method?: string;
        params?: { exceptionDetails?: { text: string }; entry?: { level: string; text: string } };
      };
      if (method === "Runtime.exceptionThrown") errors.push(params?.exceptionDetails?.text ?? "exception");
      if (method === "Log.entryAdded" && params?.entry?.level === "error") errors.push(params.entry.text);
      const asked = id === undefined ? undefined : waiting.get(id);
      if (id === undefined || asked === undefined) continue;
      waiting.delete(id);
      if (error === undefined) asked.done(result ?? {});
      else asked.failed(new Error(error.message));
    }
  });
  const send = (method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> =>
    new Promise((done, failed) => {
      const id = ++number;
      waiting.set(id, { done, failed });
      into.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const call: Page["call"] = (method, params = {}) => send(method, params, sessionId as string);
  for (const domain of ["Page", "Runtime", "Log"]) await call(`${domain}.enable`);
  const value = async <T>(expression: string): Promise<T> => {
    const { result, exceptionDetails } = (await call("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    })) as {
      result: { value: T };
      exceptionDetails?: { text: string; exception?: { description?: string } };
    };
    if (exceptionDetails !== undefined)
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  return {
    errors,
    page: {
      call,
      value,
      until: async (expression) => {
        while (!(await value<boolean>(`Boolean(${expression})`)))
          await new Promise((done) => setTimeout(done, 50));
      },
      press: async (key) => {
        const code = keyCodes[key];
        const text = key === "Enter" ? "\r" : key === " " ? " " : undefined;
        const event = { key, windowsVirtualKeyCode: code, code: key === " " ? "Space" : key };
        await call("Input.dispatchKeyEvent", {
          type: "keyDown",
          ...event,
          ...(text === undefined ? {} : { text }),
        });
        await call("Input.dispatchKeyEvent", { type: "keyUp", ...event });
      },
    },
    close: async () => {
      await new Promise<void>((done) => {
        child.once("close", () => done());
        send("Browser.close", {}).catch(() => child.kill("SIGKILL"));
      });
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

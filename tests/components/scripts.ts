/** Runs scripts of components, and small servers on loopback for them. Real servers are the boot tests'. */
import { type ExecFileException, execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { python } from "../support/python.ts";

export { absent, python } from "../support/python.ts";

/** Where the components are. */
export const components: string = fileURLToPath(new URL("../../templates/components", import.meta.url));

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

export interface Call {
  readonly args?: readonly string[];
  readonly env?: { readonly [name: string]: string };
  readonly stdin?: string;
}

/**
 * Runs a script of a component as the runner does: an environment of its own, nothing inherited but the PATH.
 * @param folder where the components' folders are
 */
export function run(
  script: string,
  { args = [], env = {}, stdin = "" }: Call = {},
  folder: string = components,
): Promise<Outcome> {
  const command = script.endsWith(".py") ? [python, "-B"] : ["sh"];
  return new Promise((resolve) => {
    const done = (error: ExecFileException | null, out: string, errors: string): void =>
      resolve({
        code: error === null ? 0 : typeof error.code === "number" ? error.code : -1,
        out,
        error: errors,
      });
    const child = execFile(
      command[0] as string,
      [...command.slice(1), join(folder, script), ...args],
      { env: { PATH: process.env.PATH ?? "", LANG: "C.UTF-8", ...env } },
      done,
    );
    // A script that ends early has not read all of it.
    child.stdin?.on("error", () => {});
    child.stdin?.end(stdin);
  });
}

export interface Asked {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly body: string;
  readonly request: IncomingMessage;
}

/** Runs `use` with an HTTP server. */
export async function answering<T>(
  answer: (asked: Asked, response: ServerResponse) => void,
  use: (url: string) => Promise<T>,
): Promise<T> {
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    request.on("end", () =>
      answer({ method: request.method ?? "", path: request.url ?? "", body, request }, response),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    return await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** Answers with JSON. */
export const json = (response: ServerResponse, status: number, value: unknown, headers = {}): void => {
  response.writeHead(status, { "Content-Type": "application/json", Connection: "close", ...headers });
  response.end(JSON.stringify(value));
};

/** Who scripts log in as: the password is `right`. */
export const account = (url: string): { readonly [name: string]: string } => ({
  OS_AUTH_URL: `${url}/v3`,
  OS_USERNAME: "cinder",
  OS_PASSWORD: "right",
  OS_PROJECT_NAME: "service",
});

/** Answers a request for a token; says whether it was one. `place` is where the catalog has all services, if anywhere. */
export function token(
  { path, body }: Asked,
  response: ServerResponse,
  place = "",
  regions: { readonly [type: string]: string } = {},
): boolean {
  if (path !== "/v3/auth/tokens") return false;
  const catalog = ["compute", "image", "network", "placement"].map((type) => ({
    type,
    endpoints: [{ interface: "internal", url: `${place}/${type}`, region: regions[type] ?? "RegionOne" }],
  }));
  if (!body.includes('"right"')) json(response, 401, { error: { message: "The request you have made..." } });
  else
    json(
      response,
      201,
      { token: { project: { id: "p1" }, domain: { id: "d1" }, catalog } },
      { "X-Subject-Token": "t" },
    );
  return true;
}

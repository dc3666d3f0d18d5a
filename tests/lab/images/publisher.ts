/** A publisher of one file, on loopback, for tests of what fetches it. */
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { LabError } from "../../../src/lab/command.ts";

/** Stands for an image: nobody looks into it here. */
export const image = Buffer.alloc(256 * 1024, 7);
export const sha256 = createHash("sha256").update(image).digest("hex");
export const sha512 = createHash("sha512").update(image).digest("hex");

export type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void;

/** How a file is answered for: whole, from an offset, and what of it is sent before the connection is cut. */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  { ranges = true, cutAfter = Number.POSITIVE_INFINITY }: { ranges?: boolean; cutAfter?: number } = {},
): void {
  const from = ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0) : 0;
  if (from >= image.length) {
    response.writeHead(416, { "Content-Range": `bytes */${image.length}` }).end();
    return;
  }
  const rest = image.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    "Content-Length": rest.length,
    ...(from > 0 ? { "Content-Range": `bytes ${from}-${image.length - 1}/${image.length}` } : {}),
  });
  if (rest.length <= cutAfter) {
    response.end(rest);
    return;
  }
  response.write(rest.subarray(0, cutAfter), () => setTimeout(() => response.socket?.destroy(), 20));
}

/** Starts a server. @param answer is also told what was asked for so far, each with its range */
export async function publisher(
  answer: (request: IncomingMessage, response: ServerResponse, requests: readonly string[]) => void,
): Promise<{ readonly base: string; readonly requests: readonly string[]; readonly close: () => void }> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.url} ${request.headers.range ?? ""}`.trim());
    answer(request, response, requests);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** The LabError that work ends in. */
export async function failure(work: () => Promise<unknown>): Promise<LabError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof LabError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

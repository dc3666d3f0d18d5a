/** Gives files of a folder, and no others. */
import { constants, createReadStream, type ReadStream, type Stats } from "node:fs";
import { open, realpath } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join, sep } from "node:path";
import { pipeline } from "node:stream";
import send from "@fastify/send";

/**
 * A path below a folder, as a URL may name it: names of plain characters that do not begin with a dot. Nothing in it
 * is encoded, so there is nothing to decode twice.
 */
export function isPlainPath(path: string): boolean {
  return (
    path.length <= 400 &&
    /^[A-Za-z0-9_+~-][A-Za-z0-9._+~-]*(?:\/[A-Za-z0-9_+~-][A-Za-z0-9._+~-]*)*$/.test(path)
  );
}

/** A body that is being sent from a file. */
export interface Sending {
  readonly stream: ReadStream;
  readonly response: ServerResponse;
}

/** The contents of small files, so that a thousand machines that boot at once do not read them a thousand times. */
export class SmallFiles {
  readonly #limit: number;
  readonly #kept = new Map<string, { readonly stat: Stats; readonly bytes: Buffer }>();
  #size = 0;

  /** @param limit bytes that are kept in memory */
  constructor(limit: number = 64 << 20) {
    this.#limit = limit;
  }

  /** Whether a file is one to keep. */
  fits(size: number): boolean {
    return size <= this.#limit / 64;
  }

  get(path: string, stat: Stats): Buffer | null {
    const found = this.#kept.get(path);
    if (found === undefined || !isSame(found.stat, stat)) return null;
    // What was asked for last is dropped last.
    this.#kept.delete(path);
    this.#kept.set(path, found);
    return found.bytes;
  }

  put(path: string, stat: Stats, bytes: Buffer): void {
    this.#drop(path);
    this.#kept.set(path, { stat, bytes });
    this.#size += bytes.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#size <= this.#limit) break;
      this.#drop(oldest);
    }
  }

  #drop(path: string): void {
    this.#size -= this.#kept.get(path)?.bytes.length ?? 0;
    this.#kept.delete(path);
  }
}

function isSame(a: Stats, b: Stats): boolean {
  return a.ino === b.ino && a.size === b.size && a.mtimeMs === b.mtimeMs && a.ctimeMs === b.ctimeMs;
}

/** Part of a file that a response has, from its header; null for all of it. */
function partOf(range: string | undefined): { readonly start: number; readonly end: number } | null {
  const [, start, end] = /^bytes (\d+)-(\d+)\//.exec(range ?? "") ?? [];
  return start === undefined || end === undefined ? null : { start: Number(start), end: Number(end) };
}

/**
 * Answers with a file: whole, a range of it, its head, or that the asker has it already. The library decides which;
 * the bytes are those of the very file that it decided on, also where another has taken its name since.
 * @param root the folder, without symbolic links
 * @param path plain, below it
 * @param type its media type, or null for what its name says
 * @param sending told of a body that goes out as a stream
 * @returns the status; null, and nothing is answered, for what is no file or has a symbolic link to the outside
 */
export async function giveFile(
  request: IncomingMessage,
  response: ServerResponse,
  root: string,
  path: string,
  type: string | null,
  small: SmallFiles,
  sending: (one: Sending) => void,
): Promise<number | null> {
  for (let attempt = 0; ; attempt++) {
    const asked = { method: "HEAD", headers: request.headers } as IncomingMessage;
    const found = await send(asked, path, { root, index: false, dotfiles: "ignore", cacheControl: false });
    const { statusCode, headers, metadata } = found;
    if (statusCode === 412 || statusCode === 416) {
      const range = headers["Content-Range"];
      return answerEmpty(response, statusCode, range === undefined ? {} : { "Content-Range": range });
    }
    if (found.type !== "file") return null;
    const { stat } = metadata as { stat: Stats };
    // What a machine fetches with a secret in it should be kept by nobody on the way.
    headers["Cache-Control"] = "no-store";
    if (type !== null && statusCode !== 304) headers["Content-Type"] = type;
    const headOnly = statusCode === 304 || request.method === "HEAD";
    const real = await realpath(join(root, path)).catch(() => null);
    if (real === null || !real.startsWith(root + sep)) return null;
    const part = partOf(headers["Content-Range"]);
    let bytes = headOnly ? Buffer.alloc(0) : small.get(real, stat);
    if (bytes === null) {
      const handle = await open(real, constants.O_RDONLY | constants.O_NOFOLLOW).catch(() => null);
      if (handle === null) return null;
      let kept = false;
      try {
        const now = await handle.stat();
        // Written anew between the look and the opening: the headers would be those of the old one.
        if (!isSame(now, stat)) {
          if (attempt < 3) continue;
          return answerEmpty(response, 503, { "Retry-After": "1" });
        }
        if (small.fits(stat.size)) {
          bytes = await handle.readFile();
          if (bytes.length !== stat.size) return answerEmpty(response, 503, { "Retry-After": "1" });
          small.put(real, stat, bytes);
        } else {
          kept = true;
          response.writeHead(statusCode, headers);
          const stream = createReadStream("", {
            fd: handle,
            ...(part ?? {}),
            highWaterMark: 256 << 10,
          });
          sending({ stream, response });
          await new Promise<void>((done) => pipeline(stream, response, () => done()));
          return statusCode;
        }
      } finally {
        if (!kept) await handle.close();
      }
    }
    response.writeHead(statusCode, headers);
    response.end(headOnly ? undefined : part === null ? bytes : bytes.subarray(part.start, part.end + 1));
    return statusCode;
  }
}

function answerEmpty(
  response: ServerResponse,
  status: number,
  headers: { readonly [name: string]: string },
): number {
  response.writeHead(status, { ...headers, "Content-Length": 0 });
  response.end();
  return status;
}

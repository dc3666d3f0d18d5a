/** Gives files of a folder, and no others. */
import { constants, createReadStream, type ReadStream, type Stats, statSync } from "node:fs";
import { open, realpath } from "node:fs/promises";
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { sep } from "node:path";
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

interface Kept {
  readonly stat: Stats;
  readonly bytes: Buffer;
  /** Of an answer with all of it: names and values in turn, which Node writes faster than an object. */
  readonly headers: readonly string[];
}

/** Ms over which looks at the disk are counted, and how many of them each file gets its look in. */
const span = 100;
export const looksInSpan = 100;
/** Ms for which a file is believed after a look, once there are more. */
export const belief = 1000;

export interface SmallFilesOptions {
  /** Bytes that are kept in memory. */
  readonly limit?: number;
  /** Ms, of a clock that only goes forward. */
  readonly now?: () => number;
}

/** The contents of small files, so that a thousand machines that boot at once do not read them a thousand times. */
export class SmallFiles {
  readonly #limit: number;
  readonly #now: () => number;
  readonly #kept = new Map<string, Kept & { seen: number }>();
  #size = 0;
  #spanBegan = Number.NEGATIVE_INFINITY;
  #looks = 0;

  constructor(options: SmallFilesOptions = {}) {
    this.#limit = options.limit ?? 64 << 20;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Whether a file is one to keep. */
  fits(size: number): boolean {
    return size <= this.#limit / 64;
  }

  /**
   * What is kept under a name, if it is the very file that is at `path` now. That it is inside of the folder was seen
   * when it was read, and it is the same one. Looking is a matter of microseconds, for which a thread is not worth
   * its price; but of a server that is asked for thousands of files a second it would be a fifth of the work. Such a
   * one looks again only at what it has not looked at for a second.
   */
  get(name: string, path: string): Kept | null {
    const found = this.#kept.get(name);
    if (found === undefined) return null;
    const now = this.#now();
    if (now - this.#spanBegan >= span) {
      this.#spanBegan = now;
      this.#looks = 0;
    }
    if (this.#looks < looksInSpan || now - found.seen >= belief) {
      this.#looks += 1;
      if (!isStill(found.stat, path)) return null;
      found.seen = now;
      // What was found last is dropped last.
      this.#kept.delete(name);
      this.#kept.set(name, found);
    }
    return found;
  }

  put(name: string, kept: Kept): void {
    this.#drop(name);
    this.#kept.set(name, { ...kept, seen: this.#now() });
    this.#size += kept.bytes.length;
    for (const oldest of this.#kept.keys()) {
      if (this.#size <= this.#limit) break;
      this.#drop(oldest);
    }
  }

  #drop(name: string): void {
    this.#size -= this.#kept.get(name)?.bytes.length ?? 0;
    this.#kept.delete(name);
  }
}

function isSame(a: Stats, b: Stats): boolean {
  return (
    a.ino === b.ino &&
    a.dev === b.dev &&
    a.size === b.size &&
    a.mtimeMs === b.mtimeMs &&
    a.ctimeMs === b.ctimeMs
  );
}

/** Whether a path still leads to the file that it led to. */
function isStill(known: Stats, path: string): boolean {
  try {
    return isSame(known, statSync(path));
  } catch {
    return false;
  }
}

/** Whether a request wants all of a file, whatever it has already: most do, and the library is not asked about them. */
function wantsAll({ headers }: IncomingMessage): boolean {
  return (
    headers.range === undefined &&
    headers["if-none-match"] === undefined &&
    headers["if-match"] === undefined &&
    headers["if-modified-since"] === undefined &&
    headers["if-unmodified-since"] === undefined
  );
}

/** Part of a file that a response has, from its header; null for all of it. */
function partOf(range: string | undefined): { readonly start: number; readonly end: number } | null {
  const [, start, end] = /^bytes (\d+)-(\d+)\//.exec(range ?? "") ?? [];
  return start === undefined || end === undefined ? null : { start: Number(start), end: Number(end) };
}

/** Headers in the form in which they are kept. */
function listOf(headers: OutgoingHttpHeaders): string[] {
  return Object.entries(headers).flatMap(([name, value]) => [name, String(value)]);
}

/**
 * Answers with a file that is kept in memory and is still the one on the disk. Most of what a rack asks for is that,
 * so nothing is waited for here.
 * @returns whether it has answered; `giveFile` does what this does not
 */
export function giveKept(
  request: IncomingMessage,
  response: ServerResponse,
  root: string,
  path: string,
  type: string | null,
  small: SmallFiles,
): boolean {
  if (!wantsAll(request)) return false;
  const name = root + sep + path;
  const kept = small.get(slotOf(name, type), name);
  if (kept === null) return false;
  response.writeHead(200, kept.headers as string[]);
  response.end(request.method === "HEAD" ? undefined : kept.bytes);
  return true;
}

/** The name under which a file is kept with its headers. */
function slotOf(name: string, type: string | null): string {
  return `${type ?? ""}\n${name}`;
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
  const name = `${root}${sep}${path}`;
  const slot = slotOf(name, type);
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
    const real = await realpath(name).catch(() => null);
    if (real === null || !real.startsWith(root + sep)) return null;
    const part = partOf(headers["Content-Range"]);
    let bytes = headOnly ? Buffer.alloc(0) : null;
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
          if (statusCode === 200) small.put(slot, { stat, bytes, headers: listOf(headers) });
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

/**
 * Fetches an official cloud image: resumes what was cut off, checks the digest that its publisher lists, and
 * puts it into the cache in one step.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  createReadStream,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { LabError, sleep } from "../command.ts";
import { checkDisk } from "./build.ts";
import { claim } from "./claim.ts";
import { type Image, imageByKey, imagesFolder, placeImage } from "./store.ts";

/** Where an image of a target is published. */
export interface ImageSource {
  /** Such as `debian-12`. */
  readonly target: string;
  readonly url: string;
  /** A list of digests as `sha256sum` and `sha512sum` write it, which names the last part of `url`. */
  readonly digests: string;
}

export interface FetchOptions {
  readonly cache: string;
  /** Told what is going on, a line at a time, every few seconds. */
  readonly progress?: (line: string) => void;
  /** How often in a row a connection may break before any byte came. */
  readonly attempts?: number;
  /** Seconds before the next attempt; doubled with each, up to 30. */
  readonly pause?: number;
  /** Seconds in which at least something must come. */
  readonly patience?: number;
  /** Looks at the finished disk and throws when it is none; that of qemu-img unless told. */
  readonly check?: (disk: string) => Promise<void>;
}

/** A digest and the algorithm that made it. */
export interface Digest {
  readonly algorithm: "sha256" | "sha512";
  /** Lower case. */
  readonly hex: string;
}

/**
 * Finds a file in a list of digests: `HEX  NAME` or `HEX *NAME` (coreutils), or `SHA256 (NAME) = HEX` (BSD).
 * @returns null when it is not there
 */
export function digestOf(list: string, name: string): Digest | null {
  for (const line of list.split("\n")) {
    const match =
      /^([0-9a-fA-F]{64}|[0-9a-fA-F]{128}) [ *](?:\.\/)?(.+?)\s*$/.exec(line) ??
      /^SHA(?:256|512) \((.+)\) = ([0-9a-fA-F]{64}|[0-9a-fA-F]{128})\s*$/.exec(line);
    if (match === null) continue;
    const [hex, file] = line.startsWith("SHA") ? [match[2]!, match[1]!] : [match[1]!, match[2]!];
    if (file === name) return { algorithm: hex.length === 64 ? "sha256" : "sha512", hex: hex.toLowerCase() };
  }
  return null;
}

/** Why a request failed, with what node hides in `cause`. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  const inner =
    cause instanceof AggregateError ? cause.errors[0] : cause instanceof Error ? cause : undefined;
  return inner instanceof Error ? inner.message : error.message;
}

/** The server said no, and asking again will not help. */
class Refused extends Error {}

async function request(url: string, headers: Record<string, string>, patience: number) {
  const control = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const alarm = () => {
    clearTimeout(timer);
    timer = setTimeout(
      () => control.abort(new Error(`nothing came for ${patience} s`)),
      patience * 1000,
    ).unref();
  };
  alarm();
  try {
    const response = await fetch(url, { headers, signal: control.signal, redirect: "follow" });
    return { response, alarm, over: () => clearTimeout(timer) };
  } catch (error) {
    clearTimeout(timer);
    throw error;
  }
}

/** A small text file. */
async function fetchText(url: string, patience: number): Promise<string> {
  const { response, over } = await request(url, {}, patience);
  try {
    if (response.status !== 200) throw new Refused(`${url}: status ${response.status}`);
    return await response.text();
  } finally {
    over();
  }
}

/** Tries again what fails by the network. */
async function persist<T>(
  options: Required<Pick<FetchOptions, "attempts" | "pause" | "progress">>,
  attempt: () => Promise<T>,
  moved: () => number,
): Promise<T> {
  let failed = 0;
  for (;;) {
    const before = moved();
    try {
      return await attempt();
    } catch (error) {
      if (error instanceof Refused || error instanceof LabError) throw error;
      failed = moved() > before ? 1 : failed + 1;
      if (failed >= options.attempts) throw error;
      const wait = Math.min(30, options.pause * 2 ** (failed - 1));
      options.progress(`${reason(error)}; trying again in ${wait} s`);
      await sleep(wait);
    }
  }
}

/** Why a source's host cannot be reached now, or null. Asks for the list of digests, once. */
export async function reachable(source: Pick<ImageSource, "digests">): Promise<string | null> {
  try {
    await fetchText(source.digests, 8);
    return null;
  } catch (error) {
    return reason(error);
  }
}

function size(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** Takes the download for this process. @throws LabError when another one is at it */
function claimDownload(path: string, what: string): void {
  const holder = claim(path);
  if (holder !== null)
    throw new LabError(`${what} is being fetched by process ${holder.pid}`, "wait for it, or end it");
}

/**
 * Gives the image that a source lists now, fetching it when the cache does not have it.
 * @throws LabError when the host cannot be reached, refuses, or gives something else than its list says
 */
export async function fetchImage(source: ImageSource, options: FetchOptions): Promise<Image> {
  const { cache, progress = () => {}, attempts = 5, pause = 1, patience = 60 } = options;
  const check = options.check ?? ((disk: string) => checkDisk(disk, "qcow2"));
  const name = decodeURIComponent(new URL(source.url).pathname.split("/").at(-1) ?? "");
  const tries = { attempts, pause, progress };
  const unreachable = (error: unknown, url: string): LabError =>
    error instanceof LabError
      ? error
      : new LabError(
          `${url} cannot be fetched: ${reason(error)}`,
          `fetch it where there is a way, and copy images/ of that cache${source.target.startsWith("debian-") ? `; or build one here: seedsmith lab images build ${source.target}` : ""}`,
        );
  let list: string;
  try {
    list = await persist(
      tries,
      () => fetchText(source.digests, patience),
      () => 0,
    );
  } catch (error) {
    throw unreachable(error, source.digests);
  }
  const digest = digestOf(list, name);
  if (digest === null)
    throw new LabError(
      `${source.digests} does not list ${name}: without its digest the image is not trusted`,
      `look at "image" in the file of the target ${source.target}`,
    );
  const key = digest.hex.slice(0, 16);
  const found = imageByKey(cache, source.target, key);
  if (found !== null) return found;

  // Below a name that is the digest's: what is left of another version of the image is not gone on with.
  const folder = join(imagesFolder(cache), ".fetching");
  mkdirSync(folder, { recursive: true });
  const part = join(folder, digest.hex);
  const lock = `${part}.lock`;
  claimDownload(lock, name);
  try {
    try {
      await persist(
        tries,
        () => download(source.url, name, part, patience, progress),
        () => size(part),
      );
    } catch (error) {
      throw unreachable(error, source.url);
    }
    progress(`checking ${name}`);
    const got = await digestOfFile(part, digest.algorithm);
    if (got !== digest.hex) {
      // Going on with it would never help.
      rmSync(part);
      throw new LabError(
        `${source.url} is not what its publisher lists: ${digest.algorithm} is ${got}, listed is ${digest.hex}`,
        "it was thrown away; fetch again, and if that happens again, do not trust this server or the way to it",
      );
    }
    await check(part);
    const image = await placeImage(
      cache,
      {
        target: source.target,
        key,
        origin: { kind: "fetched", url: source.url, digest: `${digest.algorithm}:${digest.hex}` },
        format: "qcow2",
        file: "disk.qcow2",
      },
      async (making) => {
        const disk = join(making, "disk.qcow2");
        renameSync(part, disk);
      },
    );
    return image;
  } finally {
    rmSync(lock, { force: true });
  }
}

/**
 * Fetches a file of a known digest to a place: resumes what was cut off, and puts it there in one step.
 * @param place its path; what is fetched meanwhile lies beside it as `.NAME.part`
 * @throws LabError when the host cannot be reached, refuses, or gives something else
 */
export async function fetchFile(
  url: string,
  digest: Digest,
  place: string,
  options: Omit<FetchOptions, "cache" | "check"> = {},
): Promise<void> {
  const { progress = () => {}, attempts = 5, pause = 1, patience = 60 } = options;
  const name = basename(place);
  // Below a name that is the digest's: what is left of another version is not gone on with.
  const part = join(dirname(place), `.${name}.${digest.hex.slice(0, 16)}.part`);
  const lock = `${part}.lock`;
  claimDownload(lock, name);
  try {
    try {
      await persist(
        { attempts, pause, progress },
        () => download(url, name, part, patience, progress),
        () => size(part),
      );
    } catch (error) {
      if (error instanceof LabError) throw error;
      throw new LabError(`${url} cannot be fetched: ${reason(error)}`);
    }
    progress(`checking ${name}`);
    const got = await digestOfFile(part, digest.algorithm);
    if (got !== digest.hex) {
      rmSync(part);
      throw new LabError(
        `${url} is not what was asked for: its ${digest.algorithm} is ${got}, and must be ${digest.hex}`,
        "it was thrown away; look whether the digest is that of this version",
      );
    }
    chmodSync(part, 0o644);
    renameSync(part, place);
  } finally {
    rmSync(lock, { force: true });
  }
}

/** The digest of a file, in lower-case hexadecimal. */
export async function digestOfFile(path: string, algorithm: Digest["algorithm"]): Promise<string> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Appends to `part` what it lacks of the file at `url`. Throws when the connection ends before the file does. */
async function download(
  url: string,
  name: string,
  part: string,
  patience: number,
  progress: (line: string) => void,
): Promise<void> {
  const have = size(part);
  const headers: Record<string, string> = { "Accept-Encoding": "identity" };
  if (have > 0) headers.Range = `bytes=${have}-`;
  const { response, alarm, over } = await request(url, headers, patience);
  try {
    if (response.status === 416) {
      // It has no more: either all is here, which the digest tells, or what is here is something else.
      const total = /\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1];
      if (total !== undefined && Number(total) === have) return;
      truncateSync(part, 0);
      throw new Error("what was left of an earlier attempt does not fit");
    }
    if (response.status >= 500 || response.status === 429) throw new Error(`status ${response.status}`);
    if (response.status !== 200 && response.status !== 206) throw new Refused(`status ${response.status}`);
    const from = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
    // A server that knows no ranges sends all of it again.
    const start = response.status === 206 && Number(from) === have ? have : 0;
    if (response.status === 206 && start !== have)
      throw new Refused(`a range that was not asked for: ${from}`);
    const length = Number(response.headers.get("content-length") ?? Number.NaN);
    const total = start + length;
    if (!Number.isNaN(total)) requireSpace(part, length, name);
    if (start > 0) progress(`${name}: going on at ${mebibytes(start)}`);
    const file = openSync(part, start === 0 ? "w" : "a");
    let done = start;
    let told = Date.now();
    try {
      if (response.body === null) throw new Error("an empty answer");
      for await (const chunk of response.body) {
        alarm();
        writeSync(file, chunk);
        done += chunk.length;
        if (Date.now() - told < 2000) continue;
        told = Date.now();
        const share = Number.isNaN(total)
          ? ""
          : ` of ${mebibytes(total)} (${Math.floor((done / total) * 100)} %)`;
        progress(`${name}: ${mebibytes(done)}${share}`);
      }
    } finally {
      closeSync(file);
    }
    if (!Number.isNaN(total) && done !== total) throw new Error(`it ended after ${mebibytes(done)}`);
  } finally {
    over();
  }
}

/** @throws LabError when the cache's disk has no room for so many bytes more */
function requireSpace(part: string, bytes: number, name: string): void {
  const { bavail, bsize } = statfsSync(join(part, ".."));
  if (bavail * bsize >= bytes) return;
  throw new LabError(
    `${name} needs ${mebibytes(bytes)} more, and the cache's disk has ${mebibytes(bavail * bsize)}`,
    "make room, seedsmith lab images remove, or set SEEDSMITH_CACHE to another disk",
  );
}

/**
 * Images in the cache, shared by all labs. Each is a folder with the disk and a description, made under another
 * name and renamed when it is whole: what has a description is complete.
 */
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { LabError } from "../command.ts";
import { processStart } from "../host.ts";
import type { Ledger } from "../ledger.ts";
import { clearClaim } from "./claim.ts";

/** How an image came to be. */
export type ImageOrigin =
  | { readonly kind: "built"; readonly key: string }
  | { readonly kind: "fetched"; readonly url: string; readonly digest: string };

/** An image in the cache. */
export interface Image {
  /** Name of the target that boots from it, such as `debian-12`. */
  readonly target: string;
  /** Names it among those of its target: the recipe's digest, or the beginning of the file's. */
  readonly key: string;
  readonly origin: ImageOrigin;
  /** When it was put here, ISO 8601 in UTC. */
  readonly made: string;
  /** Absolute path of the disk; nothing may write to it. */
  readonly disk: string;
  readonly format: "qcow2" | "raw";
  /** Bytes on this host's disk. */
  readonly size: number;
}

const description = "image.json";

/** Where images lie below a cache. */
export function imagesFolder(cache: string): string {
  return join(cache, "images");
}

function home(cache: string, target: string, key: string): string {
  return join(imagesFolder(cache), `${target}-${key}`);
}

function read(folder: string): Image | null {
  try {
    const { file, ...image } = JSON.parse(readFileSync(join(folder, description), "utf8")) as Omit<
      Image,
      "disk" | "size"
    > & { readonly file: string };
    const disk = join(folder, file);
    return { ...image, disk, size: statSync(disk).blocks * 512 };
  } catch {
    return null;
  }
}

/** All images, by target and then the newest first. */
export function images(cache: string): Image[] {
  const folder = imagesFolder(cache);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => !name.startsWith("."))
    .map((name) => read(join(folder, name)))
    .filter((image): image is Image => image !== null)
    .sort((a, b) => a.target.localeCompare(b.target) || b.made.localeCompare(a.made));
}

/** One image by its key, or null. */
export function imageByKey(cache: string, target: string, key: string): Image | null {
  return read(home(cache, target, key));
}

/** The image that machines of a target boot from: the newest, or null. */
export function imageOf(cache: string, target: string): Image | null {
  return images(cache).find((image) => image.target === target) ?? null;
}

/** Begins the names of the files that stand for builds. */
const buildMark = ".building-";

/** The file that stands for the build of an image. */
export function buildLock(cache: string, target: string, key: string): string {
  return join(imagesFolder(cache), `${buildMark}${target}-${key}`);
}

/** Removes what was being made by processes that are gone. */
export function sweepImages(cache: string): void {
  const folder = imagesFolder(cache);
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    const pid = /^\.making-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && processStart(Number(pid)) === null)
      rmSync(join(folder, name), { recursive: true, force: true });
    if (name.startsWith(buildMark)) clearClaim(join(folder, name));
  }
}

/**
 * Makes an image and puts it in place in one step.
 * @param make fills the folder that it is given with the disk, by the name `file`
 * @returns the image; that of somebody else who made the same one meanwhile
 */
export async function placeImage(
  cache: string,
  image: Pick<Image, "target" | "key" | "origin" | "format"> & { readonly file: string },
  make: (folder: string) => Promise<void>,
): Promise<Image> {
  const folder = imagesFolder(cache);
  mkdirSync(folder, { recursive: true });
  sweepImages(cache);
  const making = join(folder, `.making-${process.pid}-${randomBytes(3).toString("hex")}`);
  // Its files are made by other users where root is not at hand: they must be able to come here.
  mkdirSync(making, { mode: 0o755 });
  const place = home(cache, image.target, image.key);
  try {
    await make(making);
    const made = new Date().toISOString();
    writeFileSync(join(making, description), `${JSON.stringify({ ...image, made }, null, 2)}\n`);
    try {
      renameSync(making, place);
    } catch (error) {
      if (read(place) === null) throw error;
    }
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  const placed = read(place);
  if (placed === null) throw new LabError(`the image in ${place} is damaged`, "remove that folder");
  return placed;
}

/** Begins the names of the files beside an image that name its labs. */
const labMark = "lab-";

/** Notes beside an image that a lab's machines stand on it, until the lab is taken down. */
export function useImage(image: Image, ledger: Ledger): void {
  const mark = join(dirname(image.disk), `${labMark}${ledger.id}`);
  ledger.note({ kind: "folder", path: mark });
  writeFileSync(mark, ledger.folder);
}

/**
 * The folders of the labs whose machines stand on an image.
 * @param stands tells whether the lab of a folder still has machines
 */
export function usersOf(image: Image, stands: (folder: string) => boolean): string[] {
  const folder = dirname(image.disk);
  return readdirSync(folder)
    .filter((name) => name.startsWith(labMark))
    .map((name) => readFileSync(join(folder, name), "utf8"))
    .filter(stands);
}

/** Deletes an image. Machines that stand on it lose their disk: the caller has made sure that there are none. */
export function deleteImage(cache: string, image: Image): void {
  const place = home(cache, image.target, image.key);
  // Its description first: half an image is none.
  rmSync(join(place, description), { force: true });
  rmSync(place, { recursive: true, force: true });
}

/** `seedsmith lab images` */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { exit } from "../../core/exit.ts";
import { suggest } from "../../core/suggest.ts";
import { labCache } from "../../lab/cache.ts";
import { LabError } from "../../lab/command.ts";
import { buildImage } from "../../lab/images/build.ts";
import { fetchImage } from "../../lab/images/fetch.ts";
import { deleteImage, type Image, images as imagesIn, usersOf } from "../../lab/images/store.ts";
import type { TargetDoc } from "../../validate/documents.ts";
import { compile } from "../compile.ts";
import { type LabRequest, printJson } from "./request.ts";

const words = ["list", "fetch", "build", "remove"] as const;

/** The targets that can be named: those that are built in, and those beside the site. */
async function targets(request: LabRequest): Promise<ReadonlyMap<string, TargetDoc>> {
  const { library } = await compile({ ...request.choice, profiles: [], nodes: [] });
  return new Map([...library.targets].map(([name, { doc }]) => [name, doc]));
}

/** @throws LabError for a target that does not exist */
function named(known: ReadonlyMap<string, TargetDoc>, names: readonly string[], word: string): TargetDoc[] {
  if (names.length === 0)
    throw new LabError(
      `${word} what?`,
      `seedsmith lab images ${word} TARGET: ${[...known.keys()].join(", ")}`,
    );
  return names.map((name) => {
    const found = known.get(name);
    if (found === undefined)
      throw new LabError(`there is no target "${name}"`, suggest(name, [...known.keys()]) ?? null);
    return found;
  });
}

const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

function line({ target, key, origin, made, size }: Image): string {
  const how = origin.kind === "built" ? "built from packages" : `fetched from ${origin.url}`;
  return `${target.padEnd(14)} ${key}  ${mebibytes(size).padStart(9)}  ${made.slice(0, 16).replace("T", " ")}  ${how}`;
}

async function list(request: LabRequest, cache: string): Promise<number> {
  const found = imagesIn(cache);
  const known = await targets(request);
  const without = [...known.keys()].filter((name) => !found.some(({ target }) => target === name));
  if (request.format === "json") {
    printJson({ ok: true, cache, images: found, without });
    return exit.fine;
  }
  for (const image of found) process.stdout.write(`${line(image)}\n`);
  if (without.length > 0) process.stdout.write(`without an image: ${without.join(", ")}\n`);
  return exit.fine;
}

async function remove(request: LabRequest, cache: string, names: readonly string[]): Promise<number> {
  const found = imagesIn(cache);
  const known = [...new Set(found.flatMap(({ target, key }) => [target, key]))];
  if (names.length === 0)
    throw new LabError(
      "remove what?",
      `seedsmith lab images remove TARGET or KEY: ${known.join(", ") || "there is none"}`,
    );
  const chosen = names.flatMap((name) => {
    const fit = found.filter(({ target, key }) => target === name || key === name);
    if (fit.length === 0)
      throw new LabError(
        `there is no image "${name}" in ${cache}`,
        suggest(name, known) ?? "there is none at all",
      );
    return fit;
  });
  for (const image of chosen) {
    const labs = usersOf(image, (folder) => existsSync(join(folder, "machines")));
    if (labs.length > 0)
      throw new LabError(
        `the image ${image.key} of ${image.target} is the disk of machines in ${labs.join(", ")}`,
        "take that lab down first: seedsmith lab down",
      );
  }
  for (const image of chosen) deleteImage(cache, image);
  if (request.format === "json") printJson({ ok: true, removed: chosen });
  else for (const image of chosen) process.stdout.write(`removed  ${line(image)}\n`);
  return exit.fine;
}

/** Lists, fetches, builds or removes images. */
export async function images(request: LabRequest): Promise<number> {
  const cache = labCache();
  const [word = "list", ...names] = request.positionals;
  if (word === "list" && names.length === 0) return await list(request, cache);
  if (word === "remove") return await remove(request, cache, names);
  if (word !== "fetch" && word !== "build") {
    const hint = suggest(word, words);
    throw new LabError(`lab images does not know "${word}"`, hint ?? null);
  }
  const chosen = named(await targets(request), names, word);
  const done: Image[] = [];
  for (const { target: name, family, codename, image } of chosen) {
    const progress = (text: string): void => void process.stderr.write(`${name}: ${text}\n`);
    if (word === "build") done.push(await buildImage({ name, family, codename }, { cache, progress }));
    else if (image === undefined)
      throw new LabError(
        `the target ${name} names no official image`,
        `give targets/${name}.yaml an image: { url: ..., digests: ... }`,
      );
    else done.push(await fetchImage({ target: name, ...image }, { cache, progress }));
  }
  if (request.format === "json") printJson({ ok: true, images: done });
  else for (const image of done) process.stdout.write(`${line(image)}\n${image.disk}\n`);
  return exit.fine;
}

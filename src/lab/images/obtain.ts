/** Coming by the image of a target: from the cache, from its publisher, or built. */
import { LabError } from "../command.ts";
import type { LabTarget, Obstacle } from "../driver.ts";
import { buildImage, buildObstacle } from "./build.ts";
import { fetchImage, reachable } from "./fetch.ts";
import { type Image, imageOf } from "./store.ts";

/**
 * Whether an image of a target can be had. Looks, and makes nothing.
 * @returns what is in the way, or null
 */
export async function imageObstacle(target: LabTarget, cache: string): Promise<Obstacle | null> {
  if (imageOf(cache, target.name) !== null) return null;
  const build = await buildObstacle(target);
  if (build === null) return null;
  const unreachable =
    target.image === undefined ? "no place to fetch it from is known" : await reachable(target.image);
  if (unreachable === null) return null;
  return {
    message: `there is no image of ${target.name}; it cannot be fetched: ${unreachable}; ${build.message}`,
    hint: `on a machine that reaches it: seedsmith lab images fetch ${target.name}; then copy images/ of its cache${build.hint === null ? "" : `. To build it here: ${build.hint}`}`,
  };
}

/**
 * Gives the newest image of a target in the cache; without one fetches the official one, and where its host
 * cannot be reached, builds one from packages.
 * @throws LabError when none of it can be done
 */
export async function obtainImage(
  target: LabTarget,
  cache: string,
  progress: (line: string) => void,
): Promise<Image> {
  const found = imageOf(cache, target.name);
  if (found !== null) return found;
  let failed: LabError | null = null;
  if (target.image !== undefined) {
    progress(`fetching the image of ${target.name}`);
    try {
      const source = { target: target.name, ...target.image };
      return await fetchImage(source, { cache, progress, attempts: 3, patience: 30 });
    } catch (error) {
      if (!(error instanceof LabError)) throw error;
      failed = error;
    }
  }
  const obstacle = await buildObstacle(target);
  if (obstacle !== null) {
    throw failed === null
      ? obstacle
      : new LabError(
          `there is no image of ${target.name}: ${failed.message}; ${obstacle.message}`,
          obstacle.hint,
        );
  }
  progress(
    failed === null
      ? `building an image of ${target.name}`
      : `${failed.message}; building an image of ${target.name} instead`,
  );
  return await buildImage(target, { cache, progress });
}

import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * Makes a folder of the cache unless it is there: whole or not at all, also when two make it at the same time.
 * @param place where it is kept; its name says what it was made of
 * @param make fills a new folder beside it. What is left in it is what is kept
 */
export async function kept(place: string, make: (folder: string) => Promise<void>): Promise<void> {
  if (existsSync(place)) return;
  mkdirSync(dirname(place), { recursive: true });
  const making = mkdtempSync(join(dirname(place), ".making-"));
  try {
    await make(making);
    renameSync(making, place);
  } catch (error) {
    // Somebody else has made it meanwhile.
    if (!existsSync(place)) throw error;
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

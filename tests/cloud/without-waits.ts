/** A seed whose node waits for nobody, to see that a test would notice. */
import { parse, stringify } from "yaml";
import type { Seed } from "../../src/lab/seed.ts";

interface UserData {
  write_files: { path: string; content: string }[];
}

interface Program {
  blocks: { actions: { kind: string }[] }[];
}

/** @returns the seed with the waits for other nodes taken out of the program of its first boot */
export function withoutWaits(seed: Seed): Seed {
  const userData = parse(String(seed["user-data"])) as UserData;
  const file = userData.write_files.find(({ path }) => path.endsWith("/program.json"));
  if (file === undefined) throw new Error("the seed has no program.json");
  const program = JSON.parse(file.content) as Program;
  let taken = 0;
  for (const block of program.blocks) {
    const left = block.actions.filter(({ kind }) => kind !== "wait");
    taken += block.actions.length - left.length;
    block.actions = left;
  }
  if (taken === 0) throw new Error("the node waits for nobody anyway");
  file.content = JSON.stringify(program);
  return { ...seed, "user-data": `#cloud-config\n${stringify(userData)}` };
}

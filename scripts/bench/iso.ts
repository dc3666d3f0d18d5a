/** The seed image in process against the programs that are usually called for it. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeIso } from "../../src/emit/iso.ts";
import { seedFiles, seedLabel } from "../../src/emit/node.ts";
import { cli, inFolder, isInstalled, timed } from "./processes.ts";
import { atLeast, median, type Row, round, skipped } from "./table.ts";

const rounds = 15;
const imagesInRound = 20;

/** The same four files for all. The programs also start, read and write, as they have to when a seed is made. */
export function isoImages(): Promise<Row[]> {
  return inFolder((folder) => {
    timed(process.execPath, [cli, "render", "--profile", "controller"], folder);
    const seed = join(folder, "build", "example", "con01");
    const files = seedFiles.map((name) => ({ name, bytes: readFileSync(join(seed, name)) }));
    const each = (action: (index: number) => void): number => {
      const start = performance.now();
      for (let index = 0; index < imagesInRound; index++) action(index);
      return (performance.now() - start) / imagesInRound;
    };
    const make = (): number => each(() => writeIso(seedLabel, files));
    const makeAndWrite = (): number =>
      each((index) => writeFileSync(join(folder, `own${index}.iso`), writeIso(seedLabel, files)));
    make();
    makeAndWrite();
    const paths = seedFiles.map((name) => join(seed, name));
    const file = (name: string): string => join(seed, name);
    const others: Record<string, { least: number; args: readonly string[] }> = {
      "cloud-localds": {
        least: 50,
        args: [
          "--vendor-data",
          file("vendor-data"),
          "--network-config",
          file("network-config"),
          join(folder, "localds.iso"),
          file("user-data"),
          file("meta-data"),
        ],
      },
      genisoimage: {
        least: 10,
        args: [
          "-quiet",
          "-output",
          join(folder, "gen.iso"),
          "-volid",
          seedLabel,
          "-joliet",
          "-rock",
          ...paths,
        ],
      },
    };
    const own: number[] = [];
    const written: number[] = [];
    const theirs: Record<string, number[]> = {};
    for (let index = 0; index < rounds; index++) {
      own.push(make());
      written.push(makeAndWrite());
      for (const [program, { args }] of Object.entries(others)) {
        if (!isInstalled(program)) continue;
        theirs[program] ??= [];
        theirs[program].push(timed(program, args));
      }
    }
    return Object.entries(others).map(([program, { least }]) => {
      const what = `a seed image in process against \`${program}\``;
      const figures = theirs[program];
      if (figures === undefined)
        return skipped(what, `at least ${least} times as fast`, `no ${program} here`);
      const [one, other] = [median(own), median(figures)];
      return atLeast(
        what,
        least,
        "times as fast",
        other / one,
        `${round(one)} ms and ${round(other)} ms; ${round(median(written))} ms with writing it; medians of ${rounds}`,
      );
    });
  });
}

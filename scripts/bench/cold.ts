/** A cold `render --profile controller` against an empty Node program. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { cli, inFolder, timed } from "./processes.ts";
import { atMost, median, type Row, round } from "./table.ts";

const rounds = 15;

/** Alternates the two, so that both meet the same load. Each render is a first one, in an empty folder. */
export function coldStart(): Promise<Row[]> {
  return inFolder((folder) => {
    const empty: number[] = [];
    const render: number[] = [];
    for (let index = 0; index < rounds; index++) {
      const place = join(folder, String(index));
      mkdirSync(place);
      empty.push(timed(process.execPath, ["-e", "0"]));
      render.push(timed(process.execPath, [cli, "render", "--profile", "controller"], place));
    }
    const [one, other] = [median(empty), median(render)];
    return [
      atMost(
        "cold `render --profile controller` against `node -e 0`",
        3,
        "times",
        other / one,
        `${round(other)} ms and ${round(one)} ms, medians of ${rounds}`,
      ),
    ];
  });
}

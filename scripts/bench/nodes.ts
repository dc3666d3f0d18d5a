/** Sites of 1,000 and 10,000 nodes: time and memory, against `cp -r`, and again when nothing changed. */
import { spawnSync } from "node:child_process";
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cli, inFolder, timed } from "./processes.ts";
import { type Kinds, largeSite } from "./site.ts";
import { atMost, holds, median, type Row, round } from "./table.ts";

/** What OpenStack's services stand on, and a node that asks it: profiles of the boot tests. */
const environment: Kinds = { controller: "environment", compute: "client" };
/** A whole cloud, with the built-in profiles. */
const cloud: Kinds = { controller: "controller", compute: "compute" };
const environmentProfiles = join(
  dirname(fileURLToPath(import.meta.url)),
  ...["..", "..", "tests", "boot", "site", "profiles"],
);

interface Render {
  /** Milliseconds from the start of the process to its end. */
  readonly wall: number;
  /** Milliseconds of processor time, of all threads, user and system. */
  readonly cpu: number;
  /** Bytes of memory at the most, of all threads. */
  readonly memory: number;
  readonly output: string;
}

/** Prints the process's own account of itself as it ends; loaded ahead of the program. */
const account = `process.on("exit", () => {
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  require("node:fs").writeFileSync(process.env.SEEDSMITH_BENCH, JSON.stringify({ maxRSS, cpu: userCPUTime + systemCPUTime }));
});
`;

function render(site: string, out: string, folder: string): Render {
  const hook = join(folder, "account.cjs");
  const note = join(folder, "account.json");
  writeFileSync(hook, account);
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--require", hook, cli, "render", "--site", site, "--out", out],
    { encoding: "utf8", env: { ...process.env, SEEDSMITH_BENCH: note }, maxBuffer: 2 ** 28 },
  );
  const wall = performance.now() - start;
  if (status !== 0) throw new Error(`render ended with ${status}: ${stderr}`);
  const { maxRSS, cpu } = JSON.parse(readFileSync(note, "utf8")) as { maxRSS: number; cpu: number };
  return { wall, cpu: cpu / 1000, memory: maxRSS * 1024, output: stdout };
}

/** Time of last change of every file below a folder, by path. */
function changeTimes(folder: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const stat = lstatSync(join(folder, name));
    if (stat.isFile()) found.set(name, stat.mtimeMs);
  }
  return found;
}

/**
 * Nothing is deleted before the end: ext4 does not give out an inode that was freed a moment ago, and searches long
 * for another, which would be measured instead.
 */
export function manyNodes(): Promise<Row[]> {
  return inFolder((folder) => {
    const sizes = [
      { count: 1_000, rounds: 5, kinds: environment, of: "nodes" },
      { count: 10_000, rounds: 1, kinds: environment, of: "nodes" },
      { count: 1_000, rounds: 3, kinds: cloud, of: "nodes of a cloud" },
    ];
    const perNode: number[] = [];
    const processorPerNode: number[] = [];
    const rows: Row[] = [];
    for (const [at, { count, rounds, kinds, of }] of sizes.entries()) {
      const place = join(folder, String(at));
      mkdirSync(place);
      const site = join(place, "site.yaml");
      writeFileSync(site, largeSite(count, kinds));
      cpSync(environmentProfiles, join(place, "profiles"), { recursive: true });
      const renders: Render[] = [];
      const copies: number[] = [];
      for (let index = 0; index < rounds; index++) {
        const out = join(place, `out${index}`);
        renders.push(render(site, out, folder));
        copies.push(timed("cp", ["-r", out, join(place, `copy${index}`)]));
      }
      const wall = median(renders.map((one) => one.wall));
      const cpu = median(renders.map((one) => one.cpu));
      const memory = Math.max(...renders.map((one) => one.memory));
      const copy = median(copies);
      perNode.push(wall / count);
      processorPerNode.push(cpu / count);
      const shown = `${count.toLocaleString("en")} ${of}`;
      rows.push(
        atMost(
          `${shown} with images, verified`,
          5,
          "ms a node",
          wall / count,
          `${round(wall / 1000)} s; processor ${round(cpu / count)} ms a node on ${availableParallelism()} cores`,
        ),
        atMost(`${shown}, peak memory`, 1000, "MB", memory / 1e6),
        atMost(
          `${shown} against \`cp -r\` of the same bytes`,
          3,
          "times",
          median(renders.map((one, index) => one.wall / (copies[index] ?? Number.NaN))),
          `${round(wall / 1000)} s and ${round(copy / 1000)} s`,
        ),
      );
      const out = join(place, "out0");
      const before = changeTimes(out);
      const again = render(site, out, folder);
      const after = changeTimes(out);
      const written = [...after].filter(([name, time]) => before.get(name) !== time).length;
      rows.push(
        holds(
          `${shown} rendered again, unchanged`,
          "writes nothing",
          `${written} files written, ${round(again.wall / 1000)} s`,
          written === 0 && after.size === before.size && again.output.includes("nothing changed"),
        ),
      );
    }
    const [few = 0, many = 0] = perNode;
    const [fewProcessor = 0, manyProcessor = 0] = processorPerNode;
    rows.push(
      atMost(
        "time a node at 10,000 against 1,000 nodes",
        1.1,
        "times",
        many / few,
        `processor ${round(manyProcessor / fewProcessor)} times`,
      ),
    );
    return rows;
  });
}

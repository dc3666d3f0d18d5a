/** `seedsmith hardware import NODE FILE`: records what disks a machine has, and shows which of them are chosen. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { suggest } from "../core/suggest.ts";
import { toYaml } from "../emit/yaml.ts";
import { readInventory } from "../load/inventory.ts";
import { hardwareFolder } from "../load/library.ts";
import { describeDisk } from "../resolve/disks.ts";
import { type Choice, type Compiled, compile } from "./compile.ts";
import { diskLines } from "./install-summary.ts";

export interface HardwareResult {
  readonly compiled: Compiled;
  readonly problems: Compiled["problems"]["list"];
  /** Where the facts were written, relative to the current folder; null when they were not. */
  readonly file: string | null;
  readonly change: "created" | "changed" | "same" | null;
  readonly disks: readonly string[];
  readonly text: string;
}

/**
 * Records a machine's disks beside the site.
 * @param input path of a file, or `-` for the standard input
 */
export async function importHardware(choice: Choice, node: string, input: string): Promise<HardwareResult> {
  const before = await compile(choice);
  const problems = [...before.problems.list.filter(({ code }) => code === "no-site")];
  const result = (more: Partial<HardwareResult> = {}): HardwareResult => ({
    compiled: before,
    problems,
    file: null,
    change: null,
    disks: [],
    text: "",
    ...more,
  });
  const wrong = (message: string, hint?: string): HardwareResult => {
    problems.push({ code: "bad-hardware", at: null, message, ...(hint === undefined ? {} : { hint }) });
    return result();
  };
  if (problems.length > 0) return result();
  // Facts mend what the site lacks, so the site may be wrong otherwise; its nodes are all that is asked of it.
  const { nodes } = before;
  if (nodes === null) return result({ problems: before.problems.list });
  if (before.builtin)
    return wrong(
      "facts of machines lie beside a site, and the built-in example is nobody's",
      "seedsmith init DIR makes a site",
    );
  if (!nodes.includes(node)) return wrong(`the site has no node "${node}"`, suggest(node, nodes));
  let text: string;
  try {
    text = readFileSync(input === "-" ? 0 : resolve(choice.cwd, input), "utf8");
  } catch (error) {
    return wrong(
      `${input} cannot be read (${(error as NodeJS.ErrnoException).code ?? "error"})`,
      "check the path",
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return wrong(`${input} is not JSON`, howTo);
  }
  const inventory = readInventory(value);
  if ("wrong" in inventory) return wrong(`${input} cannot be used: ${inventory.wrong}`, howTo);

  const path = join(before.workspace, hardwareFolder, `${node}.yaml`);
  const made = `# What disks ${node} has. Made by: seedsmith hardware import; make it anew when disks change.\n${toYaml(
    {
      hardware: node,
      recorded: inventory.recorded,
      disks: inventory.disks,
    },
  )}`;
  const old = existsSync(path) ? readFileSync(path, "utf8") : null;
  if (old !== made) {
    mkdirSync(dirname(path), { recursive: true });
    const staged = `${path}.new`;
    try {
      writeFileSync(staged, made);
      renameSync(staged, path);
    } finally {
      rmSync(staged, { force: true });
    }
  }
  const change = old === null ? "created" : old === made ? "same" : "changed";
  const after = await compile({ ...choice, nodes: [node] });
  const disks = inventory.disks.map(
    (disk) =>
      `${describeDisk(disk)}${disk.medium === true ? ", an install medium or a seed" : ""}${disk.holds === undefined ? "" : `, holds ${disk.holds.join(", ")}`}`,
  );
  const shown = relative(choice.cwd, path) || path;
  const install = after.site?.byName.get(node)?.install;
  const lines = [
    `${shown} ${change}: ${disks.length} ${disks.length === 1 ? "disk" : "disks"}`,
    ...disks.map((disk) => `  ${disk}`),
  ];
  if (install !== null && install !== undefined)
    lines.push("chosen:", ...diskLines(install).map((line) => `  ${line.text}`));
  else if (!after.problems.failed) lines.push("nothing is chosen: the node has no storage:");
  return result({
    compiled: after,
    // What the site makes of the facts is told, and does not undo that they are recorded.
    problems: after.problems.list.map((problem) => ({ ...problem, notice: true as const })),
    file: shown,
    change,
    disks,
    text: `${lines.join("\n")}\n`,
  });
}

const howTo =
  "run on the machine: lsblk --json --bytes --output-all > disks.json, or lshw -json > disks.json; or take /var/log/installer/block/probe-data.json of an installation";

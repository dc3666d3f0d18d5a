/**
 * What a person needs to find out why a node failed, in one file that may be sent to others: no secret of the site
 * is in it.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { load } from "js-yaml";
import { createTar } from "nanotar";
import type { Finished } from "../command.ts";
import { plain } from "../console.ts";
import type { Driver, LabDescription, LabMachine } from "../driver.ts";
import { eventLog } from "../events.ts";
import { failureText, type SourceLine } from "../watch/words.ts";
import type { BootRecord } from "./boot-record.ts";
import { type Redactor, redactor } from "./redact.ts";

export interface BundleOptions {
  readonly driver: Driver;
  readonly lab: LabDescription;
  readonly machine: LabMachine;
  readonly record: BootRecord;
  /** Every secret of the site, raw, and the hashes of login passwords. */
  readonly secrets: readonly string[];
  /** Reads the line that a failure is blamed on. */
  readonly source?: SourceLine;
}

/** A file of the bundle before secrets are taken out. */
interface Entry {
  readonly name: string;
  readonly text: string;
}

/** Of a longer text the end is taken: that is where failures are. */
const most = 8 << 20;
/** Seconds for each question to the machine. */
const patience = 20;

/** What is asked of the machine, and the file that the answer goes into. */
const questions: readonly (readonly [file: string, argv: readonly string[]])[] = [
  ["cloud-init/status.txt", ["cloud-init", "status", "--long"]],
  ["cloud-init/status.json", ["cat", "/run/cloud-init/status.json"]],
  ["cloud-init/result.json", ["cat", "/run/cloud-init/result.json"]],
  ["cloud-init/cloud-init.log", ["cat", "/var/log/cloud-init.log"]],
  ["cloud-init/cloud-init-output.log", ["cat", "/var/log/cloud-init-output.log"]],
  ["runner/status.txt", ["/usr/local/sbin/seedsmith-node", "status"]],
  ["runner/state.json", ["cat", "/var/lib/seedsmith/state/state.json"]],
  ["runner/journal.txt", ["journalctl", "-u", "seedsmith-node.service", "--no-pager", "-o", "short-iso"]],
  ["packages/dpkg.log", ["cat", "/var/log/dpkg.log"]],
  ["packages/term.log", ["cat", "/var/log/apt/term.log"]],
  ["system/failed-units.txt", ["systemctl", "--failed", "--no-pager", "--plain", "--no-legend"]],
  ["system/warnings.txt", ["journalctl", "-p", "warning", "-n", "1000", "--no-pager", "-o", "short-iso"]],
  ["system/addresses.txt", ["ip", "address"]],
  ["system/routes.txt", ["ip", "route"]],
  ["system/disks.txt", ["df", "-h"]],
  ["system/memory.txt", ["free", "-m"]],
];

/** The units that `systemctl --failed --plain --no-legend` lists. */
function failedUnits(text: string): string[] {
  return text
    .split("\n")
    .map((line) => /^(?:[●*] )?(\S+\.\w+)\s/.exec(line)?.[1])
    .filter((unit) => unit !== undefined);
}

/** Asks the machine; the first time that it cannot be reached ends that. */
async function ask({ driver, lab, machine }: BundleOptions, missing: string[]): Promise<Entry[]> {
  const entries: Entry[] = [];
  const put = (name: string, done: Finished): void => {
    if (done.stdout !== "") entries.push({ name, text: done.stdout });
    else missing.push(`${name}: ${done.stderr.trim().split("\n").at(-1) || "empty"}`);
  };
  try {
    for (const [name, argv] of questions)
      put(name, await driver.exec(lab, machine.name, argv, { timeout: patience }));
    const failed = entries.find(({ name }) => name === "system/failed-units.txt")?.text ?? "";
    for (const unit of failedUnits(failed)) {
      const argv = ["journalctl", "-u", unit, "-n", "2000", "--no-pager", "-o", "short-iso"];
      const file = unit.replaceAll(/[^\w.@-]/g, "_").slice(0, 50);
      put(`units/${file}.txt`, await driver.exec(lab, machine.name, argv, { timeout: patience }));
    }
  } catch (error) {
    missing.push(`the machine does not answer: ${(error as Error).message.split("\n")[0]}`);
  }
  return entries;
}

const seedFiles = ["user-data", "meta-data", "network-config", "vendor-data", "plan.json"] as const;

function textOf(path: string): string | null {
  return existsSync(path) ? readFileSync(path, "utf8") : null;
}

/** All texts in a YAML value, those that it holds in base64 or compressed too. */
function* textsIn(value: unknown): Generator<string> {
  if (typeof value === "string") {
    yield value;
    if (value.length >= 8 && /^[A-Za-z0-9+/\s]+=*\s*$/.test(value)) {
      const bytes = Buffer.from(value, "base64");
      yield bytes.toString("utf8");
      try {
        yield gunzipSync(bytes).toString("utf8");
      } catch {}
    }
  } else if (Array.isArray(value)) for (const item of value) yield* textsIn(item);
  else if (typeof value === "object" && value !== null)
    for (const [key, item] of Object.entries(value)) {
      yield key;
      yield* textsIn(item);
    }
}

/** Whether a YAML text, read as cloud-init reads it, still has a secret; true as well where it cannot be read. */
function leaksAsYaml(text: string, redact: Redactor): boolean {
  try {
    for (const found of textsIn(load(text))) if (redact.leaks(found)) return true;
    return false;
  } catch {
    return true;
  }
}

/**
 * The files of the seed without secrets. What was taken out of user-data is checked by reading it back, also what is
 * encoded in it; should anything be left, the file is left out.
 */
function seed(machine: LabMachine, redact: Redactor, missing: string[]): Entry[] {
  const entries: Entry[] = [];
  for (const name of seedFiles) {
    const text = textOf(join(machine.seed, name));
    if (text === null) {
      missing.push(`seed/${name}: not there`);
      continue;
    }
    if (name !== "plan.json" && leaksAsYaml(redact(text), redact))
      missing.push(`seed/${name}: left out, for a secret would be in it`);
    else entries.push({ name: `seed/${name}`, text });
  }
  return entries;
}

function about({ lab, record, source }: BundleOptions, redact: Redactor, missing: readonly string[]): string {
  const why =
    record.failure === null
      ? `${record.node} is not READY (${record.phase})\n`
      : failureText(record.node, record.failure, source);
  const differences = record.differences.map((one) => `  ${one}\n`).join("");
  return `${why}
site ${lab.site}, node ${record.node}, target ${record.target}, driver ${record.driver}
gathered ${new Date(record.gathered).toISOString()}
${differences === "" ? "" : `\nIt differs from production:\n${differences}`}
console.log       what the machine printed, over all boots
cloud-init/       its logs and status
runner/           the first boot's events, state and journal
units/            the journal of each failed unit
packages/         what dpkg and apt did
system/           failed units, warnings, addresses, disks, memory
seed/             the seed, with <secret> where one stood; plan.json names the secret instead

Secrets of the site are replaced by <secret>, and so is what looks like a password, key or token. Secrets that a program
on the node made by itself and prints without calling them so cannot be recognised: read before you send this on.
${redact.tooShort === 0 ? "" : `${redact.tooShort} secrets are too short to be recognised in a text.\n`}${
  missing.length === 0 ? "" : `\nNot in here:\n${missing.map((one) => `  ${one}\n`).join("")}`
}`;
}

/**
 * Writes `failed-<node>.tar.gz` into the lab's folder, with mode 0600, and replaces an earlier one. A machine that
 * does not answer makes a smaller bundle, which says so.
 * @returns its path
 */
export async function writeFailureBundle(options: BundleOptions): Promise<string> {
  const { driver, lab, machine, record, secrets } = options;
  const redact = redactor(secrets);
  const missing: string[] = [];
  const answers = await ask(options, missing);
  const console = textOf(driver.console(lab, machine.name));
  if (console === null) missing.push("console.log: not there");
  const entries: Entry[] = [
    ...(console === null ? [] : [{ name: "console.log", text: plain(console) }]),
    {
      name: `runner/${eventLog.split("/").at(-1)}`,
      // Value by value: what a program printed may be quoted already, and would be quoted once more here.
      text: record.events
        .map(
          (event) =>
            `${JSON.stringify(event, (_, value: unknown) => (typeof value === "string" ? redact(value) : value))}\n`,
        )
        .join(""),
    },
    ...answers,
    ...seed(machine, redact, missing),
  ];
  // A tar of the old form has no names of more than 100 characters.
  const top = `failed-${machine.name}`.slice(0, 36);
  const files = [{ name: "README.txt", text: about(options, redact, missing) }, ...entries].map(
    ({ name, text }: Entry) => ({
      name: `${top}/${name}`,
      data: Buffer.from(redact(text.slice(-most)), "utf8"),
    }),
  );
  const tar = createTar(files, {
    attrs: { mode: "600", uid: 0, gid: 0, user: "root", group: "root", mtime: record.gathered },
  });
  mkdirSync(lab.folder, { recursive: true, mode: 0o700 });
  const path = join(lab.folder, `failed-${machine.name}.tar.gz`);
  rmSync(`${path}.new`, { force: true });
  writeFileSync(`${path}.new`, gzipSync(tar), { mode: 0o600 });
  renameSync(`${path}.new`, path);
  return path;
}

/** Renders sites by the real command line and boots their nodes in a lab. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BaseRoot, baseRoot } from "../../src/lab/base-root.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { readSeed, type Seed } from "../../src/lab/seed.ts";

/** The folder of the sources. */
export const repository: string = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** Where base roots and packages are kept between runs. */
export const cache = process.env.SEEDSMITH_CACHE ?? join(repository, ".cache");

/** A workspace with a site, made for one test. */
export class Workspace {
  readonly folder: string;
  readonly #site: string;

  /**
   * @param site its name
   * @param from folder of the repository that is taken; that of the tests of that name without it
   */
  constructor(site = "boot", from = join("tests", site, "site")) {
    this.folder = mkdtempSync(join(tmpdir(), "seedsmith-boot-"));
    this.#site = site;
    cpSync(join(repository, from), this.folder, { recursive: true });
  }

  write(path: string, text: string): void {
    const place = join(this.folder, path);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, text);
  }

  /** Replaces a text of the site that must stand there. */
  edit(from: string, to: string): void {
    const path = join(this.folder, "site.yaml");
    const text = readFileSync(path, "utf8");
    if (!text.includes(from)) throw new Error(`the site has no ${JSON.stringify(from)}`);
    writeFileSync(path, text.replace(from, to));
  }

  /** Runs `seedsmith render` and returns what it printed. */
  render(...args: string[]): string {
    if (!existsSync(join(repository, "dist", "cli.js"))) throw new Error("dist/ is missing: npm run build");
    return execFileSync(process.execPath, [join(repository, "dist", "cli.js"), "render", ...args], {
      cwd: this.folder,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  path(...parts: string[]): string {
    return join(this.folder, "build", this.#site, ...parts);
  }

  /** The rendered bytes of a node's seed. */
  seed(node: string): Seed {
    return readSeed(this.path(node));
  }

  /** Every secret of the site by name. */
  secrets(): Record<string, string> {
    const store = JSON.parse(readFileSync(join(this.folder, ".seedsmith", `${this.#site}.json`), "utf8")) as {
      secrets: Record<string, { value: string }>;
    };
    return Object.fromEntries(Object.entries(store.secrets).map(([name, { value }]) => [name, value]));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The last octets of the nodes' MAC addresses in tests/boot/site/site.yaml. */
const octets: Record<string, string> = {
  con01: "01",
  con02: "02",
  con03: "03",
  com01: "0b",
  small: "15",
  small2: "16",
  small3: "17",
  small4: "18",
};

/** A lab with the site's two networks; the router has the gateways' addresses. */
export async function makeLab(): Promise<Lab> {
  const base = await baseRoot({ cache, release: "bookworm", progress: (line) => console.log(`  ${line}`) });
  const lab = await Lab.create({ cache, base });
  await lab.addSegment({ name: "management", addresses: ["10.0.0.254/24"] });
  await lab.addSegment({ name: "provider", addresses: ["198.51.100.1/24"] });
  return lab;
}

export interface NodeOptions {
  /** Devices of this host that it has; none unless told. */
  readonly binds?: readonly string[];
  /** What is done to its seed before. */
  readonly change?: (seed: Seed) => Seed;
  /** What it is made of; the lab's base root unless told. */
  readonly base?: BaseRoot;
}

/** Adds a node of the workspace's site as a machine, switched off. */
export async function addNode(
  lab: Lab,
  workspace: Workspace,
  node: string,
  { binds = [], change = (seed) => seed, base }: NodeOptions = {},
): Promise<Machine> {
  const octet = octets[node];
  if (octet === undefined) throw new Error(`no MAC address for ${node}`);
  const machine = {
    name: node,
    seed: change(workspace.seed(node)),
    ports: [
      { segment: "management", name: "ens3", mac: `52:54:00:0a:00:${octet}` },
      { segment: "provider", name: "provider", mac: `52:54:00:cb:00:${octet}` },
    ],
    capabilities: ["all"],
    binds,
  };
  return await lab.addMachine(machine, base);
}

/** What a failed verdict must say in a test's message. */
export async function story(machine: Machine): Promise<string> {
  const events = machine
    .events()
    .slice(-5)
    .map((event) => JSON.stringify(event));
  return [`${machine.name}:`, ...events, ...machine.consoleTail(15)].join("\n");
}

/** The line on which a text stands in a file of the workspace, from 1. */
export function lineOf(workspace: Workspace, path: string, text: string): number {
  const lines = readFileSync(join(workspace.folder, path), "utf8").split("\n");
  const index = lines.findIndex((line) => line.includes(text));
  if (index < 0) throw new Error(`${path} has no ${JSON.stringify(text)}`);
  return index + 1;
}

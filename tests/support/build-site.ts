/** Compiles sites for tests: the fixtures, the example, or a site written in the test. */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Compiled, compile } from "../../src/commands/compile.ts";
import { renderInMemory } from "../../src/commands/render.ts";
import type { Problem } from "../../src/core/problem.ts";
import { formatProblems } from "../../src/core/report.ts";
import type { Vault } from "../../src/emit/cloud-config.ts";
import { dnsmasqConfig } from "../../src/emit/dnsmasq.ts";
import { keaConfig } from "../../src/emit/kea.ts";
import type { Artifact } from "../../src/emit/lines.ts";
import {
  directKernel,
  grubConfig,
  grubEntry,
  grubRefusal,
  ipxeEntry,
  ipxeRefusal,
  ipxeScript,
  pxelinuxEntry,
  pxelinuxRefusal,
} from "../../src/emit/netboot.ts";
import { nginxConfig } from "../../src/emit/nginx.ts";
import { planJson } from "../../src/emit/plan-json.ts";
import type { Action, NodePlan, PlannedFile } from "../../src/plan/model.ts";
import type { Netboot, Site } from "../../src/resolve/model.ts";
import { readFat } from "../../src/verify/fat-reader.ts";

/** The repository. */
export const root: string = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
export const fixtures: string = join(root, "tests", "fixtures", "library");
export const golden: string = join(root, "tests", "golden");
export const fixtureSites: readonly string[] = ["one", "two", "split", "three"];

/**
 * A vault without secrets: each value is made from its name, so that goldens hold none and repeat. The values have
 * the characters that every encoder must care for.
 */
export const fakeVault: Vault = {
  reveal: (secret) => `secret/${secret}$'"%`,
  passwordHash: (secret) =>
    `$6$golden$${createHash("sha256").update(secret).digest("base64url").slice(0, 20)}`,
};

/** Compiles a site of a package (a folder with templates/, profiles/, targets/, guest/). */
export function compileSite(
  site: string,
  packageRoot: string = fixtures,
  target: string | null = null,
): Promise<Compiled> {
  return compile({ packageRoot, cwd: packageRoot, site, target, profiles: [], nodes: [] });
}

/** A compiled site in which nothing is wrong, with all plans. */
export async function planned(
  site: string,
  packageRoot: string = fixtures,
  target: string | null = null,
): Promise<{ compiled: Compiled; plans: ReadonlyMap<string, NodePlan> }> {
  const compiled = await compileSite(join(packageRoot, "sites", site, "site.yaml"), packageRoot, target);
  const plans = new Map<string, NodePlan>();
  for (const node of compiled.chosen)
    if (compiled.plan !== null) plans.set(node.name, compiled.plan.plan(node));
  refuse(compiled);
  return { compiled, plans };
}

function refuse(compiled: Compiled): void {
  if (compiled.problems.failed) throw new Error(formatProblems(compiled.problems.list, compiled.source));
}

/** All artifacts of a site, with the fake vault's values for secrets. */
export async function rendered(
  site: string,
  packageRoot: string = fixtures,
  target: string | null = null,
): Promise<{ compiled: Compiled; nodes: ReadonlyMap<string, readonly Artifact[]> }> {
  const compiled = await compileSite(join(packageRoot, "sites", site, "site.yaml"), packageRoot, target);
  const { nodes } = renderInMemory(compiled, fakeVault);
  refuse(compiled);
  return { compiled, nodes };
}

/** The plan as its golden has it. */
export function planText(plan: NodePlan): string {
  return planJson(plan).text;
}

/** The runner changes often and says nothing about the compiler: in goldens its blob is a digest's length. */
export function withoutRunner(userData: string): string {
  return userData.replace(
    /^( *encoding: gz\+b64\n *content: )(.+)$/m,
    (_, head: string) => `${head}<the runner, compressed>`,
  );
}

/** A folder that is gone after `use`. */
export async function inTemporaryFolder<T>(use: (folder: string) => T | Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-test-"));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Writes files (by path relative to the folder), making parents. */
export function writeTree(folder: string, files: { readonly [path: string]: string }): void {
  for (const [path, text] of Object.entries(files)) {
    const place = join(folder, path);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, text);
  }
}

/** Compiles a small library and site written in a test. Paths are those of a package; sites/x/site.yaml is the site. */
export async function compileFiles(files: {
  readonly [path: string]: string;
}): Promise<{ compiled: Compiled; plans: ReadonlyMap<string, NodePlan>; problems: readonly Problem[] }> {
  return inTemporaryFolder(async (folder) => {
    cpSync(join(fixtures, "guest"), join(folder, "guest"), { recursive: true });
    cpSync(join(fixtures, "targets"), join(folder, "targets"), { recursive: true });
    writeTree(folder, files);
    const compiled = await compileSite(join(folder, "sites", "x", "site.yaml"), folder);
    const plans = new Map<string, NodePlan>();
    for (const node of compiled.chosen) {
      const plan = compiled.plan?.plan(node);
      if (plan !== undefined) plans.set(node.name, plan);
    }
    return { compiled, plans, problems: compiled.problems.list.filter((one) => one.notice !== true) };
  });
}

/** The text of a site with nodes of one profile each, on one network. */
export function siteText(nodes: { readonly [name: string]: string }, more = ""): string {
  const lines = Object.entries(nodes).map(
    ([name, profile], index) =>
      `  ${name}: { profile: ${profile}, interfaces: { management: { mac: "52:54:00:00:00:${String(index + 10)}", address: 10.0.0.${index + 1} } } }`,
  );
  return `site: x\ntarget: alpha-1\nnetworks: { management: { cidr: 10.0.0.0/24 } }\naccess: { users: [{ name: ops, password: true }] }\nnodes:\n${lines.join("\n")}\n${more}`;
}

/** Every action of a plan in order, without the checks. */
export function actionsOf(plan: NodePlan): readonly Action[] {
  return plan.blocks.flatMap((block) => block.actions);
}

/** The actions as short texts: `wait store.database[api] on data`, `unit api.service`. */
export function story(plan: NodePlan): readonly string[] {
  return actionsOf(plan).map(
    (action) => `${action.kind} ${action.kind === "unit" ? action.unit : action.name}`,
  );
}

export function fileOf(plan: NodePlan, path: string): PlannedFile {
  const file = plan.files.find((one) => one.path === path);
  if (file === undefined) throw new Error(`${plan.node} has no file ${path}`);
  return file;
}

/** Files below a folder, relative and sorted. */
export function listFiles(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) =>
        join(entry.parentPath, entry.name)
          .slice(folder.length + 1)
          .split("\\")
          .join("/"),
      )
      .sort();
  } catch {
    return [];
  }
}

/** The site with every form of network, rendered with the built-in library. */
export async function networksSite(target: string | null = null): Promise<{
  compiled: Compiled;
  nodes: ReadonlyMap<string, readonly Artifact[]>;
}> {
  const compiled = await compileSite(join(root, "tests", "fixtures", "networks", "site.yaml"), root, target);
  const { nodes } = renderInMemory(compiled, fakeVault);
  refuse(compiled);
  return { compiled, nodes };
}

/** What of its goldens is kept: the network, in both forms. */
export function networkGoldens(
  nodes: ReadonlyMap<string, readonly Artifact[]>,
): readonly (readonly [string, string])[] {
  return [...nodes].flatMap(([node, artifacts]) => {
    const drive = artifacts.find(({ name }) => name === "config-drive.img");
    const files = [
      ...artifacts.filter(({ name }) => name === "network-config"),
      ...(drive === undefined ? [] : readFat(drive.bytes).files.filter(({ name }) => name.endsWith(".json"))),
    ];
    return files.map(
      ({ name, bytes }) =>
        [`networks/${node}/${name.split("/").at(-1)}`, new TextDecoder().decode(bytes)] as const,
    );
  });
}

/** What machines of the site sites/pxe read when they boot from the network, by its path below tests/golden. */
export async function netbootGoldens(): Promise<ReadonlyMap<string, string>> {
  const { compiled } = await planned("pxe", root);
  const site = compiled.site as Site;
  const netboot = site.netboot as Netboot;
  const found = new Map<string, string>();
  const put = (name: string, text: string | null): void => {
    if (text !== null) found.set(`netboot/${name}`, text);
  };
  put("dnsmasq.conf", dnsmasqConfig(site, null));
  put("kea-dhcp4.conf", keaConfig(site));
  put("nginx.conf", nginxConfig(site, "/srv/pxe/www"));
  put("boot.ipxe", ipxeScript(netboot));
  put("grub.cfg", grubConfig(netboot));
  for (const [loader, entry, refusal] of [
    ["ipxe", ipxeEntry, ipxeRefusal],
    ["grub", grubEntry, grubRefusal],
    ["pxelinux", pxelinuxEntry, pxelinuxRefusal],
  ] as const) {
    put(`${loader}-refusal`, refusal(site, { mac: "52:54:00:0a:00:99" }));
    for (const node of site.nodes)
      for (const answer of ["install", "local"] as const)
        put(`${node.name}-${loader}-${answer}`, entry(site, node, answer));
  }
  for (const node of site.nodes) put(`${node.name}-direct`, `${directKernel(site, node)?.append ?? ""}\n`);
  const { nodes } = renderInMemory(compiled, fakeVault);
  // What of its installation has to do with the boot server.
  for (const [node, artifacts] of nodes) {
    const file = artifacts.find(({ name }) => name === "autoinstall/autoinstall.yaml");
    const text = new TextDecoder().decode(file?.bytes);
    put(
      `${node}-autoinstall-reports`,
      text
        .split(/^(?=[a-z-]+:)/m)
        .filter((key) => /^(reporting|late-commands|error-commands):/.test(key))
        .join(""),
    );
  }
  return found;
}

/** Every golden of a kind, by its path below tests/golden. */
export async function goldens(): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>(await netbootGoldens());
  for (const site of fixtureSites) {
    const { plans } = await planned(site);
    for (const [node, plan] of plans) found.set(`plans/${site}/${node}.json`, planText(plan));
  }
  for (const [path, text] of networkGoldens((await networksSite()).nodes)) found.set(path, text);
  for (const site of otherSites()) {
    const { plans } = await planned(site, root);
    for (const [node, plan] of plans) found.set(`sites/${site}/${node}.json`, planText(plan));
  }
  for (const target of exampleTargets()) {
    const { nodes } = await rendered("example", root, target);
    for (const [node, artifacts] of nodes) {
      const folder = `example/${target}/${node}`;
      for (const { name, bytes } of artifacts) {
        if (name === "seed.iso") continue;
        found.set(`${folder}/${name}`, withoutRunner(new TextDecoder().decode(bytes)));
      }
      found.set(
        `${folder}/files`,
        `${artifacts
          .map(({ name }) => name)
          .sort()
          .join("\n")}\n`,
      );
    }
  }
  const { nodes } = await racked();
  for (const [node, artifacts] of nodes) found.set(`install/${node}.yaml`, installText(artifacts));
  return found;
}

/** The fixture site of installations, with the package's own library. */
export async function racked(): Promise<{
  compiled: Compiled;
  nodes: ReadonlyMap<string, readonly Artifact[]>;
}> {
  const compiled = await compileSite(join(root, "tests", "fixtures", "rack", "site.yaml"), root);
  const { nodes } = renderInMemory(compiled, fakeVault);
  refuse(compiled);
  return { compiled, nodes };
}

/** What a node's installer reads; the first boot that it hands over is the seed, which has goldens of its own. */
export function installText(artifacts: readonly Artifact[]): string {
  const bytes = artifacts.find(({ name }) => name === "autoinstall/autoinstall.yaml")?.bytes;
  const text = new TextDecoder().decode(bytes);
  return `${text.slice(0, text.indexOf("\nuser-data:\n"))}\nuser-data: <the seed's>\n`;
}

/** The package's example sites besides the built-in one. */
export function otherSites(): readonly string[] {
  return readdirSync(join(root, "sites"))
    .filter((name) => name !== "example")
    .sort();
}

/** The targets that the package has. */
export function exampleTargets(): readonly string[] {
  return readdirSync(join(root, "targets"))
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => file.slice(0, -".yaml".length))
    .sort();
}

/** Where a text differs from its golden, as advice; null where it does not. */
export function differenceFromGolden(path: string, text: string): string | null {
  const before = readGolden(path);
  if (before === text) return null;
  const advice = "run npm run bless and review the diff";
  if (before === null) return `tests/golden/${path} does not exist: ${advice}`;
  const lines = text.split("\n");
  const old = before.split("\n");
  const at = lines.findIndex((line, index) => line !== old[index]);
  return `tests/golden/${path}:${at + 1} has ${JSON.stringify(old[at])}, now it is ${JSON.stringify(lines[at])}: ${advice}`;
}

export function readGolden(path: string): string | null {
  try {
    return readFileSync(join(golden, path), "utf8");
  } catch {
    return null;
  }
}

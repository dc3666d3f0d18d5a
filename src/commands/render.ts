/** `seedsmith render`: plans, emits, verifies and writes the chosen nodes. */
import { readFileSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type MessagePort, Worker } from "node:worker_threads";
import type { Problem, Problems } from "../core/problem.ts";
import { emitCarriers } from "../emit/carriers.ts";
import type { Vault } from "../emit/cloud-config.ts";
import { type Artifact, memoryOfOneNode, newMemory } from "../emit/lines.ts";
import { kindOf } from "../emit/made.ts";
import { nodeEmitter, seedFiles } from "../emit/node.ts";
import { qemuArguments } from "../emit/qemu.ts";
import { siteFiles } from "../emit/site-files.ts";
import { findSite } from "../load/library.ts";
import type { NodePlan } from "../plan/model.ts";
import type { SitePlan } from "../plan/plan.ts";
import type { Node, Site } from "../resolve/model.ts";
import { verifyNode } from "../verify/reparse.ts";
import { Origins } from "../write/origins.ts";
import { SecretStore } from "../write/secret-store.ts";
import {
  type Change,
  digest,
  type Manifest,
  type ManifestEntry,
  type OpenTree,
  openTree,
  readManifest,
  TreeError,
  TreeWriter,
} from "../write/tree.ts";
import { type Choice, type Compiled, compile } from "./compile.ts";
import { type InstallSummary, installSummary } from "./install-summary.ts";

/** What happened to one node's files. */
export interface NodeResult {
  readonly node: string;
  readonly target: string;
  readonly profile: string;
  readonly packages: number;
  readonly files: number;
  readonly steps: number;
  readonly checks: number;
  readonly isoSize: number;
  readonly isoDigest: string;
  /** What its release's installer does, or null. */
  readonly install: InstallSummary | null;
  /** The qemu command line that boots it from below the site's output folder. */
  readonly qemu: readonly string[];
  readonly changes: { readonly [change in Change]: number };
}

export interface RenderResult {
  readonly compiled: Compiled;
  readonly problems: readonly Problem[];
  /** The site's output folder. */
  readonly folder: string;
  readonly nodes: readonly NodeResult[];
  readonly removed: number;
  /** False when nothing differed from what was there. */
  readonly wrote: boolean;
}

/** Sites above this size are rendered by two threads. */
const parallelFrom = 300;
/** A site file of so many bytes is probably above it: the other thread starts at once, and reads it too. */
const probablyLarge = 20_000;
/** How many nodes a thread takes at a time: what is left at the end is done by one of them alone. */
const shareSize = 8;

/** Hands out the numbers of the nodes to render to whichever thread is free. */
function* shares(next: Int32Array, total: number): Generator<number> {
  for (;;) {
    const start = Atomics.add(next, 0, shareSize);
    if (start >= total) return;
    for (let index = start; index < Math.min(total, start + shareSize); index++) yield index;
  }
}

interface Part {
  readonly results: NodeResult[];
  readonly entries: [string, ManifestEntry][];
  readonly pending: readonly (readonly [string, string])[];
  readonly origins: ReturnType<Origins["toFile"]>;
  readonly problems: readonly Problem[];
  readonly failure: { readonly path: string; readonly reason: string } | null;
}

/** Renders some nodes into a tree writer. */
function renderNodes(
  compiled: Compiled,
  nodes: Iterable<Node>,
  atOnce: boolean,
  vault: Vault,
  root: string | null,
  old: Manifest | null,
  prefix: string,
  progress: (done: number) => void,
): Part & { writer: TreeWriter | null; artifacts: Map<string, readonly Artifact[]> } {
  const writer = root === null ? null : new TreeWriter(root, old, prefix);
  // What is written is written before the next node is begun.
  const emit = nodeEmitter(compiled.guest, vault, writer === null ? newMemory : memoryOfOneNode());
  const origins = new Origins();
  const results: NodeResult[] = [];
  const artifacts = new Map<string, readonly Artifact[]>();
  let failure: Part["failure"] = null;
  const { problems, plan: sitePlan } = compiled;
  const plans: NodePlan[] = [];
  let done = 0;
  // A few nodes are all planned before anything is emitted; of many, each is finished before the next is begun.
  const finish = (plan: NodePlan): void => {
    const seed = emit(plan);
    const carried = emitCarriers(
      plan,
      seed.filter(({ name }) => seedFiles.includes(name)),
    );
    for (const { message, hint, from, bearable } of carried.faults)
      problems.add({
        code: "carrier",
        at: from,
        message: `${plan.node}: ${message}`,
        hint,
        ...(bearable ? { notice: true as const } : {}),
      });
    const made = carried.artifacts.length === 0 ? seed : [...seed, ...carried.artifacts];
    for (const wrong of [
      ...verifyNode(made, kindOf(plan)),
      ...(plan.install === undefined ? [] : (compiled.judgeInstall?.(made, plan.install) ?? [])),
    ])
      problems.add({
        code: "verification",
        at: null,
        message: `${plan.node}: ${wrong}`,
        hint: "this is a defect of seedsmith: please report it with the site",
      });
    const changes = { created: 0, changed: 0, same: 0, removed: 0 };
    for (const artifact of made) {
      const name = `${plan.node}/${artifact.name}`;
      if (writer !== null) changes[writer.put(name, artifact.bytes)] += 1;
      if (artifact.origins.length > 0) origins.add(name, artifact.origins);
    }
    if (writer === null) artifacts.set(plan.node, made);
    const iso = made.find((artifact) => artifact.name === "seed.iso");
    const size = iso?.bytes.length ?? 0;
    results.push({
      node: plan.node,
      target: plan.target.name,
      profile: plan.profile,
      packages: plan.packages.length,
      files: plan.files.length,
      steps: plan.blocks.reduce((sum, block) => sum + block.actions.length, 0),
      checks: plan.checks.length,
      isoSize: size,
      isoDigest:
        iso === undefined ? "" : (writer?.entries.get(`${plan.node}/seed.iso`)?.sha256 ?? digest(iso.bytes)),
      install: plan.install === undefined ? null : installSummary(plan.install),
      qemu: qemuArguments(plan, `${plan.node}/seed.iso`, `${plan.target.name}.qcow2`),
      changes,
    });
  };
  try {
    for (const node of nodes) {
      const plan = sitePlan?.plan(node);
      if (plan === undefined) continue;
      if (problems.failed) continue;
      if (atOnce) plans.push(plan);
      else finish(plan);
      done += 1;
      if (done % 100 === 0) progress(done);
      if (done % tidyEvery === 0) tidyHeap();
    }
    if (!problems.failed) for (const plan of plans) finish(plan);
  } catch (error) {
    if (!(error instanceof TreeError)) throw error;
    failure = { path: error.path, reason: error.reason };
  }
  return {
    results,
    entries: [...(writer?.entries ?? [])],
    pending: writer?.pending ?? [],
    origins: origins.toFile(),
    problems: problems.list,
    failure,
    writer,
    artifacts,
  };
}

export interface RenderOptions extends Choice {
  readonly out: string;
  readonly progress?: (done: number, total: number) => void;
  /** How to start a worker; null renders in this thread. */
  readonly workerUrl: URL | null;
}

/** The vault of a site: opens the store and fills it. Null when a secret cannot be had. */
export function openVault(compiled: Compiled): { store: SecretStore; vault: Vault } | null {
  const { site, plan, problems, workspace } = compiled;
  if (site === null || plan === null) return null;
  const store = SecretStore.open(workspace, site.name, problems);
  if (store === null) return null;
  store.provide(plan.secrets, site.doc.secrets ?? {}, site.loaded, workspace, problems);
  return { store, vault: { reveal: store.reveal, passwordHash: store.passwordHash } };
}

/**
 * A thread tidies its heap after so many nodes. Each time costs as much as the site is large, so that more often makes
 * nodes of a large site dearer; never at all, 10,000 nodes took 1157 MB.
 */
const tidyEvery = 750;

/**
 * Gives back what reading a large site, or rendering many nodes, took: much of it lies outside of the heap proper, and
 * the collector would rather let each thread grow than look there.
 */
function tidyHeap(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

/**
 * Lets V8 optimize only what runs much more often than it would ask for. Its compiler works in threads of its own, and
 * where two threads render there is no core left for them: it took 30 % of the processor time of 1,000 nodes, most
 * of it for functions that never earned that back. Of a few nodes, nothing earns it back. The setting is the process's,
 * of all threads. A thread must have read the program before: V8 takes no code cache made under other settings.
 */
function optimizeLess(many: boolean): void {
  // An option of V8's own, not of Node: where it is not known to be there, nothing is said.
  const version = Number.parseInt(process.versions.v8, 10);
  if (version >= 11 && version <= 13) setFlagsFromString(`--interrupt-budget=${many ? 400_000 : 1_000_000}`);
}

export async function render(options: RenderOptions): Promise<RenderResult> {
  const parallel = options.workerUrl !== null && siteIsLarge(options);
  if (!parallel) optimizeLess(false);
  const other = parallel ? new RenderWorker(options) : null;
  try {
    return await renderWith(options, other);
  } finally {
    other?.end();
  }
}

/** Whether there may be work for two threads; the number of nodes is known only when the site is read. */
function siteIsLarge(options: RenderOptions): boolean {
  const path = options.site === null ? findSite(options.cwd) : resolve(options.cwd, options.site);
  try {
    return path !== null && statSync(path).size >= probablyLarge;
  } catch {
    return false;
  }
}

async function renderWith(options: RenderOptions, other: RenderWorker | null): Promise<RenderResult> {
  const compiled = await compile(options);
  const { problems, site } = compiled;
  const folder = site === null ? "" : join(resolve(options.cwd, options.out), site.name);
  const nothing = (): RenderResult => ({
    compiled,
    problems: problems.list,
    folder,
    nodes: [],
    removed: 0,
    wrote: false,
  });
  if (site === null || compiled.plan === null) return nothing();
  // The other nodes' plans are made for their problems: a site is right as a whole or not at all.
  if (compiled.narrowed)
    for (const node of site.nodes) if (!compiled.chosen.includes(node)) compiled.plan.plan(node);
  const opened = openVault(compiled);
  if (opened === null || problems.failed) {
    if (!problems.failed) return nothing();
    for (const node of compiled.chosen) compiled.plan.plan(node);
    return nothing();
  }
  let tree: OpenTree;
  try {
    tree = openTree(folder);
  } catch (error) {
    if (!(error instanceof TreeError)) throw error;
    problems.add(unwritable(options.cwd, error.path, error.reason));
    return nothing();
  }
  try {
    return await writeTree(options, other, compiled, site, compiled.plan, opened, folder, nothing);
  } catch (error) {
    if (!(error instanceof TreeError)) throw error;
    problems.add(unwritable(options.cwd, error.path, error.reason));
    return nothing();
  } finally {
    tree.close();
  }
}

async function writeTree(
  options: RenderOptions,
  other: RenderWorker | null,
  compiled: Compiled,
  site: Site,
  plan: SitePlan,
  { store, vault }: { readonly store: SecretStore; readonly vault: Vault },
  folder: string,
  nothing: () => RenderResult,
): Promise<RenderResult> {
  const { problems } = compiled;
  const old = readManifest(folder);
  const total = compiled.chosen.length;
  let parts: (Part & { writer?: TreeWriter | null })[];
  const { chosen } = compiled;
  if (other !== null && total >= parallelFrom) {
    tidyHeap();
    store.save();
    const done = [0, 0];
    const report = (index: number) => (count: number) => {
      done[index] = count;
      options.progress?.((done[0] ?? 0) + (done[1] ?? 0), total);
    };
    const next = new Int32Array(new SharedArrayBuffer(4));
    const theirs = other.render(
      {
        names: chosen.map((node) => node.name),
        root: folder,
        secrets: store.snapshot(plan.secrets.keys()),
        next,
        read: compiled.read,
      },
      report(1),
    );
    const taken = function* (): Generator<Node> {
      for (const index of shares(next, total)) yield chosen[index] as Node;
    };
    const own = renderNodes(compiled, taken(), false, vault, folder, old, "a", report(0));
    parts = [own, await theirs];
  } else {
    parts = [
      renderNodes(compiled, chosen, total <= 64, vault, folder, old, "a", (done) =>
        options.progress?.(done, total),
      ),
    ];
  }
  for (const part of parts) for (const problem of part.problems) problems.add(problem);
  const writer = parts[0]?.writer as TreeWriter;
  const failure = parts.map((part) => part.failure).find((one) => one !== null);
  if (failure !== undefined && failure !== null)
    problems.add(unwritable(options.cwd, failure.path, failure.reason));
  if (problems.failed) {
    writer.discard();
    return nothing();
  }

  // The manifest: what was rendered now, and other nodes' files as they were.
  const entries = new Map<string, ManifestEntry>();
  const rendered = new Set(compiled.chosen.map((node) => node.name));
  const removed: string[] = [];
  for (const [file, entry] of Object.entries(old?.files ?? {})) {
    const node = file.split("/")[0] ?? "";
    if (rendered.has(node)) continue;
    if (compiled.narrowed || site.byName.has(node)) entries.set(file, entry);
  }
  const origins = new Origins();
  const oldOrigins = compiled.narrowed ? readOrigins(folder) : null;
  if (oldOrigins !== null) origins.merge(oldOrigins, (file) => entries.has(file));
  for (const part of parts) {
    for (const [file, entry] of part.entries) entries.set(file, entry);
    origins.merge(part.origins, () => true);
  }
  const ofSite = siteFiles(site);
  for (const { name, bytes } of ofSite) entries.set(name, { sha256: digest(bytes), size: bytes.length });
  for (const file of Object.keys(old?.files ?? {})) {
    if (!entries.has(file) && file !== "origins.json") removed.push(file);
  }
  try {
    const originsText = Buffer.from(origins.toText());
    const changed = [writer.put("origins.json", originsText)];
    for (const { name, bytes } of ofSite) changed.push(writer.put(name, bytes));
    entries.delete("manifest.json");
    entries.set("origins.json", { sha256: digest(originsText), size: originsText.length });
    const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
    const text = `{\n"format": 1,\n"site": ${JSON.stringify(site.name)},\n"files": {\n${sorted.map(([file, entry]) => `${JSON.stringify(file)}: ${JSON.stringify(entry)}`).join(",\n")}\n}\n}\n`;
    changed.push(writer.put("manifest.json", Buffer.from(text)));
    store.save();
    writer.commit(
      removed,
      parts.slice(1).flatMap((part) => part.pending),
    );
    const place = new Map(chosen.map((node, index) => [node.name, index]));
    const results = parts
      .flatMap((part) => part.results)
      .sort((a, b) => (place.get(a.node) ?? 0) - (place.get(b.node) ?? 0));
    const wrote =
      removed.length > 0 ||
      changed.some((change) => change !== "same") ||
      results.some((result) => result.changes.created + result.changes.changed > 0);
    return { compiled, problems: problems.list, folder, nodes: results, removed: removed.length, wrote };
  } catch (error) {
    writer.discard();
    throw error;
  }
}

function readOrigins(folder: string): ReturnType<Origins["toFile"]> | null {
  try {
    return JSON.parse(readFileSync(join(folder, "origins.json"), "utf8")) as ReturnType<Origins["toFile"]>;
  } catch {
    return null;
  }
}

function unwritable(cwd: string, path: string, reason: string): Problem {
  const shown = relative(cwd, path).startsWith("..") ? path : relative(cwd, path) || ".";
  if (reason === "FOREIGN") {
    return {
      code: "output-foreign",
      at: null,
      message: `${shown} exists and was not written by seedsmith`,
      hint: "move it away, or render into another folder with --out",
    };
  }
  const reasons: Record<string, string> = {
    EACCES: "permission denied",
    EPERM: "permission denied",
    EROFS: "the file system is read-only",
    ENOSPC: "the disk is full",
    ENOTDIR: "a file stands where a folder must be",
    EEXIST: "a file stands where a folder must be",
    LOCKED: "another run of seedsmith is writing there",
    EIO: "the disk reports an error",
    EDQUOT: "the quota is used up",
    EISDIR: "a folder stands where a file must be",
  };
  return {
    code: "output-unwritable",
    at: null,
    message: `${shown} cannot be written: ${reasons[reason] ?? reason}`,
    hint: "what stood there is untouched; choose another folder with --out, or mend this one",
  };
}

interface WorkerTask {
  readonly names: readonly string[];
  readonly root: string;
  readonly secrets: { readonly values: Record<string, string>; readonly hashes: Record<string, string> };
  /** Shared: the number of the next node to render. */
  readonly next: Int32Array;
  /** What the first thread read, as `Compiled` says it. */
  readonly read: string;
}

/** The other thread, as this one sees it. */
class RenderWorker {
  readonly #worker: Worker;
  /** Fails when the worker ends before it has done anything. */
  readonly #ended: Promise<never>;

  constructor({
    packageRoot,
    cwd,
    site,
    target,
    profiles,
    nodes,
    carriers,
    without,
    workerUrl,
  }: RenderOptions) {
    const choice: Choice = {
      ...{ packageRoot, cwd, site, target, profiles, nodes },
      ...(carriers === undefined ? {} : { carriers }),
      ...(without === undefined ? {} : { without }),
    };
    this.#worker = new Worker(workerUrl as URL, {
      workerData: { seedsmithRender: choice },
      // What a node's rendering leaves behind is garbage at once: the less often it is looked for, the less is copied.
      resourceLimits: { maxYoungGenerationSizeMb: 96 },
    });
    this.#ended = new Promise((_, failed) => {
      this.#worker.on("error", failed);
      this.#worker.on("exit", (code) => failed(new Error(`the render worker ended with ${code}`)));
    });
    // What goes wrong while nobody waits is met by this thread too, which reads the same site.
    this.#ended.catch(() => {});
  }

  render(task: WorkerTask, progress: (done: number) => void): Promise<Part> {
    const part = new Promise<Part>((done) => {
      this.#worker.on("message", (message: { done?: number; part?: Part }) => {
        if (message.done !== undefined) progress(message.done);
        if (message.part !== undefined) done(message.part);
      });
    });
    this.#worker.postMessage(task);
    return Promise.race([part, this.#ended]);
  }

  end(): void {
    void this.#worker.terminate();
  }
}

const changedMeanwhile: Problem = {
  code: "file-unreadable",
  at: null,
  message: "a file of the site or of its library was changed while it was being read",
  hint: "render again",
};

/**
 * The worker's half: compiles the same site again, and renders its share of the nodes when told to, which is when the
 * first thread has judged the site and found it right.
 */
export async function renderInWorker(choice: Choice, port: MessagePort): Promise<void> {
  optimizeLess(true);
  const asked = new Promise<WorkerTask>((done) => port.once("message", done));
  const compiled = await compile({ ...choice, judged: true });
  const { names, root, secrets, next, read } = await asked;
  if (compiled.read !== read) {
    // The first thread takes what is left of the nodes, and then writes nothing.
    const nothing = { results: [], entries: [], pending: [], origins: new Origins().toFile(), failure: null };
    const part: Part = { ...nothing, problems: [changedMeanwhile] };
    port.postMessage({ part });
    return;
  }
  tidyHeap();
  const vault: Vault = {
    reveal: (name) => secrets.values[name] ?? raise(name),
    passwordHash: (name) => secrets.hashes[name] ?? raise(name),
  };
  const taken = function* (): Generator<Node> {
    for (const index of shares(next, names.length)) {
      const node = compiled.site?.byName.get(names[index] as string);
      if (node === undefined) throw new Error(`the worker's site has no node ${names[index]}`);
      yield node;
    }
  };
  const {
    writer: _writer,
    artifacts: _artifacts,
    ...part
  } = renderNodes(compiled, taken(), false, vault, root, readManifest(root), "b", (done) =>
    port.postMessage({ done }),
  );
  port.postMessage({ part });
}

function raise(name: string): never {
  throw new Error(`the secret ${name} was not handed to the worker`);
}

/** Plans, emits and verifies without a disk: `check`, `show` and tests. */
export function renderInMemory(
  compiled: Compiled,
  vault: Vault,
): { problems: Problems; nodes: Map<string, readonly Artifact[]>; results: readonly NodeResult[] } {
  const part = renderNodes(
    compiled,
    compiled.chosen,
    compiled.chosen.length <= 64,
    vault,
    null,
    null,
    "m",
    () => {},
  );
  return { problems: compiled.problems, nodes: part.artifacts, results: part.results };
}

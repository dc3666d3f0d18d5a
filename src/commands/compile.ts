/** From a command line's choices to a planned site: the stages load, validate, resolve and plan, in this order. */
import { createHash, type Hash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { type Problem, Problems } from "../core/problem.ts";
import { suggest } from "../core/suggest.ts";
import type { Guest } from "../emit/cloud-config.ts";
import { kernelLineProblems } from "../emit/netboot.ts";
import {
  type CompiledLibrary,
  displayPath,
  findSite,
  type LibraryEntry,
  readHardware,
  readLibrary,
  readText,
} from "../load/library.ts";
import { type Data, graft, type Loaded, type Marks, positionOf, subtree } from "../load/marks.ts";
import { planSite, type SitePlan } from "../plan/plan.ts";
import type { Machines } from "../resolve/install.ts";
import type { Component, Library, Node, Site } from "../resolve/model.ts";
import { checkReferences } from "../resolve/references.ts";
import { scopeNames } from "../resolve/scope.ts";
import { resolveSite } from "../resolve/site.ts";
import type { Rendering } from "../resolve/template.ts";
import type {
  Carrier,
  ComponentDoc,
  Doc,
  HardwareDoc,
  ProfileDoc,
  SiteDoc,
  TargetDoc,
} from "../validate/documents.ts";
import type { Kind } from "../validate/schema.ts";
import { digest } from "../write/tree.ts";

export interface Choice {
  /** The installed package: guest/, the built-in library, the example. */
  readonly packageRoot: string;
  readonly cwd: string;
  readonly site: string | null;
  readonly target: string | null;
  readonly profiles: readonly string[];
  readonly nodes: readonly string[];
  /** Forms of the seed in place of those that the site asks for. */
  readonly carriers?: readonly Carrier[];
  /** Modules that the kernel lacks: the site's options are those of its `lab.without` then. */
  readonly without?: readonly string[];
  /**
   * Another thread compiles the same site and judges it, and nothing is made of it where it is wrong: what it means is
   * all that is wanted here, and documents are not judged again.
   */
  readonly judged?: boolean;
}

export interface Compiled {
  readonly problems: Problems;
  /** For excerpts in reports. */
  readonly source: (file: string) => string | null;
  /** How the site was chosen, for the first line of output. */
  readonly siteTitle: string;
  /** The folder of the site file (or the current one, for the example): secrets live below it. */
  readonly workspace: string;
  /** Whether it is the built-in example. */
  readonly builtin: boolean;
  /** The names of the site's nodes, whatever else is wrong with it; null when it cannot be read. */
  readonly nodes: readonly string[] | null;
  readonly site: Site | null;
  readonly plan: SitePlan | null;
  /** The nodes that were asked for. */
  readonly chosen: readonly Node[];
  readonly narrowed: boolean;
  readonly guest: Guest;
  /** All that the site could name; whole also where the site is not. */
  readonly library: Library;
  /** Verifies an installation's files; loaded where a node has some. */
  readonly judgeInstall: typeof import("../verify/autoinstall.ts").verifyInstall | null;
  /** A digest of the documents that were read, which another compilation of the same ones has too. */
  readonly read: string;
}

/** The YAML reader and the schema validator are large; what is built in needs neither. */
export async function loadReaders(): Promise<{
  loadYaml: typeof import("../load/yaml.ts").loadYaml;
  validate: typeof import("../validate/validate.ts").validate;
}> {
  const [{ loadYaml }, { validate }] = await Promise.all([
    import("../load/yaml.ts"),
    import("../validate/validate.ts"),
  ]);
  const fits = readyMade();
  return {
    loadYaml,
    // Most documents are right. What is wrong with another one, the schema tells: it is compiled only then.
    validate: (kind, doc, problems) => fits?.[kind](doc.value) === true || validate(kind, doc, problems),
  };
}

/** Readers that take every document for right. */
async function loadReadersOfJudged(): Promise<Awaited<ReturnType<typeof loadReaders>>> {
  const { loadYaml } = await import("../load/yaml.ts");
  return { loadYaml, validate: () => true };
}

/** The same readers, with a digest that takes in what they read. */
function noting(
  digest: Hash,
  readers: Awaited<ReturnType<typeof loadReaders>>,
): Awaited<ReturnType<typeof loadReaders>> {
  return {
    ...readers,
    loadYaml: (file, text, problems) => {
      digest.update(`${JSON.stringify(file)} ${text.length}\n`).update(text);
      return readers.loadYaml(file, text, problems);
    },
  };
}

/** Facts of the machines of the site, and the rules of the installer's own language where they are to be judged. */
async function loadMachines(
  workspace: string,
  nodes: { readonly [name: string]: unknown },
  readers: Awaited<ReturnType<typeof loadReaders>>,
  judged: boolean,
  problems: Problems,
): Promise<Machines> {
  const hardware = new Map<string, Doc<HardwareDoc>>();
  for (const [name, loaded] of readHardware(workspace, readers.loadYaml, problems)) {
    if (!readers.validate("hardware", loaded, problems)) continue;
    const doc = loaded.value as unknown as HardwareDoc;
    if (doc.hardware !== name)
      problems.add({
        code: "bad-name",
        at: positionOf(loaded, ["hardware"]),
        message: `these are the facts of "${doc.hardware}", and their file is named "${name}"`,
        hint: "give both the node's name",
      });
    else if (!Object.hasOwn(nodes, name))
      problems.add({
        code: "bad-hardware",
        at: positionOf(loaded, ["hardware"]),
        message: `the site has no node "${name}"`,
        hint: suggest(name, Object.keys(nodes)) ?? "delete the file if the machine is gone",
        notice: true,
      });
    else hardware.set(name, { doc, loaded });
  }
  if (judged) return { hardware, rules: null };
  const { checkAutoinstallKeys, checkStorageActions } = await import("../validate/autoinstall.ts");
  return { hardware, rules: { autoinstall: checkAutoinstallKeys, actions: checkStorageActions } };
}

/**
 * Compiles a site.
 * @returns everything known, with problems; `plan` is null when the site makes no sense
 */
export async function compile(choice: Choice): Promise<Compiled> {
  const problems = new Problems();
  const { packageRoot, cwd, judged = false } = choice;
  const sitePath = choice.site === null ? findSite(cwd) : resolve(cwd, choice.site);
  const workspace = sitePath === null ? cwd : dirname(sitePath);
  const builtin = builtinLibrary(packageRoot);
  const digestOfRead = createHash("sha256");
  const readers =
    sitePath !== null || builtin === null || hasOwnLibrary(workspace, packageRoot)
      ? noting(digestOfRead, await (judged ? loadReadersOfJudged() : loadReaders()))
      : null;

  const texts = new Map<string, string | null>();
  const source = (file: string): string | null => {
    let text = texts.get(file);
    if (text === undefined) {
      text = null;
      for (const base of file === siteName(sitePath) ? [workspace] : [workspace, packageRoot]) {
        const path = isAbsolute(file) ? file : join(base, file);
        if (existsSync(path)) {
          try {
            text = readFileSync(path, "utf8");
          } catch {
            text = null;
          }
          break;
        }
      }
      texts.set(file, text);
    }
    return text;
  };
  const rendering: Rendering = { problems, source };

  const entries: LibraryEntry[] = [];
  const broken = new Set<string>();
  if (builtin !== null)
    entries.push(
      ...builtin.entries.map((entry) => ({
        ...entry,
        folder: join(packageRoot, entry.folder),
        trusted: true,
      })),
    );
  else if (readers !== null)
    entries.push(...readLibrary(packageRoot, packageRoot, readers.loadYaml, problems, broken));
  if (readers !== null && resolve(workspace) !== resolve(packageRoot))
    entries.push(...readLibrary(workspace, workspace, readers.loadYaml, problems, broken));
  const library = makeLibrary(
    entries,
    broken,
    builtin,
    packageRoot,
    workspace,
    problems,
    readers?.validate ?? null,
  );

  let loadedSite: Loaded | null = null;
  let trusted = false;
  if (sitePath === null && builtin !== null) {
    loadedSite = builtin.example;
    trusted = true;
  } else if (readers !== null) {
    const path = sitePath ?? join(packageRoot, "sites", "example", "site.yaml");
    const shown = sitePath === null ? displayPath(path, packageRoot) : (siteName(sitePath) ?? path);
    const quiet = new Problems();
    const text = readText(path, shown, quiet);
    if (choice.site !== null && !existsSync(path))
      problems.add({
        code: "no-site",
        at: null,
        message: `there is no site file "${choice.site}"`,
        hint: "check the path; seedsmith init DIR makes one",
      });
    else for (const problem of quiet.list) problems.add(problem);
    if (text !== null) {
      texts.set(shown, text);
      loadedSite = readers.loadYaml(shown, text, problems);
    }
  }
  const siteTitle =
    sitePath === null ? "the built-in example" : relative(cwd, sitePath) || basename(sitePath);
  const guest = readGuest(packageRoot, builtin);
  const given = (loadedSite?.value as { nodes?: unknown } | null | undefined)?.nodes;
  const nodes = given !== null && typeof given === "object" ? Object.keys(given) : null;
  const nothing: Compiled = {
    problems,
    source,
    siteTitle,
    workspace,
    builtin: sitePath === null,
    nodes,
    site: null,
    plan: null,
    chosen: [],
    narrowed: false,
    guest,
    library,
    judgeInstall: null,
    read: "",
  };
  if (loadedSite === null) return nothing;
  if (!trusted && readers !== null && !readers.validate("site", loadedSite, problems)) return nothing;
  if (!judged)
    checkReferences(
      library,
      loadedSite,
      rendering,
      readers !== null && entries.some(({ trusted }) => !trusted),
    );
  for (const module of choice.without ?? []) loadedSite = withoutModule(loadedSite, module);
  const siteDoc: Doc<SiteDoc> = { doc: loadedSite.value as unknown as SiteDoc, loaded: loadedSite };
  const machines =
    readers === null || trusted
      ? undefined
      : await loadMachines(workspace, siteDoc.doc.nodes, readers, judged, problems);
  const site = resolveSite(
    siteDoc,
    library,
    rendering,
    choice.target ?? undefined,
    machines,
    choice.carriers,
  );
  if (site === null) return nothing;
  for (const problem of kernelLineProblems(site)) problems.add(problem);
  const judgeInstall = site.nodes.some(({ install }) => install !== null)
    ? (await import("../verify/autoinstall.ts")).verifyInstall
    : null;
  // In a circle nothing has an order, so that what a plan would say of it only repeats it.
  if (problems.list.some(({ code }) => code === "cycle")) return { ...nothing, site };
  const plan = planSite(site, library, rendering);
  const { chosen, narrowed } = choose(site, library, choice, problems);
  return { ...nothing, site, plan, chosen, narrowed, judgeInstall, read: digestOfRead.digest("hex") };
}

/** The site as labs boot it where the kernel lacks a module: `lab.without` laid over its options, places included. */
function withoutModule(site: Loaded, module: string): Loaded {
  const path = ["lab", "without", module, "options"];
  const { value, marks } = graft(subtree(site, ["options"]), subtree(site, path));
  return {
    ...site,
    value: { ...(site.value as object), options: value } as Data,
    marks: { ...site.marks, c: { ...(site.marks.c as Record<string, Marks>), options: marks } },
  };
}

function siteName(path: string | null): string | null {
  return path === null ? null : basename(path);
}

function hasOwnLibrary(workspace: string, packageRoot: string): boolean {
  return (
    resolve(workspace) !== resolve(packageRoot) &&
    ["templates/components", "profiles", "targets"].some((folder) => existsSync(join(workspace, folder)))
  );
}

let compiledLibrary: { readonly root: string; readonly library: CompiledLibrary | null } | null = null;

/** The library that the package's build compiled; null when running from sources. */
function builtinLibrary(packageRoot: string): CompiledLibrary | null {
  if (compiledLibrary?.root === packageRoot) return compiledLibrary.library;
  const path = join(packageRoot, "dist", "library.json");
  const fromDist = import.meta.url.endsWith(".js");
  const library =
    fromDist && existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as CompiledLibrary) : null;
  compiledLibrary = { root: packageRoot, library };
  return library;
}

type ReadyMade = { readonly [kind in Kind]: (value: unknown) => boolean };

/** Tells whether a value is a document of a kind, as the package's build made it; null when running from sources. */
function readyMade(): ReadyMade | null {
  const built = import.meta.url.endsWith(".js") && existsSync(new URL("schemas.js", import.meta.url));
  return built ? (createRequire(import.meta.url)("./schemas.js") as ReadyMade) : null;
}

function readGuest(packageRoot: string, builtin: CompiledLibrary | null): Guest {
  const read = (name: string): string => readFileSync(join(packageRoot, "guest", name), "utf8");
  const runner = read("seedsmith-node");
  const ready = builtin?.packedRunner;
  return {
    runner,
    unit: read("seedsmith-node.service"),
    hook: read("50-seedsmith"),
    ...(ready !== undefined && ready.sha256 === digest(Buffer.from(runner)) ? { packed: ready.content } : {}),
  };
}

/**
 * The library from its entries; later ones (the workspace's) replace earlier ones of the same kind and name.
 */
export function makeLibrary(
  entries: readonly LibraryEntry[],
  broken: Set<string>,
  builtin: CompiledLibrary | null,
  packageRoot: string,
  workspace: string,
  problems: Problems,
  validate: ((kind: Kind, doc: Loaded, problems: Problems) => boolean) | null,
): Library {
  const components = new Map<string, Component>();
  const profiles = new Map<string, Doc<ProfileDoc>>();
  const targets = new Map<string, Doc<TargetDoc>>();
  for (const { kind, name, loaded, folder, trusted } of entries) {
    if (!trusted && validate !== null && !validate(kind, loaded, problems)) {
      broken.add(`${kind} ${name}`);
      continue;
    }
    const value = loaded.value as Record<string, unknown>;
    if (value[kind] !== name) {
      problems.add({
        code: "bad-name",
        at: positionOf(loaded, [kind]),
        message: `the ${kind} calls itself "${String(value[kind])}", and its ${kind === "component" ? "folder" : "file"} is named "${name}"`,
        hint: "give both the same name",
      });
      broken.add(`${kind} ${name}`);
      continue;
    }
    if (kind === "component" && scopeNames.has(name)) {
      problems.add({
        code: "bad-name",
        at: positionOf(loaded, [kind]),
        message: `a component cannot be named "${name}": templates have something else of that name`,
        hint: "choose another name",
      });
      broken.add(`${kind} ${name}`);
      continue;
    }
    if (kind === "component")
      components.set(name, { name, doc: value as unknown as ComponentDoc, loaded, folder });
    else if (kind === "profile") profiles.set(name, { doc: value as unknown as ProfileDoc, loaded });
    else targets.set(name, { doc: value as unknown as TargetDoc, loaded });
  }
  const cache = new Map<string, { shown: string; text: string } | null>();
  const file = (folder: string, name: string): { shown: string; text: string } | null => {
    const path = join(folder, name);
    let found = cache.get(path);
    if (found === undefined) {
      const inPackage = displayPath(path, packageRoot);
      const compiledText = builtin?.files[inPackage];
      const ours =
        !inPackage.startsWith("..") &&
        !isAbsolute(inPackage) &&
        !path.startsWith(join(workspace, "templates"));
      if (compiledText !== undefined && ours) found = { shown: inPackage, text: compiledText };
      else {
        const shown = ours ? inPackage : displayPath(path, workspace);
        const quiet = new Problems();
        const text = readText(path, shown, quiet);
        for (const problem of quiet.list) if (problem.code === "file-encoding") problems.add(problem);
        // One that is not UTF-8 is there, and reported.
        if (text === null)
          found = quiet.list.some(({ code }) => code === "file-encoding") ? { shown, text: "" } : null;
        else found = { shown, text };
      }
      cache.set(path, found);
    }
    return found;
  };
  return { components, profiles, targets, broken, file };
}

function choose(
  site: Site,
  library: Library,
  choice: Choice,
  problems: Problems,
): { chosen: readonly Node[]; narrowed: boolean } {
  const narrowed = choice.profiles.length > 0 || choice.nodes.length > 0;
  for (const name of choice.profiles) {
    if (library.profiles.has(name)) continue;
    const hint = suggest(name, [...library.profiles.keys()]);
    problems.add({
      code: "unknown-profile",
      at: null,
      message: `there is no profile "${name}" (--profile)`,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  for (const name of choice.nodes) {
    if (site.byName.has(name)) continue;
    const hint = suggest(name, [...site.byName.keys()]);
    problems.add({
      code: "no-match",
      at: null,
      message: `the site has no node "${name}"`,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  const chosen = site.nodes.filter(
    (node) =>
      (choice.nodes.length === 0 || choice.nodes.includes(node.name)) &&
      (choice.profiles.length === 0 ||
        node.profiles.some((profile) => choice.profiles.includes(profile.doc.profile))),
  );
  if (chosen.length === 0 && site.nodes.length > 0 && !problems.failed) {
    const nodes = site.nodes.slice(0, 20).map(
      (node) =>
        `${node.name} (${node.profiles
          .map((one) => one.doc.profile)
          .reverse()
          .join(" < ")})`,
    );
    problems.add({
      code: "no-match",
      at: null,
      message: "no node of the site matches --profile and --node together",
      hint: `the site has: ${nodes.join(", ")}${site.nodes.length > 20 ? ", ..." : ""}`,
    });
  }
  return { chosen, narrowed };
}

/** Problems without those that only say what was skipped. */
export function failures(problems: readonly Problem[]): readonly Problem[] {
  return problems.filter((problem) => problem.notice !== true);
}

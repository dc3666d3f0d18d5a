/**
 * Finds and reads what people wrote: components, profiles and targets of the built-in library and of the
 * workspace beside the site, and the site itself. Knows folders and YAML, not what anything means.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, isAbsolute, join, relative, resolve } from "node:path";
import type { Problems } from "../core/problem.ts";
import type { Loaded } from "./marks.ts";

export type LibraryKind = "component" | "profile" | "target";

/** One document of the library, with the folder whose files it may name. */
export interface LibraryEntry {
  readonly kind: LibraryKind;
  readonly name: string;
  readonly loaded: Loaded;
  /** The folder of a component; relative file names are resolved in it. */
  readonly folder: string;
  /** Its shape was checked when the package was built. */
  readonly trusted: boolean;
}

/** What the package's build writes, so that the built-in library needs no YAML parser at run time. */
export interface CompiledLibrary {
  readonly entries: readonly {
    readonly kind: LibraryKind;
    readonly name: string;
    readonly folder: string;
    readonly loaded: Loaded;
  }[];
  readonly example: Loaded;
  /** Texts of the components' files, by path relative to the package. */
  readonly files: { readonly [path: string]: string };
  /** guest/seedsmith-node, compressed, and which text that was made of. */
  readonly packedRunner: { readonly sha256: string; readonly content: string };
}

export type YamlReader = (file: string, text: string, problems: Problems) => Loaded | null;

/**
 * How a path is shown in problems and origins: relative to the package for what is built in, else relative to
 * the workspace; never absolute, so that the same input gives the same bytes wherever it lies.
 */
export function displayPath(path: string, base: string): string {
  const shown = relative(base, path);
  return shown === "" || isAbsolute(shown) ? path : shown.split("\\").join("/");
}

/** Reads a text file as UTF-8; a problem when it cannot be read or is not UTF-8. */
export function readText(path: string, shown: string, problems: Problems): string | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? "error";
    problems.add({
      code: "file-unreadable",
      at: { file: shown, line: 1, column: 1 },
      message: `the file cannot be read (${reason})`,
      hint: reason === "EACCES" ? "check its permissions" : "check the path",
    });
    return null;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    problems.add({
      code: "file-encoding",
      at: { file: shown, line: 1, column: 1 },
      message: "the file is not UTF-8",
      hint: "save it as UTF-8",
    });
    return null;
  }
}

/**
 * Reads the library of one folder (the package itself, or a workspace): templates/components/<name>/component.yaml,
 * profiles/*.yaml, targets/*.yaml.
 * @param root the folder; missing sub-folders are fine
 * @param base paths are shown relative to it
 * @param broken takes the `kind name` of what exists and cannot be read
 */
export function readLibrary(
  root: string,
  base: string,
  readYaml: YamlReader,
  problems: Problems,
  broken: Set<string> = new Set(),
): LibraryEntry[] {
  const entries: LibraryEntry[] = [];
  const read = (kind: LibraryKind, path: string, folder: string, name: string): void => {
    const shown = displayPath(path, base);
    const text = readText(path, shown, problems);
    const loaded = text === null ? null : readYaml(shown, text, problems);
    if (loaded !== null) entries.push({ kind, name, loaded, folder, trusted: false });
    else broken.add(`${kind} ${name}`);
  };
  const components = join(root, "templates", "components");
  for (const name of listDirectory(components)) {
    const path = join(components, name, "component.yaml");
    if (existsSync(path)) read("component", path, join(components, name), name);
  }
  for (const [kind, folder] of [
    ["profile", "profiles"],
    ["target", "targets"],
  ] as const) {
    for (const file of listDirectory(join(root, folder))) {
      if (!file.endsWith(".yaml") || file.startsWith(".")) continue;
      read(kind, join(root, folder, file), join(root, folder), file.slice(0, -".yaml".length));
    }
  }
  return entries;
}

function listDirectory(path: string): string[] {
  try {
    return readdirSync(path).sort();
  } catch {
    return [];
  }
}

/** `site.yaml` in this folder or a parent; null when there is none. */
export function findSite(from: string): string | null {
  let folder = resolve(from);
  for (;;) {
    const path = join(folder, "site.yaml");
    if (existsSync(path)) return path;
    const parent = dirname(folder);
    if (parent === folder) return null;
    folder = parent;
  }
}

/**
 * Reads what is recorded of machines: hardware/<node>.yaml beside the site.
 * @returns the documents by the names of their files
 */
export function readHardware(
  workspace: string,
  readYaml: YamlReader,
  problems: Problems,
): ReadonlyMap<string, Loaded> {
  const found = new Map<string, Loaded>();
  const folder = join(workspace, hardwareFolder);
  for (const file of listDirectory(folder)) {
    if (!file.endsWith(".yaml") || file.startsWith(".")) continue;
    const path = join(folder, file);
    const shown = displayPath(path, workspace);
    const text = readText(path, shown, problems);
    const loaded = text === null ? null : readYaml(shown, text, problems);
    if (loaded !== null) found.set(file.slice(0, -".yaml".length), loaded);
  }
  return found;
}

/** The folder of the workspace in which the facts of machines lie. */
export const hardwareFolder = "hardware";

/**
 * The workspace's own store of secrets: made once, kept in `.seedsmith/<site>.json` (0600 in a folder of 0700)
 * beside the site, never below the output or the installed package.
 */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { encrypt as unixcrypt } from "unixcrypt";
import type { Problems } from "../core/problem.ts";
import { type Loaded, positionOf } from "../load/marks.ts";
import type { SecretDoc, SecretKind, SecretSource } from "../validate/documents.ts";
import { guarded } from "./tree.ts";

interface Stored {
  readonly value: string;
  /** For login passwords: the crypt salt and the hash made with it, so that renders repeat to the byte. */
  readonly salt?: string;
  readonly hash?: string;
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** A random text of letters and digits, safe in URLs, ini files and shells. Rejection keeps it uniform. */
function randomText(length: number): string {
  let out = "";
  while (out.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < 248 && out.length < length) out += letters[byte % 62];
    }
  }
  return out;
}

function generate(kind: SecretKind): string {
  if (kind === "password") return randomText(32);
  if (kind === "token") return randomText(48);
  // A Fernet key is 32 random bytes in URL-safe base64, with padding.
  return randomBytes(32).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}

export class SecretStore {
  readonly #path: string;
  readonly #folder: string;
  readonly #stored: Map<string, Stored>;
  /** Values that the site binds elsewhere; they are never written down here. */
  readonly #bound = new Map<string, string>();
  readonly #hashes = new Map<string, Stored>();
  #changed = false;

  private constructor(folder: string, path: string, stored: Map<string, Stored>) {
    this.#folder = folder;
    this.#path = path;
    this.#stored = stored;
  }

  /**
   * Opens the store of a site.
   * @param workspace the folder that holds the site file
   * @returns null when the store exists and cannot be read; a damaged store is never overwritten
   */
  static open(workspace: string, site: string, problems: Problems): SecretStore | null {
    const folder = join(workspace, ".seedsmith");
    const path = join(folder, `${site}.json`);
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOENT") return new SecretStore(folder, path, new Map());
      problems.add({
        code: "secret-source",
        at: null,
        message: `the secret store .seedsmith/${site}.json cannot be read (${code})`,
        hint: "check its permissions; it belongs to whoever rendered first",
      });
      return null;
    }
    try {
      const data = JSON.parse(text) as { format: number; secrets: Record<string, Stored> };
      if (data.format !== 1 || typeof data.secrets !== "object" || Array.isArray(data.secrets))
        throw new Error("format");
      // A login bound elsewhere keeps only its hash here; anything else without a value is damage.
      for (const { value, hash } of Object.values(data.secrets)) {
        if (typeof value !== "string" || (value === "" && typeof hash !== "string")) throw new Error("value");
      }
      if (process.platform !== "win32") {
        // Tightened rather than refused: a copy by hand often opens them up.
        if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
        if ((statSync(folder).mode & 0o077) !== 0) chmodSync(folder, 0o700);
      }
      return new SecretStore(folder, path, new Map(Object.entries(data.secrets)));
    } catch {
      problems.add({
        code: "secret-source",
        at: null,
        message: `the secret store .seedsmith/${site}.json is damaged`,
        hint: "bring it back from a backup; rendering with new secrets would lock you out of running nodes",
      });
      return null;
    }
  }

  /**
   * Makes sure that every secret has a value: bound by the site, stored, or made now.
   */
  provide(
    wanted: ReadonlyMap<string, SecretDoc>,
    bindings: { readonly [name: string]: SecretSource },
    doc: Loaded,
    workspace: string,
    problems: Problems,
  ): void {
    for (const [name, { kind, without }] of [...wanted].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const source = Object.hasOwn(bindings, name) ? bindings[name] : undefined;
      if (source !== undefined) {
        const value = importSecret(name, source, without, doc, workspace, problems);
        if (value !== null) this.#bound.set(name, value);
      } else if ((this.#stored.get(name)?.value ?? "") === "") {
        this.#stored.set(name, { value: generate(kind) });
        this.#changed = true;
      }
      if (name.startsWith("login.") && problems.failed === false) this.passwordHash(name);
    }
  }

  /** The value of a secret that provide() has seen. */
  readonly reveal = (name: string): string => {
    const value = this.#bound.get(name) ?? this.#stored.get(name)?.value;
    if (value === undefined) throw new Error(`the secret ${name} was not provided`);
    return value;
  };

  /** A SHA-512 crypt hash of a login password; the same on every render, as its salt is stored. */
  readonly passwordHash = (name: string): string => {
    const value = this.reveal(name);
    const known = this.#hashes.get(name) ?? this.#stored.get(name);
    if (known?.hash !== undefined && known.value === value) return known.hash;
    const salt = known?.salt ?? `$6$${randomText(16)}`;
    const made = { value: this.#bound.has(name) ? "" : value, salt, hash: unixcrypt(value, salt) };
    this.#hashes.set(name, { ...made, value });
    // For a bound password only salt and hash are kept.
    if (known?.hash !== made.hash) this.#changed = true;
    this.#stored.set(name, made);
    return made.hash;
  };

  /** Everything a worker needs; never leaves the process. */
  snapshot(names: Iterable<string>): { values: Record<string, string>; hashes: Record<string, string> } {
    const values: Record<string, string> = {};
    const hashes: Record<string, string> = {};
    for (const name of names) {
      values[name] = this.reveal(name);
      if (name.startsWith("login.")) hashes[name] = this.passwordHash(name);
    }
    return { values, hashes };
  }

  get path(): string {
    return this.#path;
  }

  /**
   * Writes new secrets down, atomically; does nothing when there are none.
   * @throws TreeError when they cannot be written
   */
  save(): void {
    if (!this.#changed) return;
    const secrets = Object.fromEntries([...this.#stored].sort(([a], [b]) => (a < b ? -1 : 1)));
    const temporary = `${this.#path}.${process.pid}.tmp`;
    guarded(this.#path, () => {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      try {
        const file = openSync(temporary, "w", 0o600);
        try {
          writeSync(file, `${JSON.stringify({ format: 1, secrets }, null, 2)}\n`);
          fsyncSync(file);
        } finally {
          closeSync(file);
        }
        renameSync(temporary, this.#path);
      } catch (error) {
        rmSync(temporary, { force: true });
        throw error;
      }
    });
    this.#changed = false;
  }
}

function importSecret(
  name: string,
  source: SecretSource,
  without: SecretDoc["without"],
  doc: Loaded,
  workspace: string,
  problems: Problems,
): string | null {
  const at = positionOf(doc, ["secrets", name]);
  const fail = (message: string, hint: string): null => {
    problems.add({ code: "secret-source", at, message, hint });
    return null;
  };
  const given = [source.env, source.file, source.command].filter((one) => one !== undefined).length;
  if (given !== 1)
    return fail(
      `the secret "${name}" needs exactly one of env, file and command`,
      "say where its value comes from",
    );
  let value: string;
  if (source.env !== undefined) {
    const found = process.env[source.env];
    if (found === undefined || found === "")
      return fail(`the environment variable ${source.env} is not set`, `export ${source.env}=...`);
    value = found;
  } else if (source.file !== undefined) {
    try {
      value = readFileSync(resolve(workspace, source.file), "utf8");
    } catch (error) {
      return fail(
        `the file ${source.file} cannot be read (${(error as NodeJS.ErrnoException).code})`,
        "paths are relative to the site file",
      );
    }
  } else {
    const [command = "", ...args] = source.command ?? [];
    const { execFileSync } = createRequire(import.meta.url)(
      "node:child_process",
    ) as typeof import("node:child_process");
    try {
      value = execFileSync(command, args, {
        encoding: "utf8",
        timeout: 60_000,
        stdio: ["ignore", "pipe", "ignore"],
        cwd: workspace,
      });
    } catch (error) {
      const { code, status } = error as { code?: string; status?: number };
      return fail(
        `the command ${command} failed (${code ?? `exit ${status}`})`,
        "run it by hand; it must print the secret and nothing else",
      );
    }
  }
  value = value.replace(/\r?\n$/, "");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (value === "" || /[\u0000-\u001f\u007f]/.test(value))
    return fail(
      `the value of the secret "${name}" is empty or has control characters or several lines`,
      "one line of text",
    );
  // Which of them it has is no more told than the rest of it.
  if (without !== undefined && [...without.characters].some((one) => value.includes(one)))
    return fail(
      `the value of the secret "${name}" has a character that it must not have: ${without.characters}`,
      without.because,
    );
  return value;
}

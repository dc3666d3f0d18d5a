/** `seedsmith init DIR`: a commented site to start from. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join, relative, resolve } from "node:path";
import { isHostName } from "../resolve/address.ts";

/** Reads the person's own public keys. */
function ownKeys(home: string): string[] {
  try {
    return readdirSync(join(home, ".ssh"))
      .filter((name) => name.endsWith(".pub"))
      .sort()
      .map((name) => readFileSync(join(home, ".ssh", name), "utf8").trim())
      .filter((key) => /^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/]+=*( .*)?$/.test(key));
  } catch {
    return [];
  }
}

/** Makes the folder. Overwrites nothing, ever. */
export function init(
  packageRoot: string,
  cwd: string,
  directory: string,
  force: boolean,
  home: string = homedir(),
): { ok: boolean; text: string } {
  const root = resolve(cwd, directory);
  const shown = relative(cwd, root) || ".";
  try {
    if (existsSync(root) && readdirSync(root).length > 0 && !force) {
      return {
        ok: false,
        text: `${shown} is not empty\n  hint: choose a new folder, or say --force to add what is missing\n`,
      };
    }
    const keys = ownKeys(home);
    const example = readFileSync(join(packageRoot, "sites", "example", "site.yaml"), "utf8");
    const made: string[] = [];
    const write = (name: string, text: string): void => {
      const path = join(root, name);
      if (existsSync(path)) return;
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, text, { flag: "wx" });
      made.push(name);
    };
    // The folder's name is the site's, so that two sites do not share an output folder.
    const name = basename(root);
    const named = isHostName(name) ? example.replace(/^site: .*$/m, () => `site: ${name}`) : example;
    write("site.yaml", withAccess(named, keys));
    write(
      "profiles/README.md",
      "# Your profiles\n\nA file `NAME.yaml` here adds the profile NAME, or replaces the built-in one. Start with:\n\n```yaml\nprofile: NAME\nextends: base\npackages: [htop]\n```\n",
    );
    write(
      "templates/components/README.md",
      "# Your components\n\nA folder `NAME/` with a `component.yaml` adds the component NAME, or replaces the built-in one whole. docs/components.md of seedsmith tells how one is written.\n",
    );
    write(".gitignore", "build/\n.seedsmith/\n");
    const lines = [
      made.length === 0 ? `nothing to add to ${shown}` : `made in ${shown}: ${made.join(", ")}`,
      keys.length > 0
        ? `taken from ~/.ssh: ${keys.length} public ${keys.length === 1 ? "key" : "keys"}, for the user ops`
        : "warning: no public key in ~/.ssh, so nobody will be able to log in to the nodes\n  hint: make one with ssh-keygen -t ed25519 and put the line of ~/.ssh/id_ed25519.pub below access: in site.yaml",
      `next: edit ${join(shown, "site.yaml")}, then run: seedsmith check --site ${join(shown, "site.yaml")}`,
    ];
    return { ok: true, text: `${lines.join("\n")}\n` };
  } catch (error) {
    return {
      ok: false,
      text: `${shown} cannot be written (${(error as NodeJS.ErrnoException).code})\n  hint: choose another folder\n`,
    };
  }
}

/** The example with the person's keys in place of its access section. */
function withAccess(example: string, keys: readonly string[]): string {
  const access = `access:\n  users:\n    - name: ops\n      # Public SSH keys that may log in; without any, nobody can.\n      ssh_authorized_keys:${keys.length === 0 ? " []" : `\n${keys.map((key) => `        - "${key}"`).join("\n")}`}\n`;
  const section = /^access:.*\n(?:(?:[ \t]+.*|#.*|)\n)*?(?=^[a-z#])/m;
  return section.test(example)
    ? example.replace(section, () => `${access}\n`)
    : `${example.trimEnd()}\n\n${access}`;
}

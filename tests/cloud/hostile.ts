/** Passwords with every character that breaks files, URLs, SQL or shells where it is not written as it must be. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Workspace } from "../boot/rendered.ts";

/**
 * Has the workspace's site take every password from a file, each with such characters in it and at either end. Keys, which
 * have a form of their own, and the cookie that rabbitmq's nodes share stay as they are made.
 * @returns the names
 */
export function hostilePasswords(workspace: Workspace): readonly string[] {
  workspace.render();
  const names = Object.keys(workspace.secrets()).filter((name) => !/fernet_|credential_|cookie/.test(name));
  mkdirSync(join(workspace.folder, "hostile"), { mode: 0o700 });
  for (const name of names) {
    // The client of OpenStack's services cannot take a slash in the broker's; a render refuses it.
    const slash = name.startsWith("rabbitmq.user.") ? "" : "/";
    const password = `'%$@${slash}:#"\\ {${name}}%25$$\\\\'`;
    writeFileSync(join(workspace.folder, "hostile", name), password, { mode: 0o600 });
  }
  const path = join(workspace.folder, "site.yaml");
  const bound = names.map((name) => `  ${name}: { file: hostile/${name} }\n`);
  writeFileSync(path, `${readFileSync(path, "utf8")}\nsecrets:\n${bound.join("")}`);
  return names;
}

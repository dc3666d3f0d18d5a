/** cloud-init user-data and vendor-data from a plan. */
import { createRequire } from "node:module";
import type { Position } from "../core/position.ts";
import { fill, secretsOf } from "../core/text.ts";
import type { NodePlan } from "../plan/model.ts";
import { countLines, Lines, type Run, runsOf, YamlFile } from "./lines.ts";
import { kindOf, Made } from "./made.ts";
import { archiveFiles, program, type Reveal, seedFolder, stagePath } from "./program.ts";
import { toYaml } from "./yaml.ts";

/** The files of guest/, which every seed carries. */
export interface Guest {
  readonly runner: string;
  readonly unit: string;
  readonly hook: string;
  /** What packRunner makes of the runner, where the package's build did that already. */
  readonly packed?: string;
}

/** What only emit may know: the values of secrets, and password hashes by the secret's name. */
export interface Vault {
  readonly reveal: Reveal;
  readonly passwordHash: (secret: string) => string;
}

interface WrittenFile {
  readonly path: string;
  readonly permissions: string;
  readonly content: string;
  readonly encoding?: string;
  readonly from: Position;
  /** The origins of the content's lines, where known. */
  readonly lines?: readonly Run[];
}

/** Some items of write_files. */
interface Items {
  readonly text: string;
  readonly values: readonly object[];
  readonly origins: readonly Run[];
}

function writeFilesItem(file: WrittenFile): Items {
  const { path, permissions, content, encoding, from } = file;
  const value = {
    path,
    permissions,
    owner: "root:root",
    ...(encoding === undefined ? {} : { encoding }),
    content,
  };
  const text = toYaml([value]);
  const rows = countLines(text);
  const own = (file.lines ?? []).reduce((sum, { count }) => sum + count, 0);
  // A literal block shows the content's lines as they are; whatever else was chosen has one origin.
  const shown = own > 0 && own < rows && text.includes("content: |");
  const head: Run = { count: shown ? rows - own : rows, file: from.file, line: from.line, step: 0 };
  return { text, values: [value], origins: shown ? [head, ...(file.lines ?? [])] : [head] };
}

function joined(items: readonly Items[]): Items {
  const lines = new Lines();
  for (const { text, origins } of items) lines.addAll(text, origins);
  return { text: lines.text, values: items.flatMap(({ values }) => values), origins: lines.origins };
}

let packed: { readonly runner: string; readonly content: string } | null = null;

/** The runner, compressed: the one thing in a seed that a person need not read there. Gzip in base64. */
export function packRunner(runner: string): string {
  if (packed?.runner !== runner) {
    // Not needed where the package's build has packed the runner.
    const { gzipSync } = createRequire(import.meta.url)("node:zlib") as typeof import("node:zlib");
    const zipped = gzipSync(runner, { level: 9 });
    // The header's operating system byte differs by platform; 255 means unknown.
    zipped[9] = 255;
    packed = { runner, content: zipped.toString("base64") };
  }
  return packed.content;
}

/** The user-data of a node. */
export function userData(plan: NodePlan, guest: Guest, vault: Vault, made: Made = new Made()): YamlFile {
  const { from } = plan;
  const file = new YamlFile().comment("cloud-config", from);
  file.put({ hostname: plan.node }, from);
  if (plan.fqdn !== null) file.put({ fqdn: plan.fqdn, prefer_fqdn_over_hostname: false }, from);
  // C.UTF-8 is part of libc; the distribution's own default may not be generated on a small image.
  file.put({ manage_etc_hosts: false, preserve_hostname: false, locale: "C.UTF-8" }, from);
  file.put({ ssh_pwauth: false }, from);
  if (plan.users.length === 0) file.put({ users: [] }, from);
  else {
    const add = file.list("users", plan.users[0]?.from ?? from);
    for (const user of plan.users) {
      const value = {
        name: user.name,
        shell: "/bin/bash",
        lock_passwd: user.password === null,
        ...(user.password === null ? {} : { passwd: vault.passwordHash(user.password) }),
        ...(user.sudo ? { sudo: "ALL=(ALL) NOPASSWD:ALL" } : {}),
        ...(user.keys.length === 0 ? {} : { ssh_authorized_keys: user.keys }),
      };
      const text = toYaml([value]);
      const { file: source, line } = user.from;
      add(text, [value], [{ count: countLines(text), file: source, line, step: 0 }]);
    }
  }
  const { mirrors, proxy } = plan.apt;
  const apt = {
    ...(mirrors.primary === null ? {} : { primary: [{ arches: ["default"], uri: mirrors.primary }] }),
    ...(mirrors.security === null ? {} : { security: [{ arches: ["default"], uri: mirrors.security }] }),
    ...(mirrors.primary === null && mirrors.security === null ? { preserve_sources_list: true } : {}),
    ...(proxy === null ? {} : { proxy }),
  };
  file.put({ apt }, plan.apt.from);
  // bootcmd comes before write_files: the folders exist with their modes before anything is put into them.
  file.put(
    { bootcmd: [["install", "-d", "-m", "0700", "/var/lib/seedsmith", seedFolder, `${seedFolder}/files`]] },
    from,
  );
  for (const { key, value, from: at } of plan.cloudConfig) file.put({ [key]: value }, at);

  const add = file.list("write_files", from);
  for (const { text, values, origins } of writtenFiles(plan, guest, vault, made)) add(text, values, origins);
  return file;
}

/** The items of write_files: what only this node has, its files and scripts, and what every node has. */
function* writtenFiles(plan: NodePlan, guest: Guest, vault: Vault, made: Made): Generator<Items> {
  const { from } = plan;
  const hosts = [...plan.hosts].map(({ address, names, from: at }) => ({
    line: `${address} ${names.join(" ")}\n`,
    at,
  }));
  const head =
    "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n";
  yield writeFilesItem({
    path: "/etc/hosts",
    permissions: "0644",
    content: head + hosts.map(({ line }) => line).join(""),
    from,
    lines: runsOf([from, from, from, from, ...hosts.map(({ at }) => at)]),
  });
  const listing = program(plan, vault.reveal, made);
  yield writeFilesItem({
    path: `${seedFolder}/program.json`,
    permissions: "0600",
    content: listing.text,
    from,
    lines: listing.origins,
  });
  const kind = kindOf(plan);
  yield made.list(
    `written ${kind} archives`,
    archiveFiles(plan, vault.reveal, made),
    ({ stage, text, keyring, from: at }) =>
      joined([
        writeFilesItem({ path: stage, permissions: "0600", content: text, from: at }),
        ...(keyring !== null && "stage" in keyring
          ? [writeFilesItem({ path: keyring.stage, permissions: "0600", content: keyring.text, from: at })]
          : []),
      ]),
    joined,
  );
  yield made.list(
    `written ${kind} files`,
    plan.files,
    (file, index) =>
      file.content.kind !== "whole"
        ? joined([])
        : writeFilesItem({
            path: stagePath(index, file.path),
            permissions: "0600",
            content: fill(file.content.text, vault.reveal),
            from: file.from,
            lines: runsOf(file.content.lines),
          }),
    joined,
  );
  yield made.list(
    `written ${kind} scripts`,
    plan.scripts,
    (script) =>
      writeFilesItem({
        path: script.path,
        permissions: script.mode,
        content: script.text,
        from: { file: script.file, line: 1, column: 1 },
        lines: [{ count: lineCount(script.text), file: script.file, line: 1, step: 1 }],
      }),
    joined,
  );
  yield made.list("written guest", [guest], guestFiles, joined);
}

function guestFiles(guest: Guest): Items {
  const from = (name: string): Position => ({ file: `guest/${name}`, line: 1, column: 1 });
  const files: readonly WrittenFile[] = [
    {
      path: "/usr/local/sbin/seedsmith-node",
      permissions: "0755",
      content: guest.packed ?? packRunner(guest.runner),
      encoding: "gz+b64",
      from: from("seedsmith-node"),
    },
    {
      path: "/etc/systemd/system/seedsmith-node.service",
      permissions: "0644",
      content: guest.unit,
      from: from("seedsmith-node.service"),
    },
    {
      path: "/var/lib/cloud/scripts/per-boot/50-seedsmith",
      permissions: "0755",
      content: guest.hook,
      from: from("50-seedsmith"),
    },
  ];
  return joined(files.map(writeFilesItem));
}

/** Lines of a text, also of one that lacks its last line break. */
function lineCount(text: string): number {
  return countLines(text) + (text.endsWith("\n") ? 0 : 1);
}

/** vendor-data that says nothing, so that a cloud's own is not taken instead. */
export function vendorData(plan: NodePlan): YamlFile {
  return new YamlFile().comment("cloud-config", plan.from).put({}, plan.from);
}

/** The names of the secrets that the node's seed holds. */
export function secretsOfPlan(plan: NodePlan): Set<string> {
  const names = new Set<string>();
  const seen = new Set<unknown>();
  const visit = (value: unknown): void => {
    if (value === null || typeof value !== "object" || seen.has(value)) return;
    seen.add(value);
    if ("parts" in value) secretsOf(value as never, names);
    else for (const item of Object.values(value)) visit(item);
  };
  visit(plan.files);
  visit(plan.blocks);
  visit(plan.checks);
  visit(plan.debconf);
  visit(plan.apt);
  for (const user of plan.users) if (user.password !== null) names.add(user.password);
  return names;
}

/** cloud-init user-data and vendor-data from a plan. */
import { createRequire } from "node:module";
import type { Position } from "../core/position.ts";
import { fill, secretsOf } from "../core/text.ts";
import type { NodePlan } from "../plan/model.ts";
import { Lines } from "./lines.ts";
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
  /** The origin of each line of the content, where known. */
  readonly lines?: readonly Position[];
}

const itemCache = new Map<string, string>();

/**
 * One item of write_files. Equal items of different nodes are written once: a thousand nodes carry the same
 * runner.
 */
function writeFilesItem(file: WrittenFile): string {
  const key = `${file.path}\n${file.permissions}\n${file.content}`;
  let text = itemCache.get(key);
  if (text === undefined) {
    const { path, permissions, content, encoding } = file;
    text = toYaml([
      { path, permissions, owner: "root:root", ...(encoding === undefined ? {} : { encoding }), content },
    ]);
    if (itemCache.size > 500) itemCache.clear();
    itemCache.set(key, text);
  }
  return text;
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
export function userData(plan: NodePlan, guest: Guest, vault: Vault): Lines {
  const lines = new Lines();
  const { from } = plan;
  const put = (value: { readonly [key: string]: unknown }, at: Position): void =>
    void lines.add(toYaml(value), at);
  lines.add("#cloud-config\n", from);
  put({ hostname: plan.node }, from);
  if (plan.fqdn !== null) put({ fqdn: plan.fqdn, prefer_fqdn_over_hostname: false }, from);
  // C.UTF-8 is part of libc; the distribution's own default may not be generated on a small image.
  put({ manage_etc_hosts: false, preserve_hostname: false, locale: "C.UTF-8" }, from);
  put({ ssh_pwauth: false }, from);
  if (plan.users.length === 0) put({ users: [] }, from);
  else {
    lines.add("users:\n", plan.users[0]?.from ?? from);
    for (const user of plan.users) {
      lines.add(
        toYaml([
          {
            name: user.name,
            shell: "/bin/bash",
            lock_passwd: user.password === null,
            ...(user.password === null ? {} : { passwd: vault.passwordHash(user.password) }),
            ...(user.sudo ? { sudo: "ALL=(ALL) NOPASSWD:ALL" } : {}),
            ...(user.keys.length === 0 ? {} : { ssh_authorized_keys: user.keys }),
          },
        ]),
        user.from,
      );
    }
  }
  const { mirrors, proxy } = plan.apt;
  const apt = {
    ...(mirrors.primary === null ? {} : { primary: [{ arches: ["default"], uri: mirrors.primary }] }),
    ...(mirrors.security === null ? {} : { security: [{ arches: ["default"], uri: mirrors.security }] }),
    ...(mirrors.primary === null && mirrors.security === null ? { preserve_sources_list: true } : {}),
    ...(proxy === null ? {} : { proxy }),
  };
  put({ apt }, plan.apt.from);
  // bootcmd comes before write_files: the folders exist with their modes before anything is put into them.
  put(
    { bootcmd: [["install", "-d", "-m", "0700", "/var/lib/seedsmith", seedFolder, `${seedFolder}/files`]] },
    from,
  );
  for (const { key, value, from: at } of plan.cloudConfig) put({ [key]: value }, at);

  lines.add("write_files:\n", from);
  for (const file of writtenFiles(plan, guest, vault)) {
    const text = writeFilesItem(file);
    const rows = countLines(text);
    const own = file.lines?.length ?? -1;
    // A literal block shows the content's lines as they are; whatever else was chosen has one origin.
    lines.add(
      text,
      own > 0 && own < rows && text.includes("content: |")
        ? [...Array<Position>(rows - own).fill(file.from), ...(file.lines as readonly Position[])]
        : file.from,
    );
  }
  return lines;
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

function* writtenFiles(plan: NodePlan, guest: Guest, vault: Vault): Generator<WrittenFile> {
  const { from } = plan;
  const hosts = [...plan.hosts].map(({ address, names, from: at }) => ({
    line: `${address} ${names.join(" ")}\n`,
    at,
  }));
  const head =
    "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n";
  yield {
    path: "/etc/hosts",
    permissions: "0644",
    content: head + hosts.map(({ line }) => line).join(""),
    from,
    lines: [from, from, from, from, ...hosts.map(({ at }) => at)],
  };
  const listing = program(plan, vault.reveal);
  yield {
    path: `${seedFolder}/program.json`,
    permissions: "0600",
    content: listing.text,
    from,
    lines: listing.origins,
  };
  for (const archive of archiveFiles(plan, vault.reveal)) {
    yield { path: archive.stage, permissions: "0600", content: archive.text, from: archive.from };
    if (archive.keyring !== null && "stage" in archive.keyring)
      yield {
        path: archive.keyring.stage,
        permissions: "0600",
        content: archive.keyring.text,
        from: archive.from,
      };
  }
  for (const [index, file] of plan.files.entries()) {
    if (file.content.kind !== "whole") continue;
    yield {
      path: stagePath(index, file.path),
      permissions: "0600",
      content: fill(file.content.text, vault.reveal),
      from: file.from,
      lines: file.content.lines,
    };
  }
  for (const script of plan.scripts) {
    const at = { file: script.file, line: 1, column: 1 };
    yield {
      path: script.path,
      permissions: "0755",
      content: script.text,
      from: at,
      lines: script.text
        .split("\n")
        .slice(0, script.text.endsWith("\n") ? -1 : undefined)
        .map((_, index) => ({ file: script.file, line: index + 1, column: 1 })),
    };
  }
  const guestFile = (name: string): Position => ({ file: `guest/${name}`, line: 1, column: 1 });
  yield {
    path: "/usr/local/sbin/seedsmith-node",
    permissions: "0755",
    content: guest.packed ?? packRunner(guest.runner),
    encoding: "gz+b64",
    from: guestFile("seedsmith-node"),
  };
  yield {
    path: "/etc/systemd/system/seedsmith-node.service",
    permissions: "0644",
    content: guest.unit,
    from: guestFile("seedsmith-node.service"),
  };
  yield {
    path: "/var/lib/cloud/scripts/per-boot/50-seedsmith",
    permissions: "0755",
    content: guest.hook,
    from: guestFile("50-seedsmith"),
  };
}

/** vendor-data that says nothing, so that a cloud's own is not taken instead. */
export function vendorData(plan: NodePlan): Lines {
  return new Lines().add("#cloud-config\n{}\n", plan.from);
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

/** The runner's program (guest/README.md, format 1) from a plan. The only emitter that knows that format. */
import { type Position, shortPosition } from "../core/position.ts";
import { type Filled, fill, spellings, Text } from "../core/text.ts";
import type { Action, NodePlan, PlannedFile, Probe } from "../plan/model.ts";
import { Lines } from "./lines.ts";
import { kindOf, Made } from "./made.ts";

export type Reveal = (secret: string) => string;

export const seedFolder = "/var/lib/seedsmith/seed";

/** Where the contents of planned files wait on the node until the runner puts them into place. */
export function stagePath(index: number, path: string): string {
  return `${seedFolder}/files/${String(index + 1).padStart(3, "0")}-${path.split("/").at(-1)}`;
}

function probe(plan: Probe, reveal: Reveal): object {
  const f = (text: Filled): string => fill(text, reveal);
  const orNull = (text: Filled | null): string | null => (text === null ? null : f(text));
  switch (plan.kind) {
    case "tcp":
      return { tcp: f(plan.address), timeout: plan.timeout };
    case "http":
      return {
        http: f(plan.url),
        status: plan.status,
        contains: orNull(plan.contains),
        timeout: plan.timeout,
      };
    case "run":
      return {
        run: plan.run.map(f),
        user: plan.user,
        env: env(plan.env, reveal),
        stdin: orNull(plan.stdin),
        exit: plan.exit,
        prints: orNull(plan.prints),
        timeout: plan.timeout,
      };
    case "file":
      return { file: f(plan.path), contains: orNull(plan.contains), timeout: plan.timeout };
    case "unit":
      return { unit: f(plan.unit), timeout: plan.timeout };
  }
}

function env(values: { readonly [name: string]: Filled }, reveal: Reveal): object {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, fill(value, reveal)]));
}

/** One action as the runner reads it. */
export function action(plan: Action, reveal: Reveal): object {
  const from = shortPosition(plan.from);
  switch (plan.kind) {
    case "step":
      return {
        kind: "step",
        id: plan.id,
        name: plan.name,
        run: plan.run.map((arg) => fill(arg, reveal)),
        user: plan.user,
        env: env(plan.env, reveal),
        stdin: plan.stdin === null ? null : fill(plan.stdin, reveal),
        within: plan.within,
        hint: plan.hint,
        unless: plan.unless === null ? null : probe(plan.unless, reveal),
        repeat_safe: plan.repeatSafe,
        from,
      };
    case "unit":
      return {
        kind: "unit",
        id: plan.id,
        unit: plan.unit,
        validate: plan.validate === null ? null : probe(plan.validate, reveal),
        within: plan.within,
        from,
      };
    default:
      return {
        kind: plan.kind,
        id: plan.id,
        name: plan.name,
        ...(plan.for === null ? {} : { for: plan.for }),
        probe: probe(plan.probe, reveal),
        within: plan.within,
        hint: plan.hint,
        from,
      };
  }
}

function file(plan: PlannedFile, index: number, reveal: Reveal): object {
  const whole = plan.content.kind === "whole";
  return {
    path: plan.path,
    owner: plan.owner,
    mode: plan.mode,
    once: plan.once,
    stage: whole ? stagePath(index, plan.path) : null,
    edits:
      plan.content.kind === "whole"
        ? null
        : {
            format: plan.content.format,
            changes: plan.content.changes.map(({ section, key, value }) => ({
              section,
              key,
              value:
                value === null
                  ? null
                  : Array.isArray(value)
                    ? (value as readonly Filled[]).map((one) => fill(one, reveal))
                    : fill(value as Filled, reveal),
            })),
          },
    restarts: plan.restarts,
    from: shortPosition(plan.from),
  };
}

/** The archives' own files: deb822 sources and keyrings, staged beside the planned files. */
export function archiveFiles(
  plan: NodePlan,
  reveal: Reveal,
  made: Made,
): readonly {
  readonly archive: NodePlan["apt"]["archives"][number];
  readonly stage: string;
  readonly path: string;
  readonly text: string;
  readonly from: Position;
  readonly name: string;
  readonly keyring: { stage: string; path: string; text: string } | { package: string } | null;
}[] {
  const describe = (archive: NodePlan["apt"]["archives"][number]) => {
    const keyring = archive.keyring;
    const keyPath =
      keyring !== null && "text" in keyring ? `/etc/apt/keyrings/seedsmith-${archive.name}.asc` : null;
    const signed =
      keyPath ??
      (keyring !== null && "package" in keyring ? `/usr/share/keyrings/${keyring.package}.gpg` : null);
    const text = [
      "Types: deb",
      `URIs: ${fill(archive.uri, reveal)}`,
      `Suites: ${fill(archive.suite, reveal)}`,
      `Components: ${archive.components.join(" ")}`,
      ...(signed === null ? [] : [`Signed-By: ${signed}`]),
      "",
    ].join("\n");
    return {
      archive,
      name: archive.name,
      stage: `${seedFolder}/files/archive-${archive.name}.sources`,
      path: `/etc/apt/sources.list.d/seedsmith-${archive.name}.sources`,
      text,
      from: archive.from,
      keyring:
        keyring === null
          ? null
          : "package" in keyring
            ? { package: keyring.package }
            : {
                stage: `${seedFolder}/files/archive-${archive.name}.asc`,
                path: keyPath as string,
                text: keyring.text,
              },
    };
  };
  return made.list(`archives ${kindOf(plan)}`, plan.apt.archives, describe, (files) => files);
}

/** What may be seen of the secrets in a planned thing, wherever they stand in it. */
function spellingsIn(thing: unknown, reveal: Reveal, into = new Set<string>()): ReadonlySet<string> {
  if (thing instanceof Text) spellings(thing, reveal, into);
  else if (Array.isArray(thing)) for (const item of thing) spellingsIn(item, reveal, into);
  else if (thing !== null && typeof thing === "object")
    for (const key in thing) spellingsIn((thing as Record<string, unknown>)[key], reveal, into);
  return into;
}

/** What the runner must not print: all that may be seen of the secrets that the program and its files have. */
function secretsOf(plan: NodePlan, reveal: Reveal, made: Made): readonly string[] {
  const kind = kindOf(plan);
  const lists: [place: string, things: readonly object[]][] = [
    ["archives", plan.apt.archives],
    ["debconf", plan.debconf],
    ["files", plan.files],
    ...plan.blocks.map(({ id, actions }): [string, readonly object[]] => [`block ${id}`, actions]),
    ["checks", plan.checks],
  ];
  const all = lists.flatMap(([place, things]) =>
    made.list(
      `secrets ${kind} ${place}`,
      things,
      (thing) => spellingsIn(thing, reveal),
      (found) => [...new Set(found.flatMap((one) => [...one]))],
    ),
  );
  return [...new Set(all)].sort();
}

/** One item on one line, if that is not too long. */
function itemText(value: unknown, indent: string): string {
  const long = (): string => JSON.stringify(value, null, 2).replaceAll("\n", `\n${indent}`);
  if (JSON.stringify(value).length > 100) return long();
  const short = JSON.stringify(value, null, 1)
    .split("\n")
    .map((line) => line.trimStart())
    .join(" ");
  return short.length <= 100 ? short : long();
}

/**
 * The program as JSON text, an item a line or a few, with the origin of each line.
 * @param reveal gives the secrets' values: the text holds them and belongs into files of mode 0600 only
 * @param made what was written of other nodes with the same secrets
 */
export function program(plan: NodePlan, reveal: Reveal, made: Made = new Made()): Lines {
  const lines = new Lines();
  const from = plan.from;
  const field = (name: string, value: unknown, last = false): void => {
    lines.add(`  ${JSON.stringify(name)}: ${JSON.stringify(value)}${last ? "" : ","}\n`, from);
  };
  const kind = kindOf(plan);
  /** A key with a list below it. What `describe` gives depends on the thing and its index. */
  const list = <T extends { readonly from: Position }>(
    indent: string,
    name: string,
    place: string,
    things: readonly T[],
    describe: (thing: T, index: number) => unknown,
    last = false,
  ): void => {
    if (things.length === 0) {
      lines.add(`${indent}${JSON.stringify(name)}: []${last ? "" : ","}\n`, from);
      return;
    }
    lines.add(`${indent}${JSON.stringify(name)}: [\n`, things[0]?.from ?? from);
    const inner = `${indent}  `;
    const { text, origins } = made.list(
      `program ${kind} ${place}`,
      things,
      (thing, index) => ({ text: itemText(describe(thing, index), inner), at: thing.from }),
      (items) => {
        const all = new Lines();
        items.forEach((item, index) => {
          all.add(`${inner}${item.text}${index === items.length - 1 ? "" : ","}\n`, item.at);
        });
        return all;
      },
    );
    lines.addAll(text, origins);
    lines.add(`${indent}]${last ? "" : ","}\n`, things.at(-1)?.from ?? from);
  };
  const archives = archiveFiles(plan, reveal, made);
  lines.add("{\n", from);
  field("format", 1);
  field("site", plan.site);
  field("node", plan.node);
  field("generation", plan.generation);
  field("address", plan.address);
  field("names", plan.fqdn === null ? [plan.node] : [plan.node, plan.fqdn]);
  if (plan.report !== undefined) field("report", plan.report);
  // Enough for the lists, the packages and what they unpack to; a full disk is said before anything is touched.
  field("min_free_disk", 2 ** 30);
  const secrets = secretsOf(plan, reveal, made).map((one) => `    ${JSON.stringify(one)}`);
  lines.add(`  "secrets": [${secrets.length === 0 ? "" : `\n${secrets.join(",\n")}\n  `}],\n`, from);
  lines.add('  "apt": {\n', from);
  list("    ", "archives", "archives", archives, ({ name, path, stage, keyring, from: at }) => ({
    name,
    path,
    stage,
    keyring:
      keyring === null ? null : "package" in keyring ? keyring : { path: keyring.path, stage: keyring.stage },
    from: shortPosition(at),
  }));
  list("    ", "debconf", "debconf", plan.debconf, (item) => ({
    ...item,
    value: fill(item.value, reveal),
    from: shortPosition(item.from),
  }));
  list("    ", "packages", "packages", plan.packages, (item) => ({
    name: item.name,
    from: shortPosition(item.from),
  }));
  lines.add('    "recommends": false\n  },\n', from);
  list("  ", "directories", "directories", plan.directories, (item) => ({
    path: item.path,
    owner: item.owner,
    mode: item.mode,
    from: shortPosition(item.from),
  }));
  list("  ", "files", "files", plan.files, (item, index) => file(item, index, reveal));
  lines.add('  "blocks": [\n', from);
  plan.blocks.forEach((block, index) => {
    const at = block.actions[0]?.from ?? from;
    lines.add(
      `    {\n      "id": ${JSON.stringify(block.id)},\n      "title": ${JSON.stringify(block.title)},\n      "after": ${JSON.stringify(block.after)},\n`,
      at,
    );
    list("      ", "actions", `block ${block.id}`, block.actions, (item) => action(item, reveal), true);
    lines.add(`    }${index === plan.blocks.length - 1 ? "" : ","}\n`, at);
  });
  lines.add("  ],\n", from);
  list("  ", "checks", "checks", plan.checks, (item) => action(item, reveal), true);
  lines.add("}\n", from);
  return lines;
}

/**
 * The documentation is true: its YAML examples go through the real validator and planner, the command lines of the
 * README exist with their options, and links lead somewhere.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as assert from "uvu/assert";
import { parse } from "yaml";
import { compile } from "../src/commands/compile.ts";
import { formatProblems } from "../src/core/report.ts";
import { bundled } from "./support/program.ts";
import { suite } from "./support/suite.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const read = (page: string): string => readFileSync(join(root, page), "utf8");
const docs = readdirSync(join(root, "docs"))
  .filter((name) => name.endsWith(".md"))
  .sort()
  .map((name) => `docs/${name}`);
const pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "guest/README.md", ...docs];

interface Example {
  readonly page: string;
  readonly line: number;
  /** The first line's comment: `component`, `site`, `profile`, `part of a component`, `part of a site`. */
  readonly kind: string;
  readonly text: string;
}

const kinds = ["component", "profile", "site", "part of a component", "part of a site"];

/** The YAML blocks of a page; a block in a list item loses the item's indentation. */
function examplesOf(page: string): Example[] {
  const found: Example[] = [];
  for (const match of read(page).matchAll(/^([ ]*)```yaml\n([\s\S]*?)^\1```$/gm)) {
    const [, indent = "", body = ""] = match;
    const text = body.replaceAll(new RegExp(`^${indent}`, "gm"), "");
    found.push({
      page,
      line: read(page).slice(0, match.index).split("\n").length + 1,
      kind: /^# (.+)\n/.exec(text)?.[1] ?? "",
      text,
    });
  }
  return found;
}

const examples = pages.flatMap(examplesOf);

/** What a part of a site lacks: a node that runs every built-in component, and one that runs little. */
const restOfSite: Readonly<Record<string, string>> = {
  site: "site: docs",
  target: "target: debian-12",
  networks:
    "networks:\n  management: { cidr: 10.0.0.0/24, gateway: 10.0.0.254 }\n  provider: { cidr: 203.0.113.0/24, gateway: 203.0.113.1 }",
  access: 'access: { users: [{ name: ops, ssh_authorized_keys: ["ssh-ed25519 AAAA ops"] }] }',
  nodes:
    'nodes:\n  con01: { profile: tried, interfaces: { management: { mac: "52:54:00:0a:00:01", address: 10.0.0.1 }, provider: { mac: "52:54:00:cb:00:01" } } }\n  com01: { profile: little, interfaces: { management: { mac: "52:54:00:0a:00:0b", address: 10.0.0.11 } } }',
};

/** In a cluster, what asks for several members is looked at too. */
const restOfCluster: Readonly<Record<string, string>> = {
  front: "front: { name: cloud, address: 10.0.0.100 }",
  nodes: `${restOfSite.nodes}\n  con02: { profile: tried, interfaces: { management: { mac: "52:54:00:0a:00:02", address: 10.0.0.2 }, provider: { mac: "52:54:00:cb:00:02" } } }`,
};

/** Writes text, and the folders above it. */
function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** Every file that a component names, as an empty stand-in. */
function namedFiles(value: unknown, key = ""): string[] {
  if (typeof value === "string") return ["script", "template_file", "source"].includes(key) ? [value] : [];
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, one]) => namedFiles(one, Array.isArray(value) ? key : name));
}

function putComponent(folder: string, text: string): string {
  const value = parse(text) as { component: string };
  const home = join(folder, "templates", "components", value.component);
  put(join(home, "component.yaml"), text);
  for (const name of namedFiles(value)) put(join(home, name), "#!/bin/sh\n");
  return value.component;
}

/** The workspace of one example: every whole component and profile of its page, and a site that uses the example. */
async function problemsOf(example: Example, cluster = false): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-docs-"));
  try {
    const components: string[] = [];
    for (const other of examples) {
      if (other.page !== example.page) continue;
      if (other.kind === "component") components.push(putComponent(folder, other.text));
      if (other.kind === "profile")
        put(
          join(folder, "profiles", `${(parse(other.text) as { profile: string }).profile}.yaml`),
          other.text,
        );
    }
    let used: string[] = [];
    let base = "controller";
    if (example.kind === "component") used = components;
    if (example.kind === "part of a component")
      used = [putComponent(folder, `component: example\nsummary: An example\n${example.text}`)];
    if (example.kind === "profile") base = (parse(example.text) as { profile: string }).profile;
    put(join(folder, "profiles", "little.yaml"), "profile: little\nextends: base\ncomponents: [openstack]\n");
    put(
      join(folder, "profiles", "tried.yaml"),
      `profile: tried\nextends: ${base}\ncomponents: [${["base", "controller"].includes(base) ? used : []}]\n`,
    );
    let site = example.text;
    const lacking = cluster ? { ...restOfSite, ...restOfCluster } : restOfSite;
    if (example.kind !== "site") {
      const given = example.kind === "part of a site" ? (parse(example.text) as object) : {};
      const rest = Object.entries(lacking).filter(([key]) => !Object.hasOwn(given, key));
      site = `${rest.map(([, text]) => text).join("\n")}\n${
        example.kind === "part of a site" ? example.text : ""
      }`;
    }
    put(join(folder, "site.yaml"), site);
    const compiled = await compile({
      packageRoot: root,
      cwd: folder,
      site: "site.yaml",
      target: null,
      profiles: [],
      nodes: [],
    });
    for (const node of compiled.site?.nodes ?? []) compiled.plan?.plan(node);
    const { problems } = compiled;
    if (compiled.plan === null && !problems.failed) return "no plan";
    return problems.failed ? formatProblems(problems.list, compiled.source) : "";
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

suite("docs: examples", (test) => {
  test("there are examples, and each says what it is", () => {
    assert.ok(examples.length > 20);
    for (const { page, line, kind } of examples)
      assert.ok(
        kinds.includes(kind),
        `${page}:${line} begins with a comment that names its kind, not "${kind}"`,
      );
  });
  for (const example of examples) {
    test(`${example.page}:${example.line} ${example.kind}`, async () => {
      assert.is(await problemsOf(example), "");
      if (example.kind === "part of a component") assert.is(await problemsOf(example, true), "");
    });
  }
});

const program = await bundled("src/cli.ts");
const texts = new Map<string, string>();

/** What `seedsmith ARGS --help` prints. */
function help(...args: string[]): string {
  const command = args.join(" ");
  let text = texts.get(command);
  if (text === undefined) {
    const argv = [program.path, ...args, "--help"];
    text = spawnSync(process.execPath, argv, { cwd: root, encoding: "utf8" }).stdout;
    texts.set(command, text);
  }
  return text;
}

/** Command lines of a page: what follows `seedsmith` in code, up to the end of the code or line. */
function commandLines(page: string): string[] {
  const lines: string[] = [];
  const text = read(page);
  for (const [, body = ""] of text.matchAll(/^```(?:sh|console)\n([\s\S]*?)^```$/gm))
    for (const line of body.split("\n"))
      for (const [, rest = ""] of line.matchAll(/^(?:[$#] )?(?:.*&& )?npx seedsmith (.*)$/g))
        lines.push(rest);
  for (const [, rest = ""] of text
    .replaceAll(/^```[\s\S]*?^```$/gm, "")
    .matchAll(/`(?:npx )?seedsmith ([^`\n]+)`/g))
    lines.push(rest);
  return lines;
}

suite("docs: command lines", (test) => {
  test.after(program.remove);
  const general = help();
  const labs = help("lab");
  for (const page of ["README.md", ...docs]) {
    for (const line of commandLines(page)) {
      test(`${page}: seedsmith ${line}`, () => {
        const [first = "", ...rest] = line.split(/\s+/);
        // `lab up` is one command; what follows `--` is another program's.
        const command = first === "lab" ? `lab ${rest.shift() ?? ""}`.trim() : first;
        const args = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
        if (command.startsWith("--")) {
          assert.ok(general.includes(command), `seedsmith --help does not name ${command}`);
          return;
        }
        const list = first === "lab" ? labs : general;
        if (command !== "lab")
          assert.match(list, new RegExp(`^  ${command} `, "m"), `there is no command ${command}`);
        const text = help(...command.split(" "));
        for (const option of args.filter((arg) => arg.startsWith("-")))
          assert.match(text, new RegExp(`^  ${option}( |$)`, "m"), `${command} has no ${option}`);
      });
    }
  }
  test("options that the README names alone exist", () => {
    const options = new Set(
      read("README.md")
        .match(/`--[a-z]+/g)
        ?.map((option) => option.slice(1)),
    );
    for (const option of options)
      assert.ok(
        ["check", "render"].some((command) => help(command).includes(`  ${option}`)),
        option,
      );
  });
  test("npm scripts that pages name exist", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    for (const page of pages)
      for (const [, name = ""] of read(page).matchAll(/\bnpm run ([a-z:]+)/g))
        assert.ok(Object.hasOwn(scripts, name), `${page}: there is no script ${name}`);
  });
});

/** The anchor that a heading gets on the usual hosts. */
function anchor(heading: string): string {
  return heading
    .replaceAll(/[`*]/g, "")
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

suite("docs: links", (test) => {
  for (const page of pages) {
    test(page, () => {
      const text = read(page).replaceAll(/^ *```[\s\S]*?^ *```$/gm, "");
      for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [file = "", name] = target.split("#");
        const path = file === "" ? page : join(dirname(page), file);
        assert.ok(existsSync(join(root, path)), `${page} links to ${target}, and there is no ${path}`);
        if (name === undefined || !path.endsWith(".md")) continue;
        const headings = [...read(path).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) => anchor(heading));
        assert.ok(headings.includes(name), `${page} links to ${target}, and ${path} has no such heading`);
      }
    });
  }
});

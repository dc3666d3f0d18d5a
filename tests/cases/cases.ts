/** Reads, runs and blesses the cases of this folder; README.md tells the format. */
import {
  cpSync,
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
import { parseArgs } from "node:util";
import { check } from "../../src/commands/check.ts";
import { match } from "../../src/commands/match.ts";
import { pxeAssets } from "../../src/commands/pxe.ts";
import { render } from "../../src/commands/render.ts";
import { show } from "../../src/commands/show.ts";
import { formatProblems } from "../../src/core/report.ts";
import type { Identity } from "../../src/resolve/netboot.ts";
import type { Carrier } from "../../src/validate/documents.ts";

const here = import.meta.dirname;
const repository = join(here, "..", "..");

interface Section {
  readonly path: string;
  readonly kind: "plain" | "escaped" | "folder" | "+";
  readonly text: string;
}

export interface Case {
  readonly name: string;
  readonly sections: readonly Section[];
  readonly command: string;
  readonly expected: string;
  readonly head: string;
}

export function readCases(): Case[] {
  return readdirSync(here)
    .filter((file) => file.endsWith(".case"))
    .sort()
    .map((file) => {
      const text = readFileSync(join(here, file), "utf8");
      const cut = text.indexOf("\n+++\n");
      if (cut < 0) throw new Error(`${file} has no +++`);
      const head = text.slice(0, cut + 1);
      const command = /^\$ (.*)$/m.exec(head)?.[1];
      if (command === undefined) throw new Error(`${file} has no command`);
      const sections: Section[] = [];
      for (const part of head.split(/^(?==== )/m).filter((one) => one.startsWith("=== "))) {
        const end = part.indexOf("\n");
        const [, path = "", kind = "plain"] = /^=== (\S+)(?: (\S+))?$/.exec(part.slice(0, end)) ?? [];
        const body = part.slice(end + 1).replace(/^\$ .*\n/m, "");
        sections.push({ path, kind: kind as Section["kind"], text: body });
      }
      return { name: file, sections, command, head, expected: text.slice(cut + 5) };
    });
}

/** An installed package of its own: the guest's files and the small library. */
export function makePackage(): string {
  const root = mkdtempSync(join(tmpdir(), "seedsmith-cases-"));
  cpSync(join(here, "library"), root, { recursive: true });
  cpSync(join(repository, "guest"), join(root, "guest"), {
    recursive: true,
    filter: (path) => !path.includes("__pycache__"),
  });
  mkdirSync(join(root, "sites", "example"), { recursive: true });
  cpSync(join(here, "base-site.yaml"), join(root, "sites", "example", "site.yaml"));
  return root;
}

function decode(text: string): Buffer {
  const bytes: Buffer[] = [];
  const pattern = /\\(x[0-9a-fA-F]{2}|.)|[^\\]+/gs;
  for (const [whole, code] of text.replace(/\n$/, "").matchAll(pattern)) {
    if (code === undefined) bytes.push(Buffer.from(whole));
    else if (code.startsWith("x") && code.length === 3)
      bytes.push(Buffer.from([Number.parseInt(code.slice(1), 16)]));
    else bytes.push(Buffer.from(({ t: "\t", n: "\n", r: "\r" } as Record<string, string>)[code] ?? code));
  }
  return Buffer.concat(bytes);
}

/** Runs a case in a new workspace; gives the whole report and the files that came to be. */
export async function runCase(one: Case, packageRoot: string): Promise<{ report: string; made: string[] }> {
  const cwd = mkdtempSync(join(tmpdir(), "seedsmith-case-"));
  try {
    cpSync(join(here, "base-site.yaml"), join(cwd, "site.yaml"));
    for (const { path, kind, text } of one.sections) {
      const place = join(cwd, path);
      mkdirSync(dirname(place), { recursive: true });
      if (kind === "folder") {
        rmSync(place, { force: true });
        mkdirSync(place);
      } else if (kind === "escaped") writeFileSync(place, decode(text));
      else if (kind === "+")
        writeFileSync(place, (existsSync(place) ? readFileSync(place, "utf8") : "") + text);
      else writeFileSync(place, text);
    }
    const before = readdirSync(cwd, { recursive: true, encoding: "utf8" });
    const [name = "", ...args] = one.command.split(" ");
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: {
        site: { type: "string" },
        target: { type: "string" },
        out: { type: "string" },
        profile: { type: "string", multiple: true },
        node: { type: "string", multiple: true },
        carrier: { type: "string", multiple: true },
        mac: { type: "string" },
        serial: { type: "string" },
        uuid: { type: "string" },
      },
    });
    const choice = {
      packageRoot,
      cwd,
      site: values.site ?? null,
      target: values.target ?? null,
      profiles: values.profile ?? [],
      nodes: name === "show" ? positionals : (values.node ?? []),
      ...(values.carrier === undefined ? {} : { carriers: values.carrier as Carrier[] }),
    };
    const result =
      name === "render"
        ? await render({ ...choice, out: values.out ?? "build", workerUrl: null })
        : name === "show"
          ? await show(choice)
          : name === "match"
            ? await match(choice, identity(values))
            : name === "pxe"
              ? await pxeAssets(choice, values.out ?? "build", () => {})
              : await check(choice, false);
    const failed = result.problems.some((problem) => problem.notice !== true);
    const made = readdirSync(cwd, { recursive: true, encoding: "utf8" }).filter(
      (file) => !before.includes(file),
    );
    return {
      report: `${formatProblems(result.problems, result.compiled.source)}${failed ? "" : "(no errors)\n"}`,
      made: failed ? made : [],
    };
  } finally {
    rmSync(cwd, { recursive: true, force: true });
  }
}

/** What a machine tells of itself; a mark without a value is an empty text. */
function identity(values: { mac?: string; serial?: string; uuid?: string }): Identity {
  const { mac, serial, uuid } = values;
  return {
    ...(mac === undefined ? {} : { mac }),
    ...(serial === undefined ? {} : { serial }),
    ...(uuid === undefined ? {} : { uuid }),
  };
}

export function bless(one: Case, report: string): void {
  writeFileSync(join(here, one.name), `${one.head}+++\n${report}`);
}

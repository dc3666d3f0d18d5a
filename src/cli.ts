#!/usr/bin/env node
/** Arguments to command to exit code. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import type { Choice, Compiled } from "./commands/compile.ts";
import type { LabRequest } from "./commands/lab/request.ts";
import { type RenderResult, render, renderInWorker } from "./commands/render.ts";
import type { ServeRequest } from "./commands/serve/request.ts";
import { seconds } from "./core/duration.ts";
import { exit, isUsage, Usage } from "./core/exit.ts";
import type { Position } from "./core/position.ts";
import type { Problem } from "./core/problem.ts";
import { formatProblems, problemsAsJson } from "./core/report.ts";
import { suggest } from "./core/suggest.ts";
import { carrierLimits } from "./emit/carriers.ts";
import type { Carrier } from "./validate/documents.ts";

const here = dirname(fileURLToPath(import.meta.url));
/** dist/cli.js (or a chunk of it) and src/cli.ts both lie one folder below the package. */
const packageRoot = join(here, "..");

const optionTable = {
  site: { type: "string" },
  profile: { type: "string", multiple: true },
  node: { type: "string", multiple: true },
  target: { type: "string" },
  carrier: { type: "string", multiple: true },
  out: { type: "string" },
  format: { type: "string" },
  strict: { type: "boolean" },
  tools: { type: "boolean" },
  force: { type: "boolean" },
  driver: { type: "string" },
  timeout: { type: "string" },
  follow: { type: "boolean" },
  keep: { type: "boolean" },
  report: { type: "string" },
  svg: { type: "string" },
  listen: { type: "string" },
  dhcp: { type: "boolean" },
  tokens: { type: "boolean" },
  url: { type: "string" },
  mac: { type: "string" },
  serial: { type: "string" },
  uuid: { type: "string" },
  group: { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "V" },
} as const;

type OptionName = keyof typeof optionTable;

const choosing: readonly OptionName[] = ["site", "profile", "node", "target"];
const commands: Record<
  string,
  {
    readonly usage: string;
    readonly summary: string;
    readonly options: readonly OptionName[];
    readonly help: string;
    readonly positionals: readonly [number, number];
  }
> = {
  render: {
    usage:
      "seedsmith render [--site FILE] [--profile NAME]... [--node NAME]... [--target NAME] [--carrier NAME]... [--out DIR] [--format text|json] [--strict]",
    summary: "write the seeds of the site's nodes",
    options: [...choosing, "carrier", "out", "format", "strict"],
    positionals: [0, 0],
    help: `Writes build/<site>/<node>/{user-data,meta-data,network-config,vendor-data,seed.iso,plan.json} and
build/<site>/{manifest.json,origins.json}. Everything is checked first: on any problem nothing is written.
--carrier also makes seed.img (vfat), config-drive.img and .b64, or user-data.gz, in place of what the site says.
--strict also runs the outside tools, and takes notices and skipped tools for problems.`,
  },
  check: {
    usage:
      "seedsmith check [--site FILE] [--profile NAME]... [--node NAME]... [--target NAME] [--carrier NAME]... [--format text|json] [--strict] [--tools]",
    summary: "do all that render does but the writing",
    options: [...choosing, "carrier", "format", "strict", "tools"],
    positionals: [0, 0],
    help: `--tools lets the outside tools that are installed judge the result: cloud-init schema, netplan generate,
xorriso, isoinfo, blkid, sh -n, python3 -m py_compile. A missing tool is reported as skipped.`,
  },
  show: {
    usage: "seedsmith show NODE [--site FILE] [--target NAME] [--format text|json]",
    summary: "print what a node's first boot will do, in order",
    options: ["site", "target", "format"],
    positionals: [1, 1],
    help: "Prints packages, files, steps, waits and checks with the source line of each. Shows no secrets.",
  },
  hardware: {
    usage: "seedsmith hardware import NODE FILE [--site FILE] [--format text|json]",
    summary: "record what disks a machine has",
    options: ["site", "format"],
    positionals: [3, 3],
    help: `Reads what the machine says of its disks and writes hardware/NODE.yaml beside the site. Then check and show
tell which disk an installation takes, before anything boots. FILE (- is the standard input) is one of:
  lsblk --json --bytes --output-all                  run on the machine, from any live system
  lshw -json                                         the same
  /var/log/installer/block/probe-data.json           of an installation, or of the installer's live session`,
  },
  init: {
    usage: "seedsmith init DIR [--force]",
    summary: "make a commented site to start from",
    options: ["force"],
    positionals: [1, 1],
    help: `Makes DIR with site.yaml, and folders profiles/ and templates/components/ whose contents add to or replace
what is built in. Takes your own ~/.ssh/*.pub for the login. --force writes into a folder that is not empty,
and still overwrites nothing.`,
  },
  match: {
    usage: "seedsmith match [--mac ADDRESS] [--serial TEXT] [--uuid UUID] [--site FILE] [--format text|json]",
    summary: "which node a machine is, and what it would boot from the network",
    options: ["site", "mac", "serial", "uuid", "format"],
    positionals: [0, 0],
    help: `Says what the boot server answers to a machine that tells this of itself, as long as it is not installed. Marks of
two nodes, or of none, are an error.`,
  },
  pxe: {
    usage: "seedsmith pxe assets [--site FILE] [--out DIR] [--format text|json]",
    summary: "bring the loaders and installers that machines boot from the network",
    options: ["site", "out", "format"],
    positionals: [1, 1],
    help: `Writes build/<site>/pxe/: in loaders/ shim, GRUB, iPXE and PXELINUX, as the site wants them, out of the packages of
this machine's Debian or Ubuntu (nothing is installed); in assets/ kernel, initrd and image of each installer, from where
netboot.installers says. What is fetched must have the digest that stands there, and is gone on with after a cut.`,
  },
  publish: {
    usage: "seedsmith publish DIR --group NAME [--site FILE] [--out DIR] [--format text|json]",
    summary: "copy what is rendered to where a web server reads it",
    options: ["site", "group", "out", "format"],
    positionals: [1, 1],
    help: `Copies seeds, loaders and assets of build/<site>/ to DIR, readable for one group: files 0640, folders 0750; build/
stays as it is. Also writes DIR/nginx.conf, and DHCP's configuration, with DIR's paths. DIR must be empty, or be one that
publish made. Seeds hold secrets: the group is the web server's alone.`,
  },
  serve: {
    usage:
      "seedsmith serve [--dhcp] [--listen ADDRESS:PORT] [--tokens] [--site FILE] [--out DIR] [--format text|json]",
    summary: "boot machines from the network, and show how they do",
    options: ["site", "out", "dhcp", "listen", "tokens", "format"],
    positionals: [0, 0],
    help: `Answers what the site's netboot: describes, at its address alone: boot entries by MAC address, seeds to the machines
that they are for, installers and loaders. Hears what installers and first boots report; http://ADDRESS/status shows it.
A node that has reported installed boots its disk from then on, until reinstall. What is known of the nodes is kept in
.seedsmith/<site>.serve/ beside the site. Seeds hold secrets, and go over plain HTTP: see docs/serve.md.
--dhcp also runs dnsmasq (DHCP and TFTP), as rendered. Ctrl-C ends it all.`,
  },
  watch: {
    usage: "seedsmith watch [--url URL] [--node NAME]... [--site FILE] [--format text|json]",
    summary: "how the nodes of a boot server do, until each has its verdict",
    options: ["site", "node", "url", "format"],
    positionals: [0, 0],
    help: "Looks, and changes nothing. Ends when every node is READY (exit code 0) or has failed (4).",
  },
  reinstall: {
    usage: "seedsmith reinstall NODE [--site FILE] [--format text|json]",
    summary: "let a node's next boot from the network install it again",
    options: ["site", "format"],
    positionals: [1, 1],
    help: `The installation wipes the node's disk. Until it reports installed, its seed is given again. Works with a server that
runs, and without one for the next that does.`,
  },
  test: {
    usage:
      "seedsmith test [--site FILE] [--profile NAME]... [--node NAME]... [--target NAME] [--driver NAME] [--timeout TIME] [--keep] [--report FILE] [--out DIR] [--format text|json]",
    summary: "boot the nodes in a lab, run every check, report, take the lab down",
    options: [...choosing, "driver", "timeout", "keep", "report", "out", "format"],
    positionals: [0, 0],
    help: `Renders, then does what lab up, lab check and lab down do. Green means: every node came to READY by itself from
the rendered bytes, and all its checks held a second time.`,
  },
  "lab up": {
    usage:
      "seedsmith lab up [--site FILE] [--profile NAME]... [--node NAME]... [--target NAME] [--driver NAME] [--timeout TIME] [--out DIR] [--format text|json]",
    summary: "render the nodes, boot them, wait for each node's verdict",
    options: [...choosing, "driver", "timeout", "out", "format"],
    positionals: [0, 0],
    help: `The nodes boot the bytes that render writes. A node that fails ends the wait at once; the lab is left standing,
to look inside, until lab down. Its state is in build/<site>/lab/.`,
  },
  "lab status": {
    usage: "seedsmith lab status [--site FILE] [--out DIR] [--format text|json]",
    summary: "how each node of the lab does, and how to log in",
    options: ["site", "out", "format"],
    positionals: [0, 0],
    help: "Looks, and changes nothing.",
  },
  "lab check": {
    usage: "seedsmith lab check [--node NAME]... [--site FILE] [--out DIR] [--format text|json]",
    summary: "run every check of every component again, on the nodes",
    options: ["site", "node", "out", "format"],
    positionals: [0, 0],
    help: "Runs seedsmith-node check on each node; a red check is given a minute at most.",
  },
  "lab exec": {
    usage: "seedsmith lab exec NODE [--site FILE] [--out DIR] [--timeout TIME] -- COMMAND [ARGUMENT]...",
    summary: "run a command on a node, as root",
    options: ["site", "out", "timeout", "format"],
    positionals: [2, Number.POSITIVE_INFINITY],
    help: "The command has this command's input and output and, where both are one, its terminal. The exit code is that of the\ncommand. --timeout ends it; without that it takes as long as it takes.",
  },
  "lab logs": {
    usage: "seedsmith lab logs NODE [--follow] [--site FILE] [--out DIR]",
    summary: "what a node printed on its console, over all its boots",
    options: ["site", "out", "follow", "format"],
    positionals: [1, 1],
    help: "--follow goes on until the node is off, or Ctrl-C.",
  },
  "lab down": {
    usage: "seedsmith lab down [--site FILE] [--out DIR] [--format text|json]",
    summary: "end the lab and all that it made on this host",
    options: ["site", "out", "format"],
    positionals: [0, 0],
    help: "Also clears what a lab left whose command was killed. Downloaded packages and images are kept for the next lab.",
  },
  "lab doctor": {
    usage: "seedsmith lab doctor [--out DIR] [--format text|json]",
    summary: "what is missing for each driver, and the package that brings it",
    options: ["out", "format"],
    positionals: [0, 0],
    help: "Also finds out whether a virtual machine really starts with the processor's help.",
  },
  "lab images": {
    usage: "seedsmith lab images [list|fetch|build|remove] [TARGET]... [--format text|json]",
    summary: "the systems that machines boot: list, fetch, build, remove",
    options: ["format"],
    positionals: [0, Number.POSITIVE_INFINITY],
    help: "Without a word: list.",
  },
  "lab timeline": {
    usage:
      "seedsmith lab timeline [--svg FILE] [--node NAME]... [--site FILE] [--out DIR] [--format text|json]",
    summary: "what each node spent its first boot on, on one time axis",
    options: ["site", "node", "out", "svg", "format"],
    positionals: [0, 0],
    help: `Stages of cloud-init, apt's fetching and dpkg's work, the runner's steps, waits for other nodes; the longest
items; and which share of the time was neither fetching nor unpacking packages. Also works while nodes boot, after one
has failed, and after lab down, from what was recorded.`,
  },
};

const optionHelp: Record<OptionName, string> = {
  site: "--site FILE       the site; without it site.yaml here or in a parent folder, else the built-in example",
  profile: "--profile NAME    only nodes of this profile, or of one that extends it (may be repeated)",
  node: "--node NAME       only this node (may be repeated; narrows --profile)",
  target: "--target NAME     render for this target whatever the site says",
  carrier: "--carrier NAME    vfat, config-drive or user-data: also this form of the seed (may be repeated)",
  out: "--out DIR         the output folder, build without it",
  format: "--format FORMAT   text (default) or json",
  strict: "--strict          notices and skipped tools fail too",
  tools: "--tools           run the outside tools",
  force: "--force           write into a folder that is not empty",
  driver: "--driver NAME     qemu, multipass or nspawn; without it the best that runs here",
  timeout: "--timeout TIME    such as 20m: how long to wait",
  follow: "--follow          go on printing what is added",
  keep: "--keep            leave the lab standing",
  report: "--report FILE     also write the result to this file",
  svg: "--svg FILE        also draw it: an SVG picture for light and dark pages",
  listen: "--listen ADDRESS:PORT  serve there, not where the site says",
  dhcp: "--dhcp            also run the DHCP and TFTP server",
  tokens: "--tokens          boot entries name seeds by a token, for machines behind a router",
  url: "--url URL         of the boot server; without it the site's",
  mac: "--mac ADDRESS     of one of its network cards",
  serial: "--serial TEXT     that its firmware tells",
  uuid: "--uuid UUID       that its firmware tells",
  group: "--group NAME      the group that may read the copy, such as www-data",
  help: "--help            this text",
  version: "--version         the version",
};

function help(command?: string): string {
  if (command === "lab") {
    const verbs = Object.entries(commands)
      .filter(([name]) => name.startsWith("lab "))
      .map(([name, { summary }]) => `  ${name.padEnd(14)} ${summary}`);
    return `Usage: seedsmith lab VERB [OPTIONS]

Boots the rendered bytes on this host, watches them, and tells how each node did.

Verbs:
${verbs.join("\n")}

  seedsmith lab VERB --help   tells more of a verb
`;
  }
  if (command !== undefined) {
    const found = commands[command];
    if (found !== undefined) {
      const options = [...found.options, "help" as const].map((name) => `  ${optionHelp[name]}`);
      return `Usage: ${found.usage}\n\n${found.help}\n\nOptions:\n${options.join("\n")}\n`;
    }
  }
  const list = [
    ...Object.entries(commands).filter(([name]) => !name.startsWith("lab ")),
    [
      "lab",
      { summary: "boot the nodes on this host and look inside: up, status, check, exec, logs, down, ..." },
    ] as const,
  ].map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`);
  return `seedsmith: node profiles and a site go in, seeds that provision machines on first boot come out.

Usage: seedsmith COMMAND [OPTIONS]

Commands:
${list.join("\n")}

  seedsmith COMMAND --help   tells more of a command
  seedsmith --version        the version

Exit codes: 0 fine, 1 problems in the input, 2 wrong usage, 3 a host tool is missing or failed,
4 a node failed to become healthy, 70 a defect of seedsmith.
`;
}

function carrierNamed(name: string): Carrier {
  const known = Object.keys(carrierLimits) as Carrier[];
  const found = known.find((one) => one === name);
  if (found === undefined)
    throw new Usage(`there is no carrier "${name}": ${suggest(name, known) ?? known.join(", ")}`);
  return found;
}

/** Runs a command that leans on this host: what the host lacks or refuses is said, and is 3. */
async function orTool(format: "text" | "json", command: () => Promise<number>): Promise<number> {
  const { LabError } = await import("./lab/command.ts");
  try {
    return await command();
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    if (format === "json")
      process.stdout.write(
        `${JSON.stringify({ ok: false, error: error.message, hint: error.hint }, null, 2)}\n`,
      );
    else {
      process.stderr.write(`error: ${error.message}\n`);
      if (error.hint !== null) process.stderr.write(`  hint: ${error.hint}\n`);
    }
    return exit.tool;
  }
}

function unknownCommand(name: string): Usage {
  const hint = suggest(name, [...Object.keys(commands), "lab"]);
  return new Usage(`there is no command "${name}"${hint === undefined ? "" : `: ${hint}`}`);
}

/** `lab up` is one command in two words. */
function words(argv: readonly string[]): readonly string[] {
  const [first, verb, ...rest] = argv;
  if (first !== "lab" || verb === undefined || verb === "--help" || verb === "-h") return argv;
  return [`lab ${verb}`, ...rest];
}

async function main(argv: readonly string[]): Promise<number> {
  const [first, ...rest] = words(argv);
  if (first === "lab") {
    (rest.length === 0 ? process.stderr : process.stdout).write(help("lab"));
    return rest.length === 0 ? exit.usage : exit.fine;
  }
  if (first === undefined || first === "help" || first === "--help" || first === "-h") {
    const topic = first === "help" && rest.length > 0 ? rest.join(" ") : undefined;
    if (topic !== undefined && topic !== "lab" && !Object.hasOwn(commands, topic))
      throw unknownCommand(topic);
    (first === undefined ? process.stderr : process.stdout).write(help(topic));
    return first === undefined ? exit.usage : exit.fine;
  }
  if (first === "--version" || first === "-V") {
    const { version } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as {
      version: string;
    };
    process.stdout.write(`${version}\n`);
    return exit.fine;
  }
  const command = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (command === undefined) throw unknownCommand(first);
  const { values, positionals } = parse(first, command, rest);
  if (values.help === true) {
    process.stdout.write(help(first));
    return exit.fine;
  }
  const format = values.format ?? "text";
  if (format !== "text" && format !== "json") throw new Usage(`--format is text or json, not "${format}"`);
  const choice: Choice = {
    packageRoot,
    cwd: process.cwd(),
    site: values.site ?? null,
    target: values.target ?? null,
    ...(values.carrier === undefined ? {} : { carriers: values.carrier.map(carrierNamed) }),
    profiles: values.profile ?? [],
    nodes: first === "show" || first === "reinstall" ? positionals : (values.node ?? []),
  };
  if (first === "test" || first.startsWith("lab ")) {
    const { runLab } = await import("./commands/lab.ts");
    return await runLab(first, labRequest(choice, values, positionals, format));
  }
  if (first === "serve" || first === "watch" || first === "reinstall") {
    const { runServe } = await import("./commands/serve.ts");
    const request: ServeRequest = {
      choice,
      out: values.out ?? "build",
      format,
      listen: values.listen ?? null,
      dhcp: values.dhcp === true,
      tokens: values.tokens === true,
      url: values.url ?? null,
      problems: (compiled, problems, data) => conclude(compiled, problems, format, false, data, ""),
    };
    return await runServe(first, request);
  }
  switch (first) {
    case "render":
      return runRender(choice, values.out ?? "build", format, values.strict === true);
    case "check": {
      const { check } = await import("./commands/check.ts");
      const result = await check(choice, values.tools === true || values.strict === true);
      return conclude(
        result.compiled,
        result.problems,
        format,
        values.strict === true,
        { command: "check", tools: result.tools, nodes: result.nodes },
        result.text,
      );
    }
    case "show": {
      const { show } = await import("./commands/show.ts");
      const result = await show(choice);
      return conclude(
        result.compiled,
        result.problems,
        format,
        false,
        { command: "show", plans: result.plans },
        result.text,
      );
    }
    case "match": {
      const identity = {
        ...(values.mac === undefined ? {} : { mac: values.mac }),
        ...(values.serial === undefined ? {} : { serial: values.serial }),
        ...(values.uuid === undefined ? {} : { uuid: values.uuid }),
      };
      if (Object.keys(identity).length === 0) throw new Usage("match needs --mac, --serial or --uuid");
      const { match } = await import("./commands/match.ts");
      return await orTool(format, async () => {
        const { compiled, problems, text, matched } = await match(choice, identity);
        return conclude(compiled, problems, format, false, { command: "match", matched }, text);
      });
    }
    case "pxe": {
      const [action = ""] = positionals;
      if (action !== "assets") {
        const hint = suggest(action, ["assets"]);
        throw new Usage(`pxe has no "${action}"${hint === undefined ? "" : `: ${hint}`}`);
      }
      const { pxeAssets } = await import("./commands/pxe.ts");
      return await orTool(format, async () => {
        const { compiled, problems, text, assets } = await pxeAssets(choice, values.out ?? "build", (line) =>
          process.stderr.write(`${line}\n`),
        );
        return conclude(compiled, problems, format, false, { command: "pxe", assets }, text);
      });
    }
    case "publish": {
      if (values.group === undefined) throw new Usage("publish needs --group: who may read the copy");
      const { group } = values;
      const { publish } = await import("./commands/publish.ts");
      return await orTool(format, async () => {
        const { compiled, problems, text, ...data } = await publish(
          choice,
          values.out ?? "build",
          positionals[0] ?? "",
          group,
        );
        return conclude(compiled, problems, format, false, { command: "publish", ...data }, text);
      });
    }
    case "hardware": {
      const [action = "", node = "", file = ""] = positionals;
      if (action !== "import") {
        const hint = suggest(action, ["import"]);
        throw new Usage(`hardware has no "${action}"${hint === undefined ? "" : `: ${hint}`}`);
      }
      const { importHardware } = await import("./commands/hardware.ts");
      const { compiled, problems, text, ...data } = await importHardware(choice, node, file);
      return conclude(compiled, problems, format, false, { command: "hardware", ...data }, text);
    }
    default: {
      const { init } = await import("./commands/init.ts");
      const result = init(packageRoot, process.cwd(), positionals[0] ?? "", values.force === true);
      (result.ok ? process.stdout : process.stderr).write(result.text);
      return result.ok ? exit.fine : exit.problems;
    }
  }
}

function parse(name: string, command: NonNullable<(typeof commands)[string]>, argv: readonly string[]) {
  let parsed: ReturnType<typeof parseArgs<{ options: typeof optionTable; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ args: [...argv], options: optionTable, allowPositionals: true, strict: true });
  } catch (error) {
    const message = (error as Error).message;
    const unknown = /'(--?[^' ]+)'/.exec(message)?.[1];
    if ((error as { code?: string }).code === "ERR_PARSE_ARGS_UNKNOWN_OPTION" && unknown !== undefined) {
      const hint = suggest(
        unknown,
        command.options.map((option) => `--${option}`),
      );
      throw new Usage(`there is no option "${unknown}" for ${name}${hint === undefined ? "" : `: ${hint}`}`);
    }
    const [, option, taking] = /^Option '(?:-\w, )?(--[\w-]+)( <value>)?'/.exec(message) ?? [];
    if (option !== undefined)
      throw new Usage(taking === undefined ? `${option} takes no value` : `${option} wants a value`);
    throw new Usage(message);
  }
  for (const option of Object.keys(parsed.values) as OptionName[]) {
    if (option !== "help" && !command.options.includes(option))
      throw new Usage(`${name} takes no --${option}`);
  }
  const [least, most] = command.positionals;
  if (
    parsed.values.help !== true &&
    (parsed.positionals.length < least || parsed.positionals.length > most)
  ) {
    throw new Usage(
      parsed.positionals.length < least
        ? `${name} wants an argument: ${command.usage}`
        : `${name} takes no argument "${parsed.positionals[most] ?? ""}"`,
    );
  }
  return parsed;
}

type Values = ReturnType<typeof parse>["values"];

function labRequest(
  choice: Choice,
  values: Values,
  positionals: readonly string[],
  format: "text" | "json",
): LabRequest {
  const timeout = values.timeout === undefined ? null : seconds(values.timeout);
  if (values.timeout !== undefined && timeout === null)
    throw new Usage(`--timeout is a number with s, m or h, such as 20m, not "${values.timeout}"`);
  return {
    choice,
    out: values.out ?? "build",
    format,
    driver: values.driver ?? null,
    timeout,
    follow: values.follow === true,
    keep: values.keep === true,
    report: values.report ?? null,
    svg: values.svg ?? null,
    positionals,
    problems: (compiled, problems, data) => conclude(compiled, problems, format, false, data, ""),
  };
}

async function runRender(choice: Choice, out: string, format: string, strict: boolean): Promise<number> {
  if (strict) {
    const { check } = await import("./commands/check.ts");
    const checked = await check(choice, true);
    if (checked.problems.length > 0)
      return conclude(checked.compiled, checked.problems, format, true, { command: "render", nodes: [] }, "");
  }
  const live = process.stderr.isTTY === true && format === "text";
  const result = await render({
    ...choice,
    out,
    // From sources a worker has nobody to read TypeScript for it.
    workerUrl: import.meta.url.endsWith(".ts") ? null : new URL(import.meta.url),
    ...(live
      ? {
          progress: (done: number, total: number) => void process.stderr.write(`\r${done} of ${total} nodes`),
        }
      : {}),
  });
  if (live && result.nodes.length >= 100) process.stderr.write("\r\x1b[K");
  return conclude(
    result.compiled,
    result.problems,
    format,
    strict,
    {
      command: "render",
      folder: relative(choice.cwd, result.folder),
      nodes: result.nodes,
      removed: result.removed,
      wrote: result.wrote,
    },
    renderText(result, choice.cwd),
  );
}

/** A line a node, what changed, and how to boot the first one. */
function renderText(result: RenderResult, cwd: string): string {
  if (result.nodes.length === 0) return "";
  const folder = relative(cwd, result.folder) || ".";
  const lines: string[] = [];
  const many = result.nodes.length > 50;
  for (const node of many ? result.nodes.slice(0, 5) : result.nodes) {
    const { created, changed, same } = node.changes;
    const what = created > 0 ? `${created} created` : changed > 0 ? `${changed} changed` : `${same} same`;
    lines.push(
      `${node.node}  ${node.target}  ${node.packages} packages, ${node.files} files, ${node.steps} steps, ${node.checks} checks  seed.iso ${node.isoSize} bytes sha256:${node.isoDigest.slice(0, 16)}  ${what}`,
    );
  }
  if (many) lines.push(`... and ${result.nodes.length - 5} more nodes`);
  if (result.removed > 0) lines.push(`removed ${result.removed} files of nodes that are gone`);
  lines.push(result.wrote ? `written to ${folder}/` : `nothing changed in ${folder}/`);
  const first = result.nodes[0];
  if (first !== undefined) {
    lines.push(
      "",
      `Boot ${first.node} without root, on a copy of the target's cloud image (${first.target}):`,
      `  cd ${folder} && ${first.qemu.join(" ")}`,
    );
  }
  return `${lines.join("\n")}\n`;
}

/**
 * Places as a person (or an editor) at this folder finds them: files of the workspace are named from its own folder,
 * so that output does not depend on where a command is run.
 */
function fromHere(
  { workspace }: Compiled,
  problems: readonly Problem[],
): { problems: readonly Problem[]; own: (file: string) => string } {
  const back = new Map<string, string>();
  const place = <T extends Position>(at: T): T => {
    const path = join(workspace, at.file);
    if (!existsSync(path)) return at;
    const file = relative(process.cwd(), path).split("\\").join("/");
    back.set(file, at.file);
    return { ...at, file };
  };
  return {
    problems: problems.map((problem) => ({
      ...problem,
      at: problem.at === null ? null : place(problem.at),
      ...(problem.also === undefined
        ? {}
        : { also: problem.also.map(({ at, label }) => ({ at: place(at), label })) }),
    })),
    own: (file) => back.get(file) ?? file,
  };
}

/** Prints the outcome of a command and gives its exit code. */
function conclude(
  compiled: Compiled,
  found: readonly Problem[],
  format: string,
  strict: boolean,
  data: object,
  text: string,
): number {
  const { problems, own } = fromHere(compiled, found);
  const failed = problems.some((problem) => strict || problem.notice !== true);
  const tool =
    failed &&
    problems.every(
      (problem) =>
        problem.notice === true || problem.code.startsWith("tool-") || problem.code === "output-unwritable",
    );
  const code = !failed
    ? exit.fine
    : problems.some((problem) => problem.code === "verification")
      ? exit.bug
      : tool
        ? exit.tool
        : exit.problems;
  if (format === "json") {
    process.stdout.write(
      `${JSON.stringify({ site: compiled.site?.name ?? null, source: compiled.siteTitle, ok: !failed, problems: problemsAsJson(problems), ...data }, null, 2)}\n`,
    );
    return code;
  }
  process.stdout.write(`site: ${compiled.siteTitle}\n`);
  // What fails goes to the error output; notices of a run that is fine belong to its report.
  if (problems.length > 0)
    (failed ? process.stderr : process.stdout).write(
      formatProblems(problems, (file) => compiled.source(own(file))),
    );
  if (failed) {
    const count = problems.filter((problem) => strict || problem.notice !== true).length;
    process.stderr.write(`\n${count} ${count === 1 ? "problem" : "problems"}; nothing was written\n`);
  } else process.stdout.write(text);
  return code;
}

if (isMainThread) {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(exit.fine);
    throw error;
  });
  main(process.argv.slice(2)).then(
    (code) => {
      process.exitCode = code;
    },
    (error: unknown) => {
      if (isUsage(error)) {
        process.stderr.write(`seedsmith: ${error.message}\nseedsmith --help tells what there is\n`);
        process.exitCode = exit.usage;
        return;
      }
      process.stderr.write(
        `seedsmith: this is a defect, please report it:\n${error instanceof Error ? error.stack : String(error)}\n`,
      );
      process.exitCode = exit.bug;
    },
  );
} else if (
  parentPort !== null &&
  (workerData as { seedsmithRender?: object } | null)?.seedsmithRender !== undefined
) {
  // Whatever goes wrong ends the worker with an error, which the main thread hears of.
  void renderInWorker((workerData as { seedsmithRender: never }).seedsmithRender, parentPort);
}

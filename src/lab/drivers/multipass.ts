/**
 * Machines as instances of multipass (Ubuntu, macOS, Windows).
 *
 * It has never met the real program where it was written: it follows multipass's documented command line and JSON,
 * read in the documentation and sources of 1.16.3 and later (docs/reference/command-line-interface/*.md,
 * src/client/cli/formatter/json_formatter.cpp, src/daemon/daemon.cpp of canonical/multipass), and in the tests a
 * stand-in answers that follows the same.
 *
 * multipass takes user-data and nothing else. What of the seed therefore does not reach a machine is said by
 * `differences`; the site's addresses are laid into the machine by this driver once it answers.
 */
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { load } from "js-yaml";
import { type Finished, LabError, poll, run, sleep } from "../command.ts";
import { consoleTail } from "../console.ts";
import type { Driver, LabDescription, LabMachine, LabTarget, MachineState } from "../driver.ts";
import { eventLog, readEvents } from "../events.ts";
import { alive, type ProcessName, processName, signal } from "../host.ts";
import type { Obstacle } from "../obstacle.ts";

/** `launch` and `start` wait so long, in seconds; the driver itself decides when a machine has failed. */
const launchPatience = 4 * 3600;
/** Seconds in which the daemon answers a question. */
const answerPatience = 60;
/** Where the site's addresses are laid; sorted after cloud-init's own file, so that it adds to it. */
const netplanFile = "/etc/netplan/90-seedsmith.yaml";

/** The name of a machine's instance: no two labs share one, and it is a host name as multipass wants it. */
export function instanceName(lab: Pick<LabDescription, "id">, machine: string): string {
  return `seedsmith-${lab.id}-${machine}`;
}

/** Every command line, as a value. */
export const commands = {
  version: (): string[] => ["multipass", "version", "--format", "json"],
  driver: (): string[] => ["multipass", "get", "local.driver"],
  find: (): string[] => ["multipass", "find", "--format", "json"],
  networks: (): string[] => ["multipass", "networks", "--format", "json"],
  list: (): string[] => ["multipass", "list", "--format", "json"],
  info: (name: string): string[] => ["multipass", "info", name, "--format", "json"],
  /**
   * User-data comes on standard input: multipass as a snap may not read files just anywhere.
   * `mode=manual`, as the addresses are the site's.
   */
  launch: (
    name: string,
    machine: LabMachine,
    image: string,
    networks: Readonly<Record<string, string>>,
  ): string[] => [
    "multipass",
    "launch",
    "--name",
    name,
    "--cpus",
    String(machine.cpus),
    "--memory",
    `${machine.memory}M`,
    "--disk",
    `${machine.disk}G`,
    "--cloud-init",
    "-",
    ...machine.interfaces.flatMap(({ network, mac }) => [
      "--network",
      `name=${networks[network] ?? network},mode=manual,mac=${mac}`,
    ]),
    "--timeout",
    String(launchPatience),
    image,
  ],
  start: (name: string): string[] => ["multipass", "start", "--timeout", String(launchPatience), name],
  stop: (name: string): string[] => ["multipass", "stop", name],
  /** Since multipass 1.14. */
  kill: (name: string): string[] => ["multipass", "stop", "--force", name],
  delete: (name: string): string[] => ["multipass", "delete", "--purge", name],
  /** multipass quotes every argument for the instance's shell. */
  exec: (name: string, argv: readonly string[]): string[] => [
    "multipass",
    "exec",
    "--no-map-working-directory",
    name,
    "--",
    "sudo",
    "-n",
    "--",
    ...argv,
  ],
  shell: (name: string): string[] => ["multipass", "shell", name],
} as const;

/** The host's networks that stand for the site's, by the site's name; `SEEDSMITH_MULTIPASS_NETWORKS=site=host,...` */
export function networkNames(
  networks: readonly { readonly name: string }[],
  setting = process.env.SEEDSMITH_MULTIPASS_NETWORKS ?? "",
): Record<string, string> {
  const named = Object.fromEntries(networks.map(({ name }) => [name, name]));
  for (const pair of setting.split(",").filter((one) => one.trim() !== "")) {
    const [, site, host] = /^\s*([^=]+?)\s*=\s*(.+?)\s*$/.exec(pair) ?? [];
    if (site === undefined || host === undefined || named[site] === undefined)
      throw new LabError(
        `SEEDSMITH_MULTIPASS_NETWORKS has "${pair}"`,
        `pairs of a network of the site (${Object.keys(named).join(", ")}) and one of multipass networks: management=br0`,
      );
    named[site] = host;
  }
  return named;
}

/** Asks multipass something, and gives what it printed. @throws LabError when it cannot answer */
async function ask<T>(argv: readonly string[]): Promise<T> {
  const done = await run(argv, { timeout: answerPatience });
  if (done.status !== 0) throw new LabError(`${argv.join(" ")}: ${done.stderr.trim() || done.stdout.trim()}`);
  try {
    return JSON.parse(done.stdout) as T;
  } catch {
    throw new LabError(`${argv.join(" ")} printed no JSON: ${done.stdout.slice(0, 200)}`);
  }
}

interface Versions {
  readonly multipass: string;
  readonly multipassd?: string;
}
interface Images {
  readonly images: Readonly<
    Record<string, { readonly aliases: readonly string[]; readonly os: string; readonly release: string }>
  >;
}
interface Networks {
  readonly list: readonly { readonly name: string; readonly type: string; readonly description: string }[];
}
interface Info {
  readonly info: Readonly<Record<string, { readonly state: string; readonly ipv4: readonly string[] }>>;
}
interface List {
  readonly list: readonly { readonly name: string; readonly state: string }[];
}

/** The image of a target in what `multipass find` lists, or null. */
export function imageFor(target: Pick<LabTarget, "version" | "codename">, { images }: Images): string | null {
  for (const [name, { aliases }] of Object.entries(images))
    if (name === target.version || name === target.codename || aliases.includes(target.codename)) return name;
  return null;
}

/** Whether a version such as `1.16.3+mac` is at least this one. */
function atLeast(version: string, major: number, minor: number): boolean {
  const [, a, b] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(a) > major || (Number(a) === major && Number(b) >= minor);
}

/**
 * The site's network-config for a machine whose first card and way out are multipass's own: addresses and further
 * routes stay; default routes and name servers go, as nobody answers there. JSON is YAML.
 * @param text the seed's network-config
 */
export function netplanFrom(text: string): string {
  const parsed = load(text) as Record<string, unknown>;
  const config = structuredClone((parsed["network"] ?? parsed) as Record<string, unknown>);
  const isDefault = (route: unknown): boolean =>
    ["default", "0.0.0.0/0", "::/0"].includes(String((route as { to?: unknown }).to));
  for (const kind of Object.values(config)) {
    if (typeof kind !== "object" || kind === null) continue;
    for (const link of Object.values(kind as Record<string, Record<string, unknown>>)) {
      if (typeof link !== "object" || link === null) continue;
      delete link["nameservers"];
      delete link["gateway4"];
      delete link["gateway6"];
      const { routes } = link;
      if (!Array.isArray(routes)) continue;
      const kept = routes.filter((route) => !isDefault(route));
      if (kept.length > 0) link["routes"] = kept;
      else delete link["routes"];
    }
  }
  return `${JSON.stringify({ network: config }, null, 1)}\n`;
}

const folderOf = (lab: LabDescription, machine: string): string => join(lab.folder, "machines", machine);
const logOf = (lab: LabDescription, machine: string): string => join(folderOf(lab, machine), "launch.log");
const processOf = (lab: LabDescription, machine: string): string =>
  join(folderOf(lab, machine), "launch.json");

function machineOf(lab: LabDescription, name: string): LabMachine {
  const found = lab.machines.find((machine) => machine.name === name);
  if (found === undefined) throw new LabError(`the lab has no machine ${name}`);
  return found;
}

/** The process of a `multipass launch`; `name` is null where the system does not tell when a process began. */
interface Client {
  readonly pid: number;
  readonly name: ProcessName | null;
}

/** The `multipass launch` of a machine, while it runs. */
function launching(lab: LabDescription, machine: string): Client | null {
  try {
    const client = JSON.parse(readFileSync(processOf(lab, machine), "utf8")) as Client;
    if (client.name === null) process.kill(client.pid, 0);
    return client.name === null || alive(client.name) ? client : null;
  } catch {
    return null;
  }
}

/** The state of an instance by `multipass info`, or null when there is no such instance. */
async function informed(name: string): Promise<string | null> {
  const done = await run(commands.info(name), { timeout: answerPatience });
  if (done.status === 0) return (JSON.parse(done.stdout) as Info).info[name]?.state ?? null;
  if (/does not exist/.test(done.stderr)) return null;
  throw new LabError(`multipass info ${name}: ${done.stderr.trim()}`);
}

/** The state of an instance by `multipass list`, which asks the instance nothing; null when there is none. */
async function reported(name: string): Promise<string | null> {
  const { list } = await ask<List>(commands.list());
  return list.find((instance) => instance.name === name)?.state ?? null;
}

/** What a state of multipass (docs/reference/instance-states.md) means here. */
export function powerOf(state: string): MachineState {
  switch (state) {
    case "Running":
    case "Starting":
    case "Delayed Shutdown":
      return { power: "running", reason: "" };
    case "Restarting":
      return { power: "restarting", reason: "" };
    case "Stopped":
    case "Suspending":
    case "Suspended":
      return { power: "off", reason: `multipass says: ${state}` };
    default:
      return { power: "dead", reason: `multipass says: ${state}` };
  }
}

/** Starts `multipass launch`, which goes on when this process is gone, and hands it the user-data. */
async function launch(lab: LabDescription, machine: LabMachine, argv: readonly string[]): Promise<void> {
  mkdirSync(folderOf(lab, machine.name), { recursive: true, mode: 0o700 });
  const log = openSync(logOf(lab, machine.name), "a", 0o600);
  const [program, ...args] = argv as [string, ...string[]];
  const userData = readFileSync(join(machine.seed, "user-data"));
  try {
    await new Promise<void>((resolve, reject) => {
      const child = spawn(program, args, { detached: true, stdio: ["pipe", log, log] });
      child.once("error", (error) => reject(new LabError(`${program}: ${error.message}`)));
      child.once("spawn", () => {
        const name = child.pid === undefined ? null : processName(child.pid);
        if (name !== null) writeFileSync(processOf(lab, machine.name), JSON.stringify(name), { mode: 0o600 });
        // A launch that refuses its arguments closes the pipe; its log tells why.
        child.stdin!.on("error", () => resolve());
        child.stdin!.end(userData, () => resolve());
        child.unref();
      });
    });
  } finally {
    closeSync(log);
  }
}

/** Lays the site's addresses into a machine that answers. */
async function layNetwork(lab: LabDescription, machine: LabMachine): Promise<void> {
  const text = netplanFrom(readFileSync(join(machine.seed, "network-config"), "utf8"));
  const steps: readonly (readonly [argv: readonly string[], stdin: string])[] = [
    [["install", "-m", "600", "/dev/null", netplanFile], ""],
    [["tee", netplanFile], text],
    [["netplan", "apply"], ""],
  ];
  for (const [argv, stdin] of steps) {
    const done = await multipass.exec(lab, machine.name, argv, { stdin, timeout: answerPatience });
    if (done.status !== 0)
      throw new LabError(
        `${machine.name}: ${argv.join(" ")}: ${done.stderr.trim() || `status ${done.status}`}`,
      );
  }
}

/** The instance of a machine that is on: `multipass exec` would start one that is off. @throws LabError */
async function runningInstance(lab: LabDescription, name: string): Promise<string> {
  const instance = instanceName(lab, name);
  const state = await reported(instance);
  if (state !== "Running")
    throw new LabError(
      `${name} is not running: multipass ${state === null ? "has no such instance" : `says ${state}`}`,
      "seedsmith lab status",
    );
  return instance;
}

export const multipass: Driver = {
  name: "multipass",
  summary: "instances of multipass; Ubuntu targets, user-data only",
  reachesHidden: false,

  async inspect() {
    const obstacles: Obstacle[] = [];
    const add = (message: string, hint: string): void => void obstacles.push({ message, hint });
    let how = "";
    try {
      const { multipass: client, multipassd: daemon } = await ask<Versions>(commands.version());
      how = `multipass ${client}`;
      if (daemon === undefined)
        add("multipass's daemon does not answer", "start it: snap start multipass, or reinstall it");
      else if (!atLeast(daemon, 1, 15))
        add(
          `multipass ${daemon} is too old: networks of the host came to Linux with 1.15`,
          "snap refresh multipass",
        );
      else {
        const driver = await run(commands.driver(), { timeout: answerPatience });
        if (driver.status === 0) how = `${how} by ${driver.stdout.trim()}`;
      }
    } catch (error) {
      if (!(error instanceof LabError)) throw error;
      add(error.message, "install it: snap install multipass, or https://canonical.com/multipass/install");
    }
    return { obstacles, how, slowness: 1 };
  },

  async obtainable(target) {
    try {
      if (imageFor(target, await ask<Images>(commands.find())) !== null) return null;
    } catch (error) {
      if (!(error instanceof LabError)) throw error;
      return { message: error.message, hint: "multipass find must list its images" };
    }
    return {
      message: `multipass has no image of ${target.name}`,
      hint: "multipass find lists those it has; render for one of them with --target, or use another driver",
    };
  },

  // Instances have kernels of their own, with what Ubuntu ships.
  lacks: () => [],
  memory: ({ memory }) => memory,

  differences: () => [
    "network-config: none of its bytes reach cloud-init, as multipass writes its own; once the machine answers, its addresses and routes are laid into /etc/netplan/90-seedsmith.yaml, without default routes and name servers",
    "meta-data: multipass writes its own; instance-id and local-hostname are the instance's name",
    "vendor-data: multipass writes its own, which grows the disk and adds the user ubuntu with its key",
    "user-data: multipass reads it as YAML and writes it anew, so bytes differ though values do not; it appends the user `default` to users",
    "seed.iso is not attached; the first card is multipass's own, on its network, and the way out; the site's cards come after it",
  ],

  async create(lab, _ledger, progress) {
    const wanted = networkNames(lab.networks);
    const { list } = await ask<Networks>(commands.networks());
    const missing = Object.entries(wanted).filter(([, host]) => !list.some(({ name }) => name === host));
    if (missing.length > 0) {
      const found = list.map(({ name, type }) => `${name} (${type})`).join(", ") || "none";
      throw new LabError(
        `multipass can join no network of the host for the site's ${missing.map(([site]) => site).join(", ")}; multipass networks lists: ${found}`,
        "multipass makes no networks: make one of that name (Linux: ip link add NAME type bridge && ip link set NAME up; Windows: New-VMSwitch -SwitchType Internal -Name NAME), or say which stands for it: SEEDSMITH_MULTIPASS_NETWORKS=management=br0",
      );
    }
    const images = await ask<Images>(commands.find());
    for (const target of lab.targets)
      if (imageFor(target, images) === null) throw new LabError(`multipass has no image of ${target.name}`);
    for (const { name, interfaces } of lab.machines) {
      const cards = interfaces.map(({ network }) => `${network} on ${wanted[network]}`).join(", ");
      progress(`${name}: instance ${instanceName(lab, name)}, ${cards}`);
    }
  },

  async start(lab, name) {
    const machine = machineOf(lab, name);
    const instance = instanceName(lab, name);
    if ((await reported(instance)) !== null) {
      const done = await run(commands.start(instance), { timeout: launchPatience });
      if (done.status !== 0) throw new LabError(`${instance} does not start: ${done.stderr.trim()}`);
      return;
    }
    const target = lab.targets.find((one) => one.name === machine.target);
    const image = target === undefined ? null : imageFor(target, await ask<Images>(commands.find()));
    if (image === null) throw new LabError(`multipass has no image of ${machine.target}`);
    await launch(lab, machine, commands.launch(instance, machine, image, networkNames(lab.networks)));
    // `launch` itself returns only when cloud-init is done, which waits for the runner, which waits for its address.
    const answered = await poll(
      launchPatience,
      async () => {
        const state = await reported(instance);
        if (state === "Running") {
          const done = await multipass
            .exec(lab, name, ["true"], { timeout: answerPatience })
            .catch(() => null);
          if (done?.status === 0) return "answers";
        }
        if (launching(lab, name) !== null) return null;
        // It may have ended between the two looks.
        return (await reported(instance)) === null ? "gone" : null;
      },
      1,
    );
    if (answered !== "answers") {
      const why = consoleTail(logOf(lab, name), 5).join("\n") || "it said nothing";
      throw new LabError(`multipass launched no ${instance}: ${why}`, `its words are in ${logOf(lab, name)}`);
    }
    await layNetwork(lab, machine);
  },

  async state(lab, name) {
    const state = await informed(instanceName(lab, name));
    if (state !== null) return powerOf(state);
    if (launching(lab, name) !== null) return { power: "running", reason: "" };
    const said = consoleTail(logOf(lab, name), 1)[0];
    return said === undefined
      ? { power: "off", reason: "never launched" }
      : { power: "dead", reason: `multipass has no such instance; it said: ${said}` };
  },

  async events(lab, name, offset) {
    // From one byte on: tail counts from 1.
    const done = await multipass.exec(lab, name, ["tail", "-c", `+${offset + 1}`, eventLog], {
      timeout: answerPatience,
    });
    // Not there before the runner's first event.
    if (done.status !== 0) return { events: [], bytes: 0 };
    return readEvents(Buffer.from(done.stdout, "utf8"));
  },

  console: logOf,

  async exec(lab, name, argv, options = {}): Promise<Finished> {
    const done = await run(commands.exec(await runningInstance(lab, name), argv), options);
    // 255 is multipass's own, when ssh fails (include/multipass/cli/return_codes.h).
    if (done.status === 255 && done.stderr.startsWith("exec failed:"))
      throw new LabError(`${name} cannot be reached: ${done.stderr.trim()}`);
    return done;
  },

  // The client hands on its terminal by itself where it has one.
  entering: async (lab, name, argv) => commands.exec(await runningInstance(lab, name), argv),

  login: (lab, name) => commands.shell(instanceName(lab, name)),

  async powerOff(lab, name, timeout) {
    try {
      return (await run(commands.stop(instanceName(lab, name)), { timeout })).status === 0;
    } catch {
      return false;
    }
  },

  async kill(lab, name) {
    const instance = instanceName(lab, name);
    const done = await run(commands.kill(instance), { timeout: answerPatience });
    if (done.status !== 0 && (await reported(instance)) === "Running")
      throw new LabError(`${instance} cannot be stopped: ${done.stderr.trim()}`);
  },

  async destroy(lab) {
    for (const { name } of lab.machines) {
      const instance = instanceName(lab, name);
      const client = launching(lab, name);
      if (client?.name != null) signal(client.name, "SIGTERM");
      else if (client !== null) process.kill(client.pid, "SIGTERM");
      // The daemon refuses to delete an instance while it prepares it.
      let said = "";
      const gone = await poll(
        120,
        async () => {
          if ((await reported(instance)) === null && launching(lab, name) === null) return true;
          const done = await run(commands.delete(instance), { timeout: answerPatience });
          said = done.stderr.trim();
          if (done.status === 0) return true;
          await sleep(1);
          return null;
        },
        0.5,
      );
      if (gone === null)
        throw new LabError(`${instance} cannot be deleted: ${said}`, commands.delete(instance).join(" "));
    }
  },
};

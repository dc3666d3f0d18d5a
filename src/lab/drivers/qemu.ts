/** Labs of qemu machines: real kernel, real disk, real firmware, on the processor's help where a probe proves it. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Finished, LabError, must, patience, poll, run } from "../command.ts";
import type {
  Driver,
  ExecOptions,
  Inspection,
  LabDescription,
  LabMachine,
  LabTarget,
  MachineState,
  Obstacle,
} from "../driver.ts";
import { readEvents } from "../events.ts";
import { imageObstacle, obtainImage } from "../images/obtain.ts";
import { sweepImages, useImage } from "../images/store.ts";
import { Ledger, ledgerFile, undoLedger } from "../ledger.ts";
import { Router } from "../router.ts";
import { tethered } from "../tether.ts";
import { missingTools, toolEnvironment } from "../tools.ts";
import { removeTree } from "../tree.ts";
import { accelerator, slownessOf } from "./qemu/accelerator.ts";
import {
  type Accelerator,
  type Cable,
  diskCommand,
  hubArguments,
  machineArguments,
} from "./qemu/arguments.ts";
import { controlling } from "./qemu/control.ts";
import { endMirror, mirrorEvents } from "./qemu/event-log.ts";
import { uefi, uefiMissing } from "./qemu/firmware.ts";
import { takeLeases } from "./qemu/leases.ts";
import { packageProxy } from "./qemu/package-proxy.ts";
import { ending, launch, running, said, stop } from "./qemu/process.ts";
import { accessOf, routerAddress, type Segment, seedNetwork, segments } from "./qemu/segments.ts";
import { hangUp, makeKey, remoteCommand, sshCommand, type Way } from "./qemu/ssh.ts";

const tools: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-img": "qemu-utils",
  ssh: "openssh-client",
  "ssh-keygen": "openssh-client",
};

/** What the driver has to remember of a lab, besides its description. */
interface Setup {
  readonly format: 1;
  readonly accelerator: Accelerator;
  /**
   * `bridge`: a network namespace with bridges, where this is root's lab; `hub`: a qemu without a machine, which
   * anybody can start.
   */
  readonly network: "bridge" | "hub";
  /** The namespace of the bridges, or null. */
  readonly namespace: string | null;
  /** Folder of sockets: their paths must be short. */
  readonly sockets: string;
  readonly segments: readonly Segment[];
  readonly machines: Readonly<Record<string, MachineSetup>>;
  /** Address of a package proxy as machines reach it, or null. */
  readonly proxy: string | null;
}

interface MachineSetup {
  /** Where it can be logged into, or null. */
  readonly address: string | null;
  readonly segment: string | null;
  /** Port of the host's loopback that leads to its port 22, or null. */
  readonly port: number | null;
  /** The lab's ends and the machine's ends of its cables. */
  readonly cables: readonly { readonly machine: Cable; readonly hub: Cable | null }[];
  /** Whether its system takes the lab's key by way of the firmware. */
  readonly credentials: boolean;
}

const setupFile = "qemu.json";

/** MiB: what a first boot of a base node writes, with room. */
const leastFree = 2048;

function setupOf(lab: LabDescription): Setup | null {
  try {
    return JSON.parse(readFileSync(join(lab.folder, setupFile), "utf8")) as Setup;
  } catch {
    return null;
  }
}

function requireSetup(lab: LabDescription): Setup {
  const found = setupOf(lab);
  if (found === null) throw new LabError("the lab is not whole", "seedsmith lab down clears it");
  return found;
}

function writeSetup(lab: LabDescription, setup: Setup): void {
  const path = join(lab.folder, setupFile);
  writeFileSync(`${path}.new`, `${JSON.stringify(setup, null, 1)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

function machineOf(lab: LabDescription, name: string): LabMachine {
  const found = lab.machines.find((machine) => machine.name === name);
  if (found === undefined) throw new LabError(`the lab has no node "${name}"`);
  return found;
}

function folderOf(lab: LabDescription, machine: string): string {
  return join(lab.folder, "machines", machine);
}

function hubFolder(lab: LabDescription): string {
  return join(lab.folder, "hub");
}

/**
 * Whether a system's systemd (252 or newer) takes credentials from the firmware. Ubuntu 22.04 has 249.
 */
function takesCredentials(target: Pick<LabTarget, "family" | "version">): boolean {
  const version = Number.parseFloat(target.version);
  return target.family === "ubuntu" ? version >= 22.1 : version >= 12;
}

function targetOf(lab: LabDescription, machine: LabMachine): LabTarget {
  const found = lab.targets.find(({ name }) => name === machine.target);
  if (found === undefined) throw new LabError(`nothing is known of the target ${machine.target}`);
  return found;
}

/** What makes bridges. */
const bridgeTools: Readonly<Record<string, string>> = {
  ip: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  sysctl: "procps",
};

/** Whether labs here have bridges: they take root, and the tools of namespaces. */
function networkKind(): "bridge" | "hub" {
  if (process.env.SEEDSMITH_QEMU_NETWORK === "hub") return "hub";
  const root = process.platform === "linux" && process.getuid?.() === 0 && existsSync("/dev/net/tun");
  return root && missingTools(bridgeTools) === null ? "bridge" : "hub";
}

/** What keeps qemu labs from running here, as far as it is the same for all machines. */
async function obstacles(): Promise<Obstacle[]> {
  if (process.platform !== "linux" && process.platform !== "darwin")
    return [{ message: "qemu labs need Linux or macOS", hint: "run them on such a host" }];
  const missing = missingTools(tools);
  if (missing !== null) return [missing];
  const printed = await run(["qemu-system-x86_64", "--version"], { env: toolEnvironment(), timeout: 30 });
  const version = /version (\d+)\.(\d+)/.exec(printed.stdout);
  if (version === null)
    return [
      {
        message: `qemu-system-x86_64 does not run: ${printed.stderr.trim()}`,
        hint: "apt-get install qemu-system-x86",
      },
    ];
  if (Number(version[1]) < 6)
    return [{ message: `qemu ${version[1]}.${version[2]} is too old`, hint: "version 6 or newer is needed" }];
  return [];
}

async function hasSocketNetworks(): Promise<boolean> {
  const { stdout } = await run(["qemu-system-x86_64", "--version"], { env: toolEnvironment(), timeout: 30 });
  const [, major = "0", minor = "0"] = /version (\d+)\.(\d+)/.exec(stdout) ?? [];
  return Number(major) * 100 + Number(minor) >= 702;
}

async function inspect(cache: string): Promise<Inspection> {
  const found = await obstacles();
  if (found.length > 0) return { obstacles: found, how: "", slowness: slownessOf.tcg };
  const { accelerator: chosen, reason } = await accelerator(cache);
  const firmware = uefi() === null ? `; BIOS only, for UEFI is missing (${uefiMissing.hint})` : "";
  return {
    obstacles: [],
    how:
      chosen === "tcg"
        ? `TCG, a processor made of software, as ${reason}${firmware}`
        : `${chosen.toUpperCase()}: ${reason}${firmware}`,
    slowness: slownessOf[chosen],
  };
}

/** A port of the loopback interface that is free now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

function requireSpace(lab: LabDescription): void {
  const { bavail, bsize } = statfsSync(lab.folder);
  const free = Math.floor((bavail * bsize) / 2 ** 20);
  const needed = leastFree * lab.machines.length;
  if (free < needed)
    throw new LabError(
      `the disk of ${lab.folder} has ${free} MiB free; ${lab.machines.length} machines write ${needed} MiB and more at their first boot`,
      "make room, or put the output elsewhere: --out DIR",
    );
}

/** The virtual size of an image, in GiB, rounded up. */
async function sizeOf(disk: string): Promise<number> {
  const info = JSON.parse(await must(["qemu-img", "info", "--output=json", disk])) as {
    "virtual-size": number;
  };
  return Math.ceil(info["virtual-size"] / 2 ** 30);
}

async function create(lab: LabDescription, ledger: Ledger, progress: (line: string) => void): Promise<void> {
  const kind = networkKind();
  requireSpace(lab);
  if (lab.machines.some(({ firmware }) => firmware === "uefi") && uefi() === null)
    throw new LabError(uefiMissing.message, uefiMissing.hint);
  for (const machine of lab.machines)
    if (!takesCredentials(targetOf(lab, machine)) && machine.user === null)
      throw new LabError(
        `nobody could look into ${machine.name}: the systemd of ${machine.target} takes no key of the lab, and the site has no user with a key`,
        "give the site's access a user with your key, or choose another driver",
      );
  const images = new Map<string, { disk: string; format: string; size: number }>();
  for (const machine of lab.machines) {
    if (images.has(machine.target)) continue;
    const image = await obtainImage(targetOf(lab, machine), lab.cache, progress);
    useImage(image, ledger);
    images.set(machine.target, { ...image, size: await sizeOf(image.disk) });
  }
  const { accelerator: chosen, reason } = await accelerator(lab.cache);
  progress(`${chosen.toUpperCase()}: ${reason}`);

  const seeds = new Map(lab.machines.map((machine) => [machine.name, seedNetwork(machine)]));
  const networks = segments(lab, seeds);
  const sockets = join(tmpdir(), `seedsmith-${lab.id}-${randomBytes(3).toString("hex")}`);
  ledger.note({ kind: "folder", path: sockets });
  mkdirSync(sockets, { mode: 0o700 });
  const withSockets = kind === "hub" && (await hasSocketNetworks());
  const key = await makeKey(lab.folder, `seedsmith lab ${lab.id}`);
  chmodSync(key, 0o600);

  const setups: Record<string, MachineSetup> = {};
  for (const [index, machine] of lab.machines.entries()) {
    const access = accessOf(lab.networks, machine, seeds.get(machine.name) ?? []);
    setups[machine.name] = {
      address: access?.address ?? null,
      segment: access?.segment ?? null,
      port: null,
      cables: machine.interfaces.map(({ network }, nic) =>
        cables(lab, kind, withSockets, sockets, network, index, nic),
      ),
      credentials: takesCredentials(targetOf(lab, machine)),
    };
  }
  let setup: Setup = {
    format: 1,
    accelerator: chosen,
    network: kind,
    namespace: null,
    sockets,
    segments: networks,
    machines: setups,
    proxy: null,
  };
  writeSetup(lab, setup);

  for (const machine of lab.machines) await makeMachine(lab, machine, images.get(machine.target)!);
  setup = kind === "bridge" ? await makeBridges(lab, setup, ledger) : await startHub(lab, setup, ledger);
  const back = loopbackNotice(setup);
  if (back !== null) progress(back);
  const open = setup.segments.find((segment) => segment.open);
  const proxy = open === undefined ? null : await packageProxy(open.user, setup.namespace);
  writeSetup(lab, { ...setup, proxy });
  if (proxy !== null) progress(`packages come through apt-cacher-ng, ${proxy}`);
}

/**
 * What must be known of a lab whose way out is qemu's user network: it takes connections to its own address to this
 * host's loopback interface. libslirp could refuse them (disable_host_loopback), but qemu has no option for that, and
 * `restrict=on` refuses all else too, package mirrors first.
 */
export function loopbackNotice({ network, segments }: Pick<Setup, "network" | "segments">): string | null {
  if (network !== "hub") return null;
  const hosts = segments.filter(({ open }) => open).flatMap(({ user }) => (user === null ? [] : [user.host]));
  if (hosts.length === 0) return null;
  return `notice: machines reach what listens on this host's 127.0.0.1, by ${hosts.join(" and ")}: qemu's user network has no option against it; as root, the lab's bridges have no such way`;
}

/** Both ends of the cable of a machine's interface. */
function cables(
  lab: LabDescription,
  kind: "bridge" | "hub",
  withSockets: boolean,
  sockets: string,
  network: string,
  machine: number,
  nic: number,
): MachineSetup["cables"][number] {
  if (kind === "bridge") return { machine: { kind: "tap", name: `m${machine}n${nic}` }, hub: null };
  if (!withSockets) {
    // All of a network share one group; another lab's has another one, by its id.
    const id = Number.parseInt(lab.id, 36);
    const cable: Cable = {
      kind: "multicast",
      group: `239.${1 + (id % 254)}.${Math.floor(id / 254) % 256}.${Math.floor(id / 65024) % 256}`,
      port: 20000 + lab.networks.findIndex(({ name }) => name === network),
    };
    return { machine: cable, hub: cable };
  }
  const [own, peer] = [join(sockets, `m${machine}n${nic}`), join(sockets, `h${machine}n${nic}`)];
  return { machine: { kind: "sockets", own, peer }, hub: { kind: "sockets", own: peer, peer: own } };
}

/** Makes a machine's disk, and lays its seed beside it: the lab boots what it was made with. */
async function makeMachine(
  lab: LabDescription,
  machine: LabMachine,
  image: { readonly disk: string; readonly format: string; readonly size: number },
): Promise<void> {
  const folder = folderOf(lab, machine.name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (machine.disk < image.size)
    throw new LabError(
      `the disk of ${machine.name} is smaller than the image of ${machine.target}: ${machine.disk} GiB, and the image has ${image.size}`,
      `size: { disk: ${image.size}G } or more at the node`,
    );
  await must(tethered(diskCommand(join(folder, "disk.qcow2"), image, machine.disk)));
  const seed = join(machine.seed, "seed.iso");
  if (!existsSync(seed))
    throw new LabError(`there is no seed of ${machine.name}: ${seed}`, "seedsmith render writes it");
  copyFileSync(seed, join(folder, "seed.iso"));
  chmodSync(join(folder, "seed.iso"), 0o600);
  const firmware = machine.firmware === "uefi" ? uefi() : null;
  if (firmware !== null) {
    copyFileSync(firmware.settings, join(folder, "uefi-settings.fd"));
    chmodSync(join(folder, "uefi-settings.fd"), 0o600);
  }
}

/** The bridges of root's lab, a tap interface for each cable, and a router behind them. */
async function makeBridges(lab: LabDescription, setup: Setup, ledger: Ledger): Promise<Setup> {
  const router = await Router.create(ledger);
  const taken = lab.machines.flatMap((machine) => seedNetwork(machine).flatMap(({ addresses }) => addresses));
  for (const segment of setup.segments) {
    const login = Object.values(setup.machines).some((machine) => machine.segment === segment.name);
    const address = segment.open || login ? routerAddress(segment, taken) : null;
    await router.addSegment({ name: segment.name, addresses: address === null ? [] : [address] });
  }
  await router.uncover(lab.hidden);
  const lines = lab.machines.flatMap((machine) =>
    machine.interfaces.flatMap(({ network }, nic) => {
      const cable = setup.machines[machine.name]?.cables[nic]?.machine;
      const bridge = setup.segments.findIndex(({ name }) => name === network);
      return cable?.kind === "tap"
        ? [`tuntap add ${cable.name} mode tap`, `link set ${cable.name} master br${bridge} up`]
        : [];
    }),
  );
  await must(["ip", "-n", router.namespace, "-batch", "-"], {
    stdin: lines.map((line) => `${line}\n`).join(""),
  });
  const made = { ...setup, namespace: router.namespace };
  writeSetup(lab, made);
  return made;
}

/** Starts the hub where it does not run, with a port of the host for each machine. */
async function startHub(lab: LabDescription, setup: Setup, ledger: Ledger): Promise<Setup> {
  const folder = hubFolder(lab);
  if (setup.network !== "hub" || running(folder) !== null) return setup;
  const socket = join(setup.sockets, "hub");
  const networks = setup.segments.map((segment) => {
    const ends = lab.machines.flatMap((machine) =>
      machine.interfaces.flatMap(({ network }, nic) => {
        const cable = network === segment.name ? setup.machines[machine.name]?.cables[nic]?.hub : undefined;
        return cable === undefined || cable === null ? [] : [cable];
      }),
    );
    // All machines of a multicast network are at the end of one cable.
    const shared = ends.filter(({ kind }, index) => kind !== "multicast" || index === 0);
    return { segment, cables: shared };
  });
  await launch(hubArguments(`seedsmith-${lab.id}-hub`, socket, networks), folder, ledger);
  await answering(socket, folder, "the hub of the lab");
  const ports: Record<string, number> = {};
  await controlling(
    socket,
    async (control) => {
      for (const [index, segment] of setup.segments.entries())
        if (segment.user !== null) await takeLeases(control, index);
      for (const { name } of lab.machines) {
        const { address, segment, port: before } = setup.machines[name]!;
        const hub = setup.segments.findIndex((other) => other.name === segment);
        if (address === null || setup.segments[hub]?.user == null) continue;
        // Another process may be quicker to take the port that was free a moment ago.
        for (let attempt = 0; attempt < 20 && ports[name] === undefined; attempt += 1) {
          const port = attempt === 0 && before !== null ? before : await freePort();
          const answer = await control.monitor(`hostfwd_add way${hub} tcp:127.0.0.1:${port}-${address}:22`);
          if (answer === "") ports[name] = port;
        }
        if (ports[name] === undefined)
          throw new LabError(`no port of 127.0.0.1 can be had for ssh to ${name}`, "are all of them in use?");
      }
    },
    60,
  );
  const made: Setup = {
    ...setup,
    machines: Object.fromEntries(
      Object.entries(setup.machines).map(([name, machine]) => [
        name,
        { ...machine, port: ports[name] ?? null },
      ]),
    ),
  };
  writeSetup(lab, made);
  return made;
}

/** Waits until a qemu can be asked. */
async function answering(socket: string, folder: string, what: string): Promise<void> {
  const up = await poll(
    patience,
    async () => {
      if (running(folder) === null) return "gone";
      if (!existsSync(socket)) return null;
      return await controlling(socket, async () => "up", 10).catch(() => null);
    },
    0.05,
  );
  if (up !== "up") throw new LabError(`${what} does not start: ${said(folder) || "qemu does not answer"}`);
}

/** The socket on which a machine's qemu is asked. */
function controlOf(setup: Setup, lab: LabDescription, machine: string): string {
  return join(setup.sockets, `q${lab.machines.findIndex(({ name }) => name === machine)}`);
}

async function start(lab: LabDescription, name: string): Promise<void> {
  const machine = machineOf(lab, name);
  const folder = folderOf(lab, name);
  const ledger = Ledger.open(lab.folder);
  if (running(folder) !== null) throw new LabError(`${name} is on already`);
  const setup = await startHub(lab, requireSetup(lab), ledger);
  const { cables: ends, credentials } = setup.machines[name]!;
  const { proxy } = setup;
  const control = controlOf(setup, lab, name);
  const firmware = machine.firmware === "uefi" ? uefi() : null;
  const key = readFileSync(join(lab.folder, "key.pub"), "utf8");
  const argv = machineArguments({
    title: `seedsmith-${lab.id}-${name}`,
    accelerator: setup.accelerator,
    cpus: machine.cpus,
    memory: machine.memory,
    firmware: firmware === null ? null : { code: firmware.code, settings: join(folder, "uefi-settings.fd") },
    disk: join(folder, "disk.qcow2"),
    seed: join(folder, "seed.iso"),
    console: join(folder, "console.log"),
    control,
    interfaces: machine.interfaces.map(({ mac }, index) => ({ mac, cable: ends[index]!.machine })),
    credentials: credentials
      ? {
          "ssh.authorized_keys.root": key,
          ...(proxy === null
            ? {}
            : {
                "tmpfiles.extra": `f /etc/apt/apt.conf.d/00lab-proxy 0644 root root - Acquire::http::Proxy "${proxy}";\n`,
              }),
        }
      : {},
  });
  const within = setup.namespace === null ? [] : ["nsenter", `--net=/run/netns/${setup.namespace}`, "--"];
  await launch([...within, ...argv], folder, ledger);
  await answering(control, folder, name);
}

/** When each qemu was asked last whether it has stopped its machine, and what it said. */
const stopped = new Map<string, { readonly at: number; readonly full: boolean }>();

/** Whether qemu has stopped a machine because it could not write its disk. It is asked every few seconds. */
async function diskFull(control: string): Promise<boolean> {
  const known = stopped.get(control);
  if (known !== undefined && Date.now() - known.at < 5000) return known.full;
  stopped.set(control, { at: Date.now(), full: known?.full ?? false });
  const said = await controlling(control, (qemu) => qemu.run("query-status"), 5).catch(() => null);
  const full = (said as { status?: string } | null)?.status === "io-error";
  stopped.set(control, { at: Date.now(), full });
  return full;
}

async function state(lab: LabDescription, name: string): Promise<MachineState> {
  const end = ending(folderOf(lab, name));
  if (end.kind === "died") return { power: "dead", reason: end.reason };
  if (end.kind !== "running") return { power: "off", reason: "" };
  const setup = setupOf(lab);
  if (setup === null) return { power: "running", reason: "" };
  const hub = setup.network === "hub" ? ending(hubFolder(lab)) : null;
  if (hub !== null && hub.kind !== "running")
    return {
      power: "dead",
      reason: `its network is gone: ${hub.kind === "died" ? hub.reason : "the hub was ended"}`,
    };
  return (await diskFull(controlOf(setup, lab, name)))
    ? { power: "dead", reason: `its disk cannot be written: is the disk of ${lab.folder} full?` }
    : { power: "running", reason: "" };
}

/** How a machine is reached, or null when it cannot be. */
function wayTo(lab: LabDescription, setup: Setup, name: string): Way | null {
  const machine = machineOf(lab, name);
  const { address, port, credentials } = setup.machines[name]!;
  const user = credentials ? "root" : machine.user;
  if (address === null || user === null || (setup.network === "hub" && port === null)) return null;
  return {
    within: setup.namespace === null ? [] : ["nsenter", `--net=/run/netns/${setup.namespace}`, "--"],
    host: setup.namespace === null ? "127.0.0.1" : address,
    port: setup.namespace === null ? (port ?? 22) : 22,
    user,
    key: credentials ? join(lab.folder, "key") : null,
    known: join(folderOf(lab, name), "known_hosts"),
    shared: join(setup.sockets, `s${lab.machines.indexOf(machine)}`),
  };
}

/** How a machine that is on is reached. @throws LabError when it is not, or cannot be */
async function requireWay(lab: LabDescription, name: string): Promise<Way> {
  const power = await state(lab, name);
  if (power.power !== "running")
    throw new LabError(`${name} is ${power.power}${power.reason === "" ? "" : `: ${power.reason}`}`);
  const way = wayTo(lab, requireSetup(lab), name);
  if (way === null) {
    throw new LabError(
      `${name} cannot be reached: it has no address, or nobody can log in`,
      "its system takes no key of the lab: give the site's access a user with your key, and sudo",
    );
  }
  return way;
}

async function exec(
  lab: LabDescription,
  name: string,
  argv: readonly string[],
  options: ExecOptions = {},
): Promise<Finished> {
  const way = await requireWay(lab, name);
  const { env, ...rest } = options;
  const words =
    env === undefined
      ? argv
      : ["env", ...Object.entries(env).map(([key, value]) => `${key}=${value}`), ...argv];
  const done = await run(remoteCommand(way, words), rest);
  // 255 is ssh's own, which says why; a command that ends so says nothing of a connection.
  if (
    done.status === 255 &&
    /^(?:ssh|kex_|Connection|client_loop|Permission denied|.*Permission denied \()/m.test(done.stderr)
  )
    throw new LabError(`${name} cannot be reached: ${done.stderr.trim()}`);
  return done;
}

async function events(
  lab: LabDescription,
  name: string,
  offset: number,
  signal?: AbortSignal,
): ReturnType<Driver["events"]> {
  const folder = folderOf(lab, name);
  const mirror = join(folder, "events.jsonl");
  const setup = setupOf(lab);
  const way = setup === null || running(folder) === null ? null : wayTo(lab, setup, name);
  if (way !== null) {
    // ssh waits a minute for a machine that is still booting; one that dies meanwhile is not waited for.
    const over = new AbortController();
    const watch = setInterval(() => {
      if (signal?.aborted === true || running(folder) === null) over.abort();
    }, 250);
    await mirrorEvents(mirror, (argv) => remoteCommand(way, argv), over.signal).finally(() =>
      clearInterval(watch),
    );
  }
  if (!existsSync(mirror)) return { events: [], bytes: 0 };
  return readEvents(readFileSync(mirror).subarray(offset));
}

function login(lab: LabDescription, name: string): readonly string[] {
  const setup = setupOf(lab);
  const way = setup === null ? null : wayTo(lab, setup, name);
  return way === null ? [] : sshCommand(way);
}

async function powerOff(lab: LabDescription, name: string, timeout: number): Promise<boolean> {
  const folder = folderOf(lab, name);
  const setup = setupOf(lab);
  if (setup === null || running(folder) === null) return true;
  const control = controlOf(setup, lab, name);
  const end = Date.now() + timeout * 1000;
  while (Date.now() < end) {
    // A button that is pressed before anything listens is not heard: it is pressed again.
    await controlling(control, (qemu) => qemu.run("system_powerdown")).catch(() => {});
    const left = Math.min(10, (end - Date.now()) / 1000);
    if ((await poll(left, () => (running(folder) === null ? true : null))) !== null) return true;
  }
  await stop(folder);
  return false;
}

async function destroy(lab: LabDescription): Promise<void> {
  const setup = setupOf(lab);
  if (setup !== null)
    for (const { name } of lab.machines) {
      const way = wayTo(lab, setup, name);
      if (way !== null) await hangUp(way);
    }
  for (const { name } of lab.machines) {
    endMirror(join(folderOf(lab, name), "events.jsonl"));
    await stop(folderOf(lab, name));
  }
  await stop(hubFolder(lab));
  if (existsSync(join(lab.folder, ledgerFile))) await undoLedger(lab.folder);
  if (setup !== null && existsSync(setup.sockets)) await removeTree(setup.sockets);
  for (const name of ["machines", "hub", setupFile, "key", "key.pub"])
    if (existsSync(join(lab.folder, name))) await removeTree(join(lab.folder, name));
  sweepImages(lab.cache);
}

export const qemu: Driver = {
  name: "qemu",
  summary: "virtual machines: own kernel, disk and firmware, BIOS or UEFI; without root too",
  inspect,
  obtainable: imageObstacle,
  // Images have kernels of their own, with what distributions ship.
  lacks: () => [],
  get reachesHidden() {
    return networkKind() === "bridge";
  },
  memory: ({ memory }) => memory,
  differences: ({ target }) => {
    const [, family = "debian", version = "12"] = /^(debian|ubuntu)-([0-9.]+)$/.exec(target) ?? [];
    return takesCredentials({ family, version })
      ? ["a key of the lab may log in as root, given by the firmware (SMBIOS)"]
      : [];
  },
  create,
  start,
  state,
  events,
  console: (lab, machine) => join(folderOf(lab, machine), "console.log"),
  exec,
  entering: async (lab, name, argv, tty) => remoteCommand(await requireWay(lab, name), argv, tty),
  login,
  powerOff,
  kill: (lab, machine) => stop(folderOf(lab, machine)),
  destroy,
};

/** Machines as systemd-nspawn containers: real systemd, cloud-init, netplan and networkd at native speed. */
import { closeSync, existsSync, fstatSync, openSync, readSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { machineApt } from "../apt-sources.ts";
import { type BaseRoot, baseRoot, sweepBuilds } from "../base-root.ts";
import { LabError } from "../command.ts";
import type { Driver, LabDescription, LabMachine, LabTarget } from "../driver.ts";
import { eventLog, readEvents } from "../events.ts";
import { alive, hostObstacles } from "../host.ts";
import { readPower } from "../keeper.ts";
import { kernelHas } from "../kernel.ts";
import { Lab } from "../lab.ts";
import { undoLedger } from "../ledger.ts";
import type { Machine } from "../machine.ts";
import { copiesPackages, keepPackages, sizeOfPackages } from "../package-cache.ts";
import { proxyAnswers, proxyPort } from "../package-proxy.ts";
import type { Segment } from "../router.ts";
import { readSeed } from "../seed.ts";
import { removeTree } from "../tree.ts";

/** MiB that a Debian with systemd, cloud-init and sshd has in use once it is up; what it runs comes on top. */
const idleMemory = 128;

function targetOf(lab: LabDescription, machine: LabMachine): LabTarget {
  const found = lab.targets.find(({ name }) => name === machine.target);
  if (found === undefined) throw new Error(`the lab has no target ${machine.target}`);
  return found;
}

function segmentsOf(lab: LabDescription): Segment[] {
  return lab.networks.map(({ name, cidr, gateway }) => ({
    name,
    // The router speaks IPv4 to the outside; among each other machines speak what they like.
    addresses: gateway?.includes(".") === true ? [`${gateway}/${cidr.split("/")[1]}`] : [],
  }));
}

/** A machine as the lab knows it, but for its disk. */
function partsOf(machine: LabMachine) {
  return {
    name: machine.name,
    ports: machine.interfaces.map(({ network, name, mac }) => ({ segment: network, name, mac })),
    // Instances' and tunnels' interfaces need it, and nspawn makes none.
    binds: ["/dev/net/tun"].filter((path) => existsSync(path)),
  };
}

function open(lab: LabDescription): Lab {
  return Lab.open(
    lab.folder,
    lab.cache,
    segmentsOf(lab),
    lab.machines.map((machine) => ({
      ...partsOf(machine),
      release: targetOf(lab, machine).codename,
    })),
  );
}

function machineOf(lab: LabDescription, name: string): Machine {
  return open(lab).machine(name);
}

/** What was added to a file after an offset; all of it when the file has become shorter since. */
function readFrom(path: string, offset: number): { bytes: Buffer; from: number } {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return { bytes: Buffer.alloc(0), from: offset };
  }
  try {
    const { size } = fstatSync(file);
    const from = size < offset ? 0 : offset;
    const buffer = Buffer.alloc(size - from);
    return { bytes: buffer.subarray(0, readSync(file, buffer, 0, buffer.length, from)), from };
  } finally {
    closeSync(file);
  }
}

/** apt-cacher-ng as machines of the lab reach it, or null where it does not answer. */
async function proxyFor(lab: Lab): Promise<string | null> {
  const address = await lab.router.hostAddress();
  return address !== null && (await proxyAnswers(address)) ? `http://${address}:${proxyPort}` : null;
}

export const nspawn: Driver = {
  name: "nspawn",
  summary: "containers of this host's kernel, at native speed; Linux and root",
  reachesHidden: true,

  inspect() {
    const obstacles = hostObstacles({ mmdebstrap: "mmdebstrap" });
    return Promise.resolve({
      obstacles,
      how: "native speed, on the host's kernel: no boot loader, no disk, no clock of its own",
      slowness: 1,
    });
  },

  async obtainable(target) {
    try {
      await machineApt(target.codename);
      return null;
    } catch (error) {
      if (!(error instanceof LabError)) throw error;
      return {
        message: `no base root of ${target.name} can be built: ${error.message}`,
        hint: error.hint ?? "",
      };
    }
  },

  lacks: (modules) => modules.filter((module) => kernelHas(module) === false),

  memory: () => idleMemory,

  differences: () => [
    "the kernel, its modules and the clock are the host's; no boot loader, partition or disk is tried",
    "interfaces are made with their final names, as there is no udev to rename them",
    "the base root is built from the distribution's packages and stands in for its cloud image",
    "IPv4 alone leads out of the lab",
    "cpus, memory and disk are the host's, whatever the node's size says",
  ],

  async create(lab, ledger, progress) {
    const bases = new Map<string, BaseRoot>();
    for (const machine of lab.machines) {
      const { codename } = targetOf(lab, machine);
      if (bases.has(codename)) continue;
      bases.set(
        codename,
        await baseRoot({
          cache: lab.cache,
          release: codename,
          progress: (line) => progress(`base root of ${codename}: ${line}`),
        }),
      );
    }
    const made = await Lab.in(ledger, { cache: lab.cache });
    for (const segment of segmentsOf(lab)) await made.addSegment(segment);
    await made.router.uncover(lab.hidden);
    const proxy = await proxyFor(made);
    if (proxy !== null) progress(`packages come by apt-cacher-ng of this host: ${proxy}`);
    if (copiesPackages(lab.cache, lab.folder))
      for (const { name, codename } of lab.targets) {
        const size = sizeOfPackages(Lab.packages(lab.cache, codename));
        if (size > 0)
          progress(
            `kept packages of ${name}, ${size} MiB, are copied into each machine: the cache is on another file system`,
          );
      }
    for (const machine of lab.machines) {
      const base = bases.get(targetOf(lab, machine).codename);
      const { root } = await made.addMachine({ ...partsOf(machine), seed: readSeed(machine.seed) }, base);
      // Its name sorts before those of cloud-init and of sites: a proxy of theirs wins.
      if (proxy !== null)
        writeFileSync(join(root, "etc/apt/apt.conf.d/00lab-proxy"), `Acquire::http::Proxy "${proxy}";\n`);
    }
  },

  async start(lab, machine) {
    await machineOf(lab, machine).start();
  },

  state(lab, machine) {
    const { state, reason } = machineOf(lab, machine);
    return Promise.resolve({ power: state, reason });
  },

  events(lab, machine, offset) {
    const { root } = machineOf(lab, machine);
    const { bytes, from } = readFrom(join(root, eventLog), offset);
    const read = readEvents(bytes);
    // Of a log that was begun anew the offset is taken back, too.
    return Promise.resolve({ events: read.events, bytes: from + read.bytes - offset });
  },

  console: (lab, machine) => join(lab.folder, "machines", machine, "console.log"),

  exec: (lab, machine, argv, options = {}) => {
    const { env, ...rest } = options;
    const given = Object.fromEntries(
      Object.entries(env ?? {}).filter((pair): pair is [string, string] => pair[1] !== undefined),
    );
    return machineOf(lab, machine).exec(argv, { ...rest, env: given });
  },

  // The terminal is handed on as it is; of all that is known of it the machine needs its type.
  async entering(lab, machine, argv, tty) {
    return machineOf(lab, machine).entering(argv, tty ? { TERM: process.env.TERM ?? "dumb" } : {});
  },

  login(lab, machine) {
    const found = lab.machines.find(({ name }) => name === machine);
    if (found?.user != null && found.address !== null)
      // The host has no address on the lab's networks; its router does.
      return [
        ...["ip", "netns", "exec", `seedsmith-${lab.id}`, "ssh"],
        ...["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"],
        `${found.user}@${found.address}`,
      ];
    const leader = readPower(join(lab.folder, "machines", machine))?.leader;
    return leader == null || !alive(leader)
      ? []
      : ["nsenter", `--target=${leader.pid}`, "--all", "--wd=/", "env", "-i", "TERM=xterm", "bash", "-l"];
  },

  powerOff: (lab, machine, timeout) => machineOf(lab, machine).powerOff(timeout),

  kill: (lab, machine) => machineOf(lab, machine).kill(),

  async destroy(lab) {
    await undoLedger(lab.folder);
    for (const machine of lab.machines) {
      const upper = join(lab.folder, "machines", machine.name, "upper");
      if (existsSync(upper)) keepPackages(Lab.packages(lab.cache, targetOf(lab, machine).codename), upper);
    }
    const machines = join(lab.folder, "machines");
    if (existsSync(machines)) await removeTree(machines);
    await sweepBuilds(lab.cache);
  },
};

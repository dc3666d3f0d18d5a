/** What boot tests of the qemu driver share: a lab of a rendered site, its verdicts, and its end. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { poll } from "../../src/lab/command.ts";
import { consoleTail } from "../../src/lab/console.ts";
import type { LabDescription, LabMachine } from "../../src/lab/driver.ts";
import { qemu } from "../../src/lab/drivers/qemu.ts";
import { inWords, lastVerdict, type RunnerEvent } from "../../src/lab/events.ts";
import { destroyFolder, Ledger } from "../../src/lab/ledger.ts";
import { cache, say } from "./lab.ts";
import { Workspace } from "./rendered.ts";

/** A node of the tests' site. */
export interface QemuNode {
  readonly name: string;
  readonly profile: string;
  readonly octet: string;
  readonly address: string;
  readonly firmware: "bios" | "uefi";
  readonly cpus?: number;
  readonly memory?: number;
  readonly disk?: number;
}

const networks = [
  { name: "management", cidr: "10.0.0.0/24", gateway: "10.0.0.254" },
  { name: "provider", cidr: "198.51.100.0/24", gateway: "198.51.100.1" },
];

/** The site of some nodes, rendered. */
export function qemuWorkspace(nodes: readonly QemuNode[]): Workspace {
  const workspace = new Workspace();
  const entries = nodes.map(
    ({ name, profile, octet, address }) => `  ${name}:
    profile: ${profile}
    interfaces:
      management: { mac: "52:54:00:0a:00:${octet}", address: ${address} }
      provider: { mac: "52:54:00:cb:00:${octet}" }
`,
  );
  workspace.write(
    "site.yaml",
    `site: boot
target: debian-12
networks:
  management: { cidr: 10.0.0.0/24, gateway: 10.0.0.254, nameservers: [10.0.0.254] }
  provider: { cidr: 198.51.100.0/24, gateway: 198.51.100.1 }
access:
  users:
    - { name: ops, password: true }
nodes:
${entries.join("")}`,
  );
  workspace.render();
  return workspace;
}

/** A lab's description. */
export function describe(workspace: Workspace, id: string, nodes: readonly QemuNode[]): LabDescription {
  const machines = nodes.map(
    (node): LabMachine => ({
      name: node.name,
      target: "debian-12",
      seed: workspace.path(node.name),
      cpus: node.cpus ?? 1,
      memory: node.memory ?? 1024,
      disk: node.disk ?? 8,
      firmware: node.firmware,
      address: node.address,
      user: null,
      interfaces: [
        { network: "management", name: "ens3", mac: `52:54:00:0a:00:${node.octet}`, address: node.address },
        { network: "provider", name: "provider", mac: `52:54:00:cb:00:${node.octet}`, address: null },
      ],
    }),
  );
  return {
    id,
    driver: "qemu",
    site: "boot",
    folder: join(cache, "labs", id),
    cache,
    networks,
    targets: [{ name: "debian-12", family: "debian", version: "12", codename: "bookworm" }],
    hidden: [],
    machines,
  };
}

/** Makes a lab, hands it to a test, and takes it down whatever the test does. */
export async function withQemu(lab: LabDescription, test: () => Promise<void>): Promise<void> {
  mkdirSync(join(cache, "labs"), { recursive: true });
  const ledger = Ledger.begin(lab.id, lab.folder);
  try {
    await qemu.create(lab, ledger, (line) => say(`qemu: ${line}`));
    await test();
  } catch (error) {
    for (const { name } of lab.machines) {
      say(`${name}: ${JSON.stringify(await qemu.state(lab, name))}; its console ends:`);
      for (const line of consoleTail(qemu.console(lab, name), 25)) console.error(`    ${line}`);
      const { events } = await qemu.events(lab, name, 0);
      for (const event of events.slice(-5)) console.error(`    ${JSON.stringify(event)}`);
    }
    if (process.env.SEEDSMITH_KEEP === "1") {
      ledger.disown();
      say(`the lab ${lab.id} is left standing in ${lab.folder}`);
      throw error;
    }
    await end(lab);
    throw error;
  }
  await end(lab);
}

async function end(lab: LabDescription): Promise<void> {
  await qemu.destroy(lab);
  await destroyFolder(lab.folder);
  rmSync(lab.folder, { recursive: true, force: true });
}

/** Seconds that a line of the console, and a verdict, took; each null until it came. */
export interface Times {
  cloudInit: number | null;
  verdict: number | null;
}

/**
 * Waits for a machine's verdict.
 * @returns the verdict, or null when the machine died or time ran out
 */
export async function verdictOf(
  lab: LabDescription,
  name: string,
  timeout: number,
): Promise<{ verdict: RunnerEvent | null; seconds: number }> {
  const begin = Date.now();
  let told = "";
  let offset = 0;
  const all: RunnerEvent[] = [];
  const verdict = await poll(
    timeout,
    async () => {
      const { events, bytes } = await qemu.events(lab, name, offset);
      offset += bytes;
      all.push(...events);
      const last = all.at(-1);
      const line = last === undefined ? (consoleTail(qemu.console(lab, name), 1)[0] ?? "") : inWords(last);
      if (line !== told && line !== "") say(`${name}: ${line.slice(0, 100)}`);
      told = line;
      if ((await qemu.state(lab, name)).power !== "running") return "dead" as const;
      return lastVerdict(all);
    },
    2,
  );
  return { verdict: verdict === "dead" ? null : verdict, seconds: (Date.now() - begin) / 1000 };
}

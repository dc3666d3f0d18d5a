import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import * as assert from "uvu/assert";
import { LabError, poll } from "../../../src/lab/command.ts";
import type { LabDescription, LabMachine, LabTarget } from "../../../src/lab/driver.ts";
import {
  commands,
  imageFor,
  multipass,
  netplanFrom,
  networkNames,
  powerOf,
} from "../../../src/lab/drivers/multipass.ts";
import { Ledger } from "../../../src/lab/ledger.ts";
import { suite } from "../../support/suite.ts";
import { lab as fakeLab } from "../watch/fake-lab.ts";

const target: LabTarget = { name: "ubuntu-24.04", family: "ubuntu", version: "24.04", codename: "noble" };
const machine = (seed: string): LabMachine => ({
  name: "con01",
  target: target.name,
  seed,
  cpus: 2,
  memory: 2048,
  disk: 10,
  firmware: "bios",
  address: "10.0.0.1",
  user: "ops",
  interfaces: [
    { network: "management", name: "ens3", mac: "52:54:00:0a:00:01", address: "10.0.0.1" },
    { network: "provider", name: "provider", mac: "52:54:00:cb:00:01", address: null },
  ],
});
const networks = [
  { name: "management", cidr: "10.0.0.0/24", gateway: "10.0.0.254" },
  { name: "provider", cidr: "198.51.100.0/24", gateway: "198.51.100.1" },
];
const networkConfig = `network:
  version: 2
  ethernets:
    management:
      match: { macaddress: "52:54:00:0a:00:01" }
      set-name: ens3
      addresses: ["10.0.0.1/24"]
      nameservers: { addresses: [10.0.0.254] }
      routes: [{ to: 0.0.0.0/0, via: 10.0.0.254 }, { to: 10.9.0.0/16, via: 10.0.0.7 }]
    provider:
      match: { macaddress: "52:54:00:cb:00:01" }
      routes: [{ to: default, via: 198.51.100.1 }]
`;

suite("command lines of multipass", (test) => {
  test("launch: image, sizes, user-data on standard input, every network with its MAC", () => {
    const argv = commands.launch("seedsmith-abc-con01", machine("/seed"), "24.04", {
      management: "br-management",
      provider: "provider",
    });
    assert.equal(argv, [
      "multipass",
      "launch",
      "--name",
      "seedsmith-abc-con01",
      "--cpus",
      "2",
      "--memory",
      "2048M",
      "--disk",
      "10G",
      "--cloud-init",
      "-",
      "--network",
      "name=br-management,mode=manual,mac=52:54:00:0a:00:01",
      "--network",
      "name=provider,mode=manual,mac=52:54:00:cb:00:01",
      "--timeout",
      "14400",
      "24.04",
    ]);
  });

  test("all others", () => {
    assert.equal(commands.version(), ["multipass", "version", "--format", "json"]);
    assert.equal(commands.driver(), ["multipass", "get", "local.driver"]);
    assert.equal(commands.find(), ["multipass", "find", "--format", "json"]);
    assert.equal(commands.networks(), ["multipass", "networks", "--format", "json"]);
    assert.equal(commands.list(), ["multipass", "list", "--format", "json"]);
    assert.equal(commands.info("a"), ["multipass", "info", "a", "--format", "json"]);
    assert.equal(commands.start("a"), ["multipass", "start", "--timeout", "14400", "a"]);
    assert.equal(commands.stop("a"), ["multipass", "stop", "a"]);
    assert.equal(commands.kill("a"), ["multipass", "stop", "--force", "a"]);
    assert.equal(commands.delete("a"), ["multipass", "delete", "--purge", "a"]);
    assert.equal(commands.shell("a"), ["multipass", "shell", "a"]);
    assert.equal(commands.exec("a", ["ls", "-l"]), [
      "multipass",
      "exec",
      "--no-map-working-directory",
      "a",
      "--",
      "sudo",
      "-n",
      "--",
      "ls",
      "-l",
    ]);
  });

  test("an image is found by version or code name, or not at all", () => {
    const images = {
      images: {
        "22.04": { aliases: ["jammy"], os: "Ubuntu", release: "22.04 LTS" },
        debian: { aliases: ["trixie"], os: "Debian", release: "Trixie" },
      },
    };
    assert.is(imageFor({ version: "22.04", codename: "jammy" }, images), "22.04");
    assert.is(imageFor({ version: "13", codename: "trixie" }, images), "debian");
    assert.is(imageFor({ version: "12", codename: "bookworm" }, images), null);
  });

  test("networks are those of the same name, or as told", () => {
    assert.equal(networkNames(networks, ""), { management: "management", provider: "provider" });
    assert.equal(networkNames(networks, "management=br0, provider = Ethernet 2"), {
      management: "br0",
      provider: "Ethernet 2",
    });
    assert.throws(() => networkNames(networks, "mgmt=br0"), /SEEDSMITH_MULTIPASS_NETWORKS has "mgmt=br0"/);
  });

  test("the site's network without default routes and name servers", () => {
    assert.equal(JSON.parse(netplanFrom(networkConfig)), {
      network: {
        version: 2,
        ethernets: {
          management: {
            match: { macaddress: "52:54:00:0a:00:01" },
            "set-name": "ens3",
            addresses: ["10.0.0.1/24"],
            routes: [{ to: "10.9.0.0/16", via: "10.0.0.7" }],
          },
          provider: { match: { macaddress: "52:54:00:cb:00:01" } },
        },
      },
    });
    // Also where the file has no `network:` around it.
    assert.equal(JSON.parse(netplanFrom("version: 2\nethernets: { a: { dhcp4: true } }\n")), {
      network: { version: 2, ethernets: { a: { dhcp4: true } } },
    });
  });

  test("every documented state is known", () => {
    const power = (state: string) => powerOf(state).power;
    assert.equal(
      [
        "Running",
        "Stopped",
        "Deleted",
        "Starting",
        "Restarting",
        "Delayed Shutdown",
        "Suspending",
        "Suspended",
        "Unknown",
      ].map(power),
      ["running", "off", "dead", "running", "restarting", "running", "off", "off", "dead"],
    );
  });

  test("what differs from production names every file of the seed", () => {
    const text = multipass.differences(machine("/seed")).join("\n");
    for (const name of ["user-data", "meta-data", "network-config", "vendor-data", "seed.iso"])
      assert.ok(text.includes(name), name);
  });
});

interface World {
  readonly lab: LabDescription;
  readonly base: string;
  settings(changes: object): void;
  calls(): string[][];
  instance(...path: string[]): string;
}

const path = process.env.PATH;

/** A lab, and a multipass that stands in for the real one. */
async function inWorld(use: (world: World) => Promise<void>): Promise<void> {
  const base = mkdtempSync(join(tmpdir(), "seedsmith-multipass-"));
  const seed = join(base, "seed");
  mkdirSync(seed);
  writeFileSync(join(seed, "user-data"), `#cloud-config\nhostname: con01\n# ${"x".repeat(200_000)}\n`);
  writeFileSync(join(seed, "network-config"), networkConfig);
  const settings = (changes: object): void => {
    const standard = {
      version: "1.16.3",
      daemon: "running",
      networks: ["management", "provider"],
      cloudInit: 1500,
    };
    writeFileSync(join(base, "settings.json"), JSON.stringify({ ...standard, ...changes }));
  };
  settings({});
  process.env.PATH = `${import.meta.dirname}${delimiter}${path}`;
  process.env.MULTIPASS_STANDIN = base;
  const lab: LabDescription = {
    ...fakeLab,
    id: "abc",
    driver: "multipass",
    folder: join(base, "lab"),
    networks,
    targets: [target],
    machines: [machine(seed)],
  };
  try {
    await use({
      lab,
      base,
      settings,
      calls: () =>
        existsSync(join(base, "calls.jsonl"))
          ? readFileSync(join(base, "calls.jsonl"), "utf8")
              .trim()
              .split("\n")
              .map((line) => JSON.parse(line))
          : [],
      instance: (...parts) => join(base, "instances", "seedsmith-abc-con01", ...parts),
    });
  } finally {
    await multipass.destroy(lab);
    process.env.PATH = path;
    delete process.env.MULTIPASS_STANDIN;
    rmSync(base, { recursive: true, force: true });
  }
}

/** What a call throws as LabError, message and hint. */
async function refusal(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
  } catch (error) {
    if (error instanceof LabError) return `${error.message}; ${error.hint}`;
    throw error;
  }
  return "nothing was refused";
}

suite("multipass, by a stand-in", (test) => {
  test("a life: launched with the seed's bytes, addressed, followed, stopped, started, deleted", async () => {
    await inWorld(async ({ lab, instance, calls }) => {
      assert.equal((await multipass.inspect("")).obstacles, []);
      assert.is((await multipass.inspect("")).how, "multipass 1.16.3 by qemu");
      const said: string[] = [];
      await multipass.create(lab, Ledger.begin("abc", lab.folder), (line) => said.push(line));
      assert.equal(said, [
        "con01: instance seedsmith-abc-con01, management on management, provider on provider",
      ]);
      assert.is((await multipass.state(lab, "con01")).power, "off");
      await multipass.start(lab, "con01");
      assert.is(
        readFileSync(instance("user-data"), "utf8"),
        readFileSync(join(lab.machines[0]!.seed, "user-data"), "utf8"),
      );
      assert.equal(JSON.parse(readFileSync(instance("launch.json"), "utf8")).image, "24.04");
      assert.equal(
        readFileSync(instance("root", "etc", "netplan", "90-seedsmith.yaml"), "utf8"),
        netplanFrom(networkConfig),
      );
      assert.ok(existsSync(instance("root", "netplan-applied")));
      assert.equal(await multipass.state(lab, "con01"), { power: "running", reason: "" });

      // No event yet, then two, then the rest from where the first look ended.
      assert.equal(await multipass.events(lab, "con01", 0), { events: [], bytes: 0 });
      const log = instance("root", "var", "lib", "seedsmith", "state", "events.jsonl");
      const line = (name: string) =>
        `${JSON.stringify({ time: "t", event: "step-ok", node: "con01", generation: 1, name })}\n`;
      writeFileSync(log, `${line("größe")}${line("two")}{"torn`);
      const first = await multipass.events(lab, "con01", 0);
      assert.equal(
        first.events.map(({ name }) => name),
        ["größe", "two"],
      );
      writeFileSync(log, line("größe") + line("two"));
      appendFileSync(log, line("three"));
      const second = await multipass.events(lab, "con01", first.bytes);
      assert.equal(
        second.events.map(({ name }) => name),
        ["three"],
      );

      const shown = await multipass.exec(lab, "con01", ["cat", "/etc/netplan/90-seedsmith.yaml"]);
      assert.is(shown.stdout, netplanFrom(networkConfig));
      assert.is((await multipass.exec(lab, "con01", ["sh", "-c", "exit 7"])).status, 7);
      assert.equal(multipass.login(lab, "con01"), ["multipass", "shell", "seedsmith-abc-con01"]);

      assert.is(await multipass.powerOff(lab, "con01", 20), true);
      assert.equal(await multipass.state(lab, "con01"), { power: "off", reason: "multipass says: Stopped" });
      // The real `exec` would start it: the driver does not ask then.
      assert.match(
        await refusal(() => multipass.exec(lab, "con01", ["true"])),
        /con01 is not running: multipass says Stopped/,
      );
      await multipass.start(lab, "con01");
      assert.is((await multipass.state(lab, "con01")).power, "running");
      await multipass.kill(lab, "con01");
      assert.is((await multipass.state(lab, "con01")).power, "off");
      const launched = await poll(5, () =>
        /Launched/.test(readFileSync(multipass.console(lab, "con01"), "utf8")) ? true : null,
      );
      assert.ok(launched);

      await multipass.destroy(lab);
      assert.not.ok(existsSync(instance()));
      await multipass.destroy(lab);
      assert.ok(calls().some((call) => call.join(" ") === "multipass delete --purge seedsmith-abc-con01"));
    });
  });

  test("taken down in the middle of a launch", async () => {
    await inWorld(async ({ lab, settings, instance }) => {
      settings({ cloudInit: 60_000 });
      await multipass.start(lab, "con01");
      await multipass.destroy(lab);
      assert.not.ok(existsSync(instance()));
      assert.match((await multipass.state(lab, "con01")).power, /dead|off/);
    });
  });

  test("a launch that fails says why, and the machine is dead", async () => {
    await inWorld(async ({ lab, settings }) => {
      settings({ broken: "The following errors occurred: timed out waiting for response", cloudInit: 0 });
      assert.match(
        await refusal(() => multipass.start(lab, "con01")),
        /launched no seedsmith-abc-con01: launch failed: .*timed out/,
      );
      const state = await multipass.state(lab, "con01");
      assert.is(state.power, "dead");
      assert.match(state.reason, /timed out/);
    });
  });

  test("what cannot run says what to do", async () => {
    await inWorld(async ({ lab, settings }) => {
      settings({ networks: ["br0"] });
      const create = () => multipass.create(lab, null as never, () => undefined);
      assert.match(
        await refusal(create),
        /no network of the host for the site's management, provider; multipass networks lists: br0 \(bridge\); .*SEEDSMITH_MULTIPASS_NETWORKS=management=br0/,
      );
      settings({ version: "1.14.1" });
      assert.match((await multipass.inspect("")).obstacles[0]!.message, /1\.14\.1 is too old/);
      settings({ daemon: null });
      assert.match((await multipass.inspect("")).obstacles[0]!.message, /daemon does not answer/);
      settings({});
      const debian = await multipass.obtainable(
        { name: "debian-12", family: "debian", version: "12", codename: "bookworm" },
        "",
      );
      assert.match(debian!.message, /no image of debian-12/);
      assert.is(await multipass.obtainable(target, ""), null);
      process.env.PATH = "/nonexistent";
      const missing = (await multipass.inspect("")).obstacles[0]!;
      process.env.PATH = `${import.meta.dirname}${delimiter}${path}`;
      assert.equal(
        [missing.message, /snap install multipass/.test(missing.hint)],
        ["multipass is not installed", true],
      );
    });
  });
});

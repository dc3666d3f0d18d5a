import * as assert from "uvu/assert";
import { rank } from "../../src/lab/choose.ts";
import { LabError } from "../../src/lab/command.ts";
import type { Driver, Inspection, LabMachine, LabNetwork } from "../../src/lab/driver.ts";
import { hiddenAddresses, isIn, type OutsideAddress } from "../../src/lab/outside.ts";
import { refuseTooLarge, uncover } from "../../src/lab/refusals.ts";
import { suite } from "../support/suite.ts";
import { fakeDriver } from "./watch/fake-lab.ts";

const machine = (name: string, address: string | null, network = "management"): LabMachine => ({
  ...{ name, target: "debian-12", seed: "/nonexistent", cpus: 2, memory: 4096, disk: 20, firmware: "bios" },
  ...{ address, user: null },
  interfaces: [{ network, name: "ens3", mac: "52:54:00:00:00:01", address }],
});
const networks: readonly LabNetwork[] = [
  { name: "management", cidr: "10.0.0.0/24", gateway: "10.0.0.254" },
  { name: "provider", cidr: "203.0.113.0/24", gateway: "203.0.113.1" },
];
const outside = (address: string, needed = true): OutsideAddress => ({
  ...{ address, needed },
  what: "the package mirror m",
});
const message = (run: () => unknown): { message: string; hint: string | null } => {
  try {
    run();
  } catch (error) {
    if (error instanceof LabError) return { message: error.message, hint: error.hint };
    throw error;
  }
  throw new Error("nothing was refused");
};

suite("what speaks against a lab", (test) => {
  test("addresses are inside of networks or not", () => {
    for (const [address, cidr, inside] of [
      ["10.0.0.7", "10.0.0.0/24", true],
      ["10.0.1.7", "10.0.0.0/24", false],
      ["10.0.1.7", "10.0.0.0/16", true],
      ["255.255.255.255", "0.0.0.0/0", true],
      ["10.0.0.7", "10.0.0.7/32", true],
      ["10.0.0.8", "10.0.0.7/32", false],
      ["10.0.0.7", "fd00::/64", false],
    ] as const)
      assert.is(isIn(address, cidr), inside, `${address} in ${cidr}`);
    assert.equal(
      hiddenAddresses([outside("203.0.113.80"), outside("192.0.2.1")], networks).map(
        ({ network }) => network,
      ),
      ["provider"],
    );
  });

  test("too little memory names every node and what to do", () => {
    const driver = { name: "qemu", memory: ({ memory }: LabMachine) => memory };
    const nodes = [machine("con01", "10.0.0.1"), machine("com01", "10.0.0.11")];
    refuseTooLarge(driver, nodes, 8192);
    const said = message(() => refuseTooLarge(driver, nodes, 8191));
    assert.is(
      said.message,
      "the nodes take 8192 MiB by qemu and this host has 8191 MiB free: con01 4096, com01 4096",
    );
    assert.match(String(said.hint), "--node");
  });

  test("a hidden mirror is routed around by who can, and refused by who cannot", () => {
    const nodes = [machine("con01", "10.0.0.1")];
    const around = uncover({ name: "nspawn", reachesHidden: true }, networks, nodes, [outside("10.0.0.80")]);
    assert.equal(around.hidden, ["10.0.0.80"]);
    assert.match(around.notices.join(), "the lab routes it out");
    const qemu = { name: "qemu", reachesHidden: false };
    const said = message(() => uncover(qemu, networks, nodes, [outside("10.0.0.80")]));
    assert.match(said.message, "(10.0.0.0/24) hides the package mirror m, 10.0.0.80");
    assert.match(String(said.hint), "another cidr");
    // No machine has an address there, so they look for it beyond their gateway.
    assert.equal(uncover(qemu, networks, nodes, [outside("203.0.113.80")]), { hidden: [], notices: [] });
  });

  test("an address that a node or a gateway has cannot be reached by anybody", () => {
    const nspawn = { name: "nspawn", reachesHidden: true };
    const nodes = [machine("con01", "10.0.0.1")];
    assert.match(
      message(() => uncover(nspawn, networks, nodes, [outside("10.0.0.1")])).message,
      "10.0.0.1 is the package mirror m and, in the site, con01",
    );
    assert.match(
      message(() => uncover(nspawn, networks, nodes, [outside("203.0.113.1")])).message,
      "the gateway of provider",
    );
  });

  test("a hidden uplink is worth a word", () => {
    const { notices } = uncover(
      { name: "qemu", reachesHidden: false },
      networks,
      [],
      [outside("10.0.0.9", false)],
    );
    assert.match(notices.join(), "machines do not reach the host's own network");
  });
});

suite("choosing a driver", (test) => {
  const driver = (name: string, inspection: Partial<Inspection>): Driver => ({
    ...fakeDriver({ now: () => 0, sleep: () => Promise.resolve() }, {}),
    name,
    inspect: () => Promise.resolve({ obstacles: [], how: name, slowness: 1, ...inspection }),
  });
  const missing = { obstacles: [{ message: "not installed: x", hint: "apt-get install x" }] };

  test("native ones first, as they are listed; then the fastest", async () => {
    const found = await rank("/nonexistent", [
      driver("slowest", { slowness: 20 }),
      driver("slow", { slowness: 8 }),
      driver("missing", missing),
      driver("first", {}),
      driver("second", { slowness: 1.5 }),
    ]);
    assert.equal(
      found.usable.map((one) => one.driver.name),
      ["first", "second", "slow", "slowest"],
    );
    assert.equal(found.others, ["missing: not installed: x"]);
  });

  test("none is an error that names each one's obstacle", async () => {
    const error = await rank("/nonexistent", [driver("one", missing)]).catch((reason: LabError) => reason);
    assert.instance(error, LabError);
    assert.match((error as LabError).message, "one: not installed: x");
    assert.match(String((error as LabError).hint), "lab doctor");
  });
});

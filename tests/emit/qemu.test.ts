import * as assert from "uvu/assert";
import { qemuArguments } from "../../src/emit/qemu.ts";
import { userNetworkAddresses } from "../../src/emit/user-network.ts";
import { parseCidr } from "../../src/resolve/address.ts";
import { compileFiles } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const site = (management: string): string => `site: x
target: alpha-1
networks:
  management: { cidr: 10.0.0.0/24${management} }
  provider: { cidr: 198.51.100.0/24, gateway: 198.51.100.1 }
access: { users: [{ name: ops, password: true }] }
nodes:
  con01:
    profile: plain
    size: { cpus: 2, memory: 4G, disk: 20G }
    interfaces:
      management: { mac: "52:54:00:0a:00:01", address: 10.0.0.1 }
      provider: { mac: "52:54:00:cb:00:01" }
`;

async function lineOf(management: string): Promise<readonly string[]> {
  const { plans, problems } = await compileFiles({
    "sites/x/site.yaml": site(management),
    "profiles/plain.yaml": "profile: plain\nsummary: Nothing\ncomponents: []\n",
  });
  assert.equal(problems, []);
  const plan = plans.get("con01");
  if (plan === undefined) throw new Error("no plan");
  return qemuArguments(plan, "con01/seed.iso", "alpha-1.qcow2");
}

suite("the qemu line that render prints", (test) => {
  test("has the node's size and all of its cards, with a way out by the management network", async () => {
    assert.equal(await lineOf(", gateway: 10.0.0.254, nameservers: [10.0.0.254]"), [
      "qemu-system-x86_64",
      ...["-accel", "kvm", "-accel", "tcg", "-cpu", "max", "-m", "4G", "-smp", "2"],
      ...["-nographic", "-snapshot", "-drive", "file=alpha-1.qcow2,if=virtio,format=qcow2"],
      ...["-drive", "file=con01/seed.iso,if=virtio,format=raw,readonly=on"],
      "-nic",
      "user,model=virtio-net-pci,mac=52:54:00:0a:00:01,net=10.0.0.0/24,host=10.0.0.253,dns=10.0.0.254",
      ...["-nic", "hubport,hubid=1,model=virtio-net-pci,mac=52:54:00:cb:00:01"],
    ]);
  });

  test("answers for a name server that is not the gateway, inside of the network or not", async () => {
    const nic = async (management: string) =>
      (await lineOf(management)).find((word) => word.startsWith("user,")) ?? "";
    assert.match(
      await nic(", gateway: 10.0.0.254, nameservers: [10.0.0.250]"),
      "host=10.0.0.254,dns=10.0.0.250",
    );
    assert.match(await nic(", gateway: 10.0.0.254, nameservers: [9.9.9.9]"), "host=10.0.0.254,dns=9.9.9.9");
  });
});

suite("addresses of a user network", (test) => {
  const of = (cidr: string, taken: readonly string[]) =>
    userNetworkAddresses({ cidr: parseCidr(cidr)!, gateway: null, nameservers: [], taken });

  test("are two that no machine has", () => {
    assert.equal(of("10.0.0.0/29", ["10.0.0.6", "10.0.0.4"]), { dns: "10.0.0.5", host: "10.0.0.3" });
  });

  test("are none where the network has no room for two", () => {
    assert.is(of("10.0.0.0/30", ["10.0.0.1"]), null);
    assert.is(of("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]), null);
  });
});

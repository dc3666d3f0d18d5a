import * as assert from "uvu/assert";
import type { LabNetwork } from "../../../../src/lab/driver.ts";
import { discover } from "../../../../src/lab/drivers/qemu/leases.ts";
import { accessOf, configured, routerAddress, segments } from "../../../../src/lab/drivers/qemu/segments.ts";
import { suite } from "../../../support/suite.ts";

const networks: readonly LabNetwork[] = [
  { name: "management", cidr: "10.0.0.0/24", gateway: "10.0.0.254" },
  { name: "provider", cidr: "198.51.100.0/24", gateway: "198.51.100.1" },
  { name: "storage", cidr: "10.1.0.0/24", gateway: null },
];

const seed = (address: string, nameserver: string): string => `version: 2
ethernets:
  management:
    match:
      macaddress: "52:54:00:0a:00:01"
    addresses:
    - "${address}/24"
    - "fd00::1/64"
    nameservers:
      addresses:
      - "${nameserver}"
  provider:
    match:
      macaddress: "52:54:00:cb:00:01"
    link-local: []
bonds:
  bond0:
    interfaces: [a, b]
    addresses: ["10.1.0.7/24"]
`;

const lab = (...texts: readonly string[]) => {
  const machines = texts.map((_, index) => ({ name: `n${index}`, address: null }));
  const seeds = new Map(texts.map((text, index) => [`n${index}`, configured(text)]));
  return segments({ networks, machines: machines as never }, seeds);
};
const userOf = (nameserver: string) => lab(seed("10.0.0.1", nameserver))[0]?.user;

suite("the networks of a qemu lab", (test) => {
  test("are read from what the seeds configure, whatever the addresses are on", () => {
    assert.equal(configured(seed("10.0.0.1", "10.0.0.254")), [
      { addresses: ["10.0.0.1"], nameservers: ["10.0.0.254"] },
      { addresses: ["10.1.0.7"], nameservers: [] },
    ]);
    assert.equal(configured(""), []);
    assert.equal(configured("version: 2\n"), []);
  });

  test("answer for the gateway, and for the name server, wherever that is", () => {
    // The gateway is also the name server: it is the one called dns, and any other address is host.
    assert.equal(userOf("10.0.0.254"), { host: "10.0.0.253", dns: "10.0.0.254" });
    assert.equal(userOf("10.0.0.250"), { host: "10.0.0.254", dns: "10.0.0.250" });
    assert.equal(userOf("9.9.9.9"), { host: "10.0.0.254", dns: "9.9.9.9" });
    // A name server that is a machine of the lab answers for itself.
    assert.equal(lab(seed("10.0.0.1", "10.0.0.2"), seed("10.0.0.2", "10.0.0.254"))[0]?.user, {
      host: "10.0.0.253",
      dns: "10.0.0.254",
    });
  });

  test("are closed without a gateway", () => {
    const [management, provider, storage] = lab(seed("10.0.0.1", "10.0.0.254"));
    assert.is(management?.open, true);
    assert.equal(provider?.user, { host: "198.51.100.1", dns: "198.51.100.254" });
    assert.equal(storage, { name: "storage", cidr: "10.1.0.0/24", gateway: null, open: false, user: null });
  });

  test("have the address by which a machine is logged into", () => {
    const found = configured(seed("10.0.0.1", "10.0.0.254"));
    assert.equal(accessOf(networks, { address: "10.1.0.7" }, found), {
      segment: "storage",
      address: "10.1.0.7",
    });
    assert.equal(accessOf(networks, { address: null }, found), {
      segment: "management",
      address: "10.0.0.1",
    });
    assert.is(accessOf(networks, { address: null }, []), null);
  });

  test("have a router that is the gateway, else an address that nobody has", () => {
    const [management, , storage] = lab(seed("10.0.0.1", "10.0.0.254"));
    assert.is(routerAddress(management!, []), "10.0.0.254/24");
    assert.is(routerAddress(storage!, ["10.1.0.254", "10.1.0.7"]), "10.1.0.253/24");
    assert.is(routerAddress({ ...storage!, cidr: "10.1.0.0/30" }, ["10.1.0.1", "10.1.0.2"]), null);
  });

  test("ask for a lease with a frame that a DHCP server understands", () => {
    const frame = discover(3);
    assert.is(frame.length, 14 + 20 + 8 + 300);
    // A header whose words sum up to all ones is whole (RFC 1071).
    let sum = 0;
    for (let at = 14; at < 34; at += 2) sum += frame.readUInt16BE(at);
    assert.is((sum >>> 16) + (sum & 0xffff), 0xffff);
    assert.is(frame.readUInt16BE(16), 328);
    assert.equal([frame.readUInt16BE(34), frame.readUInt16BE(36)], [68, 67]);
    assert.equal([...frame.subarray(278, 286)], [0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]);
    assert.is.not(discover(4).subarray(6, 12).toString("hex"), frame.subarray(6, 12).toString("hex"));
  });
});

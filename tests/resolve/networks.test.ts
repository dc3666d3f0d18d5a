import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import fc from "fast-check";
import * as assert from "uvu/assert";
import { networkConfig } from "../../src/emit/network-config.ts";
import type { NodePlan } from "../../src/plan/model.ts";
import { formatIp, hostsOf, isHostIn, parseIp, parseRange } from "../../src/resolve/address.ts";
import { compileFiles } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const env = {
  ...process.env,
  LC_ALL: "C.UTF-8",
  PATH: [process.env["PATH"], "/usr/sbin", "/sbin"].join(delimiter),
};
/** What `netplan generate` calls, without the start of its Python. */
const generator = ["/usr/libexec/netplan/generate", "/usr/lib/netplan/generate"].find(existsSync) ?? null;
const noNetplan = generator === null ? "netplan is not installed" : null;

/** What netplan says of a network-config: null when it takes it. */
function netplanRefuses(text: string): string | null {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-net-"));
  try {
    mkdirSync(join(folder, "etc", "netplan"), { recursive: true });
    const file = join(folder, "etc", "netplan", "50-cloud-init.yaml");
    writeFileSync(file, `network:\n${text.replace(/^(?=.)/gm, "  ")}`, { mode: 0o600 });
    const done = spawnSync(generator ?? "", ["--root-dir", folder], { encoding: "utf8", env });
    // Warnings are complaints too, but for the old word that a target needs.
    const said = done.stderr
      .split("\n")
      .filter((line) => /WARNING|Error|\S/.test(line) && line.trim() !== "");
    return done.status === 0 && said.length === 0 ? null : `exit ${done.status}: ${said.join(" | ")}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const profile = "profile: p\nsummary: A node with nothing\n";
const compileSite = (site: object): ReturnType<typeof compileFiles> =>
  compileFiles({
    "profiles/p.yaml": profile,
    "sites/x/site.yaml": JSON.stringify({
      site: "x",
      target: "alpha-1",
      access: { users: [{ name: "ops", password: true }] },
      ...site,
    }),
  });

// Intents: sometimes sound, sometimes not.
const names = ["management", "storage", "overlay", "provider", "outside"] as const;
/** Given two times of three, or one of three. */
const often = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 1, arbitrary: fc.constant(undefined) }, { weight: 2, arbitrary: value });
const rarely = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
/** One of the first, and now and then one of the second, which is a slip. */
const mostly = <T>(good: readonly T[], slips: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 24, arbitrary: fc.constantFrom(...good) },
    { weight: 1, arbitrary: fc.constantFrom(...slips) },
  );

const network = (index: number) =>
  fc
    .record({
      six: fc.boolean(),
      third: mostly([index], [0]),
      gateway: rarely(mostly([`10.0.${index}.254`], ["10.9.9.9"])),
      vlan: mostly([undefined, 10 + index, 10 + index], [10, 11]),
      mtu: rarely(mostly([1500, 1400], [9000, 1000])),
      route: rarely(mostly(["10.99.0.0/16", "172.16.0.0/12"], ["default", "10.0.0.0/25", "fd00:99::/32"])),
      nameservers: rarely(mostly([["10.0.0.253"], ["fd00::53"]], [["nonsense"]])),
    })
    .map(({ six, third, gateway, vlan, mtu, route, nameservers }) => ({
      cidr: six ? [`10.0.${third}.0/24`, `fd00:${third}::/64`] : `10.0.${third}.0/24`,
      ...(gateway === undefined ? {} : { gateway }),
      ...(vlan === undefined ? {} : { vlan }),
      ...(mtu === undefined ? {} : { mtu }),
      ...(nameservers === undefined ? {} : { nameservers }),
      ...(route === undefined ? {} : { routes: [{ to: route, via: `10.0.${third}.251` }] }),
    }));

const macs = (...octets: string[]): string[] => octets.map((octet) => `52:54:00:00:00:${octet}`);
const bond = (own: readonly string[]) =>
  fc.record(
    {
      mode: mostly(["lacp"], ["active-backup"]),
      members: mostly([own, own.slice(1)], [macs("21", "22")]),
      hash: fc.constantFrom("layer2", "layer2+3", "layer3+4"),
    },
    { requiredKeys: ["mode", "members"] },
  );

const nic = (index: number) =>
  fc
    .record({
      over: often(mostly(["bond0", "bond1", "trunk"], ["management", "storage", "bond9"])),
      mac: mostly(macs(`5${index}`), macs("51", "21")),
      address: often(mostly(["4", "4"], ["6", "both", "dhcp", "slaac"])),
      bridge: rarely(mostly([`br${index}`], ["br0", "bond0"])),
      tagged: mostly<boolean | undefined>([undefined], [false, true]),
      mtu: mostly<number | undefined>([undefined], [1500, 9000]),
    })
    .map(({ over, mac: own, address, bridge, tagged, mtu }) => {
      const text = {
        "4": `10.0.${index}.7`,
        "6": `fd00:${index}::7`,
        dhcp: "dhcp",
        slaac: "slaac",
        both: "",
      };
      return {
        ...(over === undefined ? { mac: own } : { over }),
        ...(address === undefined
          ? {}
          : { address: address === "both" ? [text["4"], text["6"]] : text[address as keyof typeof text] }),
        ...(bridge === undefined ? {} : { bridge }),
        ...(tagged === undefined || over === undefined ? {} : { tagged }),
        ...(mtu === undefined ? {} : { mtu }),
      };
    });

const intent = fc
  .record({
    networks: fc.tuple(...names.map((_, index) => network(index))),
    interfaces: fc.tuple(...names.map((_, index) => nic(index))),
    present: fc.tuple(...names.map(() => fc.boolean())),
    bond0: bond(macs("21", "22")),
    bond1: bond(macs("23", "24")),
    trunk: mostly(macs("25"), macs("21")),
    unused: mostly([false], [true]),
    address: mostly<unknown>(["10.0.0.7"], ["dhcp", "10.0.0.255", "10.7.0.1", undefined]),
  })
  .map(({ networks, interfaces, present, bond0, bond1, trunk, unused, address }) => {
    const here = names.filter((name, index) => name === "management" || present[index]);
    const wanted = new Set(here.map((name) => (interfaces[names.indexOf(name)] as { over?: string }).over));
    const links = Object.fromEntries(
      Object.entries({ bond0, bond1, trunk: { mac: trunk } }).filter(([name]) => unused || wanted.has(name)),
    );
    return {
      networks: Object.fromEntries(here.map((name) => [name, networks[names.indexOf(name)]])),
      nodes: {
        n: {
          profile: "p",
          ...(Object.keys(links).length === 0 ? {} : { links }),
          interfaces: Object.fromEntries(
            here.map((name) => {
              const one = interfaces[names.indexOf(name)];
              return [name, name === "management" ? { ...one, address } : one];
            }),
          ),
        },
      },
    };
  });

/** What must hold of every plan, looked at without the code that made it. */
function soundness(plan: NodePlan): string[] {
  const wrong: string[] = [];
  const ids = plan.devices.map(({ id }) => id);
  if (new Set(ids).size !== ids.length) wrong.push(`a device twice: ${ids.join(" ")}`);
  const used = new Map<string, string>();
  const defaults = { 4: 0, 6: 0 };
  for (const device of plan.devices) {
    const below = device.kind === "bond" ? device.members : device.kind === "bridge" ? [device.port] : [];
    for (const id of below) {
      if (!ids.includes(id)) wrong.push(`${device.id} lies over ${id}, which is not there`);
      if (used.has(id)) wrong.push(`${id} belongs to ${device.id} and ${used.get(id)}`);
      used.set(id, device.id);
      if (plan.devices.find((one) => one.id === id)?.ip !== null)
        wrong.push(`${id} has addresses below ${device.id}`);
    }
    if (device.kind === "vlan") {
      const parent = plan.devices.find(({ id }) => id === device.link);
      if (parent === undefined) wrong.push(`${device.id} lies over ${device.link}, which is not there`);
      else if ((device.mtu ?? 1500) > (parent.mtu ?? 1500))
        wrong.push(`${device.id} is larger than its parent`);
    }
    for (const { to } of device.ip?.routes ?? [])
      if (/^(0\.0\.0\.0|::)\/0$/.test(to)) defaults[to.includes(":") ? 6 : 4] += 1;
    if (device.ip?.dhcp4 === true && device.ip.dhcpRoutes) defaults[4] += 1;
    if (device.ip?.acceptRa === true) defaults[6] += 1;
  }
  for (const family of [4, 6] as const)
    if (defaults[family] > 1) wrong.push(`${defaults[family]} IPv${family} default routes`);
  if (plan.address !== "10.0.0.7") wrong.push(`the node has the address ${plan.address}`);
  return wrong;
}

suite("networks", (test) => {
  test("an intent is refused with a reason and a place, or its devices are sound and netplan takes them", async () => {
    const counts = { accepted: 0, refused: 0 };
    const codes = new Set<string>();
    const kinds = new Set<string>();
    await fc.assert(
      fc.asyncProperty(intent, async (site) => {
        const { plans, problems } = await compileSite(site);
        if (problems.length > 0) {
          counts.refused += 1;
          for (const { code, at, message } of problems) {
            codes.add(code);
            assert.ok(at !== null && at.line > 0 && message !== "", `${code} has no place`);
          }
          return;
        }
        const plan = plans.get("n");
        assert.ok(plan !== undefined);
        counts.accepted += 1;
        for (const { kind } of plan.devices) kinds.add(kind);
        assert.equal(soundness(plan), []);
        const { text } = networkConfig(plan).lines;
        if (noNetplan === null) assert.is(netplanRefuses(text), null, text);
      }),
      { numRuns: 150, seed: 11 },
    );
    console.log(
      `  ${counts.accepted} accepted, ${counts.refused} refused for ${[...codes].sort().join(" ")}`,
    );
    assert.ok(counts.accepted >= 30, `only ${counts.accepted} were accepted`);
    assert.ok(counts.refused >= 30, `only ${counts.refused} were refused`);
    assert.equal([...kinds].sort(), ["bond", "bridge", "card", "vlan"]);
    for (const code of ["bad-link", "bad-route", "bad-address", "bad-network", "bad-mtu", "unknown-link"])
      assert.ok(codes.has(code), `no intent was refused for ${code}`);
  });
  if (noNetplan !== null) test.skip(`netplan takes what is accepted (skipped: ${noNetplan})`, () => {});

  test("an addresses's text is the same however it was written, and only addresses are taken", () => {
    for (const [text, wanted] of [
      ["FD00:0:0::1", "fd00::1"],
      ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["::", "::"],
      ["10.0.0.1", "10.0.0.1"],
      ["10.0.0.01", null],
      ["10.1", null],
      ["0x0a000001", null],
      ["fe80::1%eth0", null],
      ["fd00::1::2", null],
      ["", null],
      ["fd00::12345", null],
    ] as const)
      assert.is(parseIp(text)?.text ?? null, wanted, text);
    for (const [text, wanted, hostBits] of [
      ["FD00::/64", "fd00::/64", false],
      ["fd00::1/64", "fd00::/64", true],
      ["10.0.0.0/24", "10.0.0.0/24", false],
      ["0.0.0.0/0", "0.0.0.0/0", false],
      ["10.0.0.0/33", null, false],
      ["fd00::/129", null, false],
      ["10.0.0.0", null, false],
      ["10.0.0.0/024", null, false],
    ] as const) {
      const found = parseRange(text);
      assert.is(found?.range.text ?? null, wanted, text);
      assert.is(found?.hostBits ?? false, hostBits, text);
    }
  });

  test("the addresses that hosts may have are those between the first and the last", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
        fc.integer({ min: 0, max: 128 }),
        (value, prefix) => {
          const text = `${formatIp(6, value)}/${prefix}`;
          const range = parseRange(text)?.range;
          const ip = parseIp(formatIp(6, value));
          assert.ok(range !== undefined && ip !== null && range.first <= value && value <= range.last, text);
          assert.is(ip.value, value);
          for (const end of hostsOf(range)) {
            const host = parseIp(end);
            assert.ok(host !== null && isHostIn(range, host), `${end} of ${text}`);
          }
        },
      ),
      { numRuns: 300, seed: 3 },
    );
  });

  test("templates see ranges, roles and providers", async () => {
    const { plans, problems } = await compileFiles({
      "profiles/p.yaml": "profile: p\nsummary: A node\ncomponents: [c]\n",
      "templates/components/c/component.yaml": `component: c
summary: Says what it sees
files:
  - path: /etc/seen
    template: |
      {{#node.roles.management.ranges}}allow {{cidr}} {{#ipv6}}six{{/ipv6}}{{^ipv6}}four{{/ipv6}}
      {{/node.roles.management.ranges}}
      overlay {{node.roles.overlay.address}} on {{node.roles.overlay.interface}} mtu {{node.roles.overlay.mtu}}
      storage {{node.roles.storage.name}}
      {{#node.providers}}{{name}}:{{interface}}:{{mtu}}{{^last}},{{/last}}{{/node.providers}}
      {{#site.providers}}{{name}} {{vlan}} {{cidr}};{{/site.providers}}
      {{node.networks.tunnels.vlan}} {{node.address}}
`,
      "sites/x/site.yaml": JSON.stringify({
        site: "x",
        target: "alpha-1",
        access: { users: [{ name: "ops", password: true }] },
        networks: {
          main: { role: "management", cidr: ["10.0.0.0/24", "fd00::/64"] },
          tunnels: { role: "overlay", cidr: "fd00:1::/64", vlan: 7, mtu: 1450 },
          provider: { cidr: "10.1.0.0/24", mtu: 9000 },
          outside: { role: "provider", cidr: "10.2.0.0/24" },
        },
        nodes: {
          n: {
            profile: "p",
            interfaces: {
              main: { mac: "52:54:00:00:00:01", address: ["10.0.0.1", "fd00::1"] },
              tunnels: { over: "main", address: "fd00:1::1" },
              provider: { mac: "52:54:00:00:00:02" },
              outside: { mac: "52:54:00:00:00:03", bridge: "br-ex" },
            },
          },
        },
      }),
    });
    assert.equal(problems, []);
    const content = plans.get("n")?.files[0]?.content;
    assert.is(
      content?.kind === "whole" ? content.text : "",
      [
        "allow 10.0.0.0/24 four",
        "allow fd00::/64 six",
        "overlay fd00:1::1 on tunnels mtu 1450",
        "storage main",
        "provider:provider:9000,outside:br-ex:1500",
        "provider  10.1.0.0/24;outside  10.2.0.0/24;",
        "7 10.0.0.1",
        "",
      ].join("\n"),
    );
  });
});

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import * as assert from "uvu/assert";
import type { Artifact } from "../../src/emit/lines.ts";
import { readFat } from "../../src/verify/fat-reader.ts";
import {
  differenceFromGolden,
  exampleTargets,
  golden,
  listFiles,
  networkGoldens,
  networksSite,
} from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const env = {
  ...process.env,
  LC_ALL: "C.UTF-8",
  PATH: [process.env["PATH"], "/usr/sbin", "/sbin"].join(delimiter),
};
const has = (tool: string, argument: string): boolean =>
  spawnSync(tool, [argument], { env }).error === undefined;

const textOf = (artifacts: readonly Artifact[] | undefined, name: string): string =>
  new TextDecoder().decode(artifacts?.find((one) => one.name === name)?.bytes);

/** What a tool makes of a node's network: its files by their names. */
function made(
  tool: (folder: string) => readonly string[],
  input: string,
  inputName: string,
): Map<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-net-"));
  try {
    mkdirSync(join(folder, "etc", "netplan"), { recursive: true });
    writeFileSync(join(folder, inputName), input, { mode: 0o600 });
    const [command = "", ...args] = tool(folder);
    const done = spawnSync(command, args, { encoding: "utf8", env });
    assert.is(done.status, 0, `${command} ${args.join(" ")}: ${done.stdout}${done.stderr}`);
    const found = new Map<string, string>();
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) found.set(entry.name, readFileSync(join(entry.parentPath, entry.name), "utf8"));
    return found;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const wrapped = (networkConfig: string): string => `network:\n${networkConfig.replace(/^(?=.)/gm, "  ")}`;

/** What netplan made of a text already: some targets have the same one. */
const knownToNetplan = new Map<string, Map<string, string>>();

const netplan = (networkConfig: string): Map<string, string> => {
  let files = knownToNetplan.get(networkConfig);
  if (files === undefined) {
    files = made(
      (folder) => ["netplan", "generate", "--root-dir", folder],
      wrapped(networkConfig),
      "etc/netplan/50-cloud-init.yaml",
    );
    knownToNetplan.set(networkConfig, files);
  }
  return files;
};

/** cloud-init's own renderers, which are in use where there is no netplan. */
const converted = (
  input: string,
  kind: "yaml" | "network_data.json",
  renderer: string,
  macs: readonly string[] = [],
) =>
  made(
    (folder) => [
      ...[
        "cloud-init",
        "devel",
        "net-convert",
        "-p",
        join(folder, "input"),
        "-k",
        kind,
        "-d",
        join(folder, "out"),
      ],
      ...["-D", "debian", "-O", renderer, ...macs.flatMap((mac) => ["-m", mac])],
    ],
    kind === "yaml" ? wrapped(input) : input,
    "input",
  );

const part = (files: ReadonlyMap<string, string>, name: string): string => {
  const text = files.get(name);
  assert.ok(text !== undefined, `${name} is not among ${[...files.keys()].join(" ")}`);
  return text ?? "";
};

suite("network-config", (test) => {
  test("is its golden for every form of network", async () => {
    const { nodes } = await networksSite();
    const goldens = networkGoldens(nodes);
    for (const [path, text] of goldens) assert.is(differenceFromGolden(path, text), null);
    assert.equal(
      listFiles(golden).filter((path) => path.startsWith("networks/")),
      goldens.map(([path]) => path).sort(),
    );
  });

  if (has("netplan", "info")) {
    test("netplan makes the devices of every target's", async () => {
      for (const target of exampleTargets()) {
        const { nodes } = await networksSite(target);
        for (const [, artifacts] of nodes) netplan(textOf(artifacts, "network-config"));
        const files = netplan(textOf(nodes.get("bonded"), "network-config"));
        // The card's own address, as a bond gives all its cards one.
        assert.match(
          part(files, "10-netplan-bond0p1.network"),
          /PermanentMACAddress=52:54:00:20:00:01\nName=bond0p1/,
        );
        assert.match(part(files, "10-netplan-bond0p1.network"), /RequiredForOnline=no/);
        assert.match(part(files, "10-netplan-bond0p2.link"), /\nName=bond0p2\n[\s\S]*MTUBytes=1600/);
        const bond = part(files, "10-netplan-bond0.netdev");
        for (const line of ["Mode=802.3ad", "LACPTransmitRate=fast", "MIIMonitorSec=100ms", "MTUBytes=1600"])
          assert.ok(bond.includes(`${line}\n`), bond);
        const network = part(files, "10-netplan-bond0.network");
        assert.not.match(network, /RequiredForOnline/);
        assert.match(network, /Address=fd00:20::1\/64/);
        assert.match(network, /VLAN=overlay/);
        assert.match(network, /DNS=fd00:20::fe/);
        assert.match(network, /(Destination=::\/0\n)?Gateway=fd00:20::fe/);
        assert.match(part(files, "10-netplan-storage.netdev"), /MTUBytes=1500[\s\S]*Id=120/);
        assert.match(part(files, "10-netplan-provider.network"), /Bridge=br-provider/);
        assert.match(part(files, "10-netplan-br-provider.network"), /RequiredForOnline=no/);
        const single = netplan(textOf(nodes.get("single"), "network-config"));
        assert.match(
          part(single, "10-netplan-office.network"),
          /DHCP=ipv4[\s\S]*ClientIdentifier=mac[\s\S]*UseRoutes=false/,
        );
        assert.match(
          part(single, "10-netplan-control.link"),
          /PermanentMACAddress=52:54:00:20:02:01[\s\S]*Name=control/,
        );
      }
    });
  } else test.skip("netplan makes the devices (skipped: it is not installed)", () => {});

  if (has("cloud-init", "--version")) {
    test("cloud-init's own renderers make of Debian 12's what they can: all by ifupdown, cards alone by networkd", async () => {
      const { nodes } = await networksSite("debian-12");
      const eni = part(
        converted(textOf(nodes.get("bonded"), "network-config"), "yaml", "eni"),
        "50-cloud-init",
      );
      const stanza = (name: string): string =>
        eni.split(/\n(?=auto |iface )/).find((one) => one.startsWith(`iface ${name} `)) ?? "";
      assert.match(stanza("bond0p1"), /bond-master bond0[\s\S]*bond-mode 802.3ad[\s\S]*mtu 1600/);
      assert.match(stanza("bond0"), /address 10.20.0.1\/24[\s\S]*route add default gw 10.20.0.254/);
      assert.match(eni, /iface bond0 inet6 static\n +address fd00:20::1\/64\n(.*\n)? *gateway fd00:20::fe/);
      assert.not.match(eni, /::\/64 gw/);
      assert.match(stanza("storage"), /address 10.20.1.1\/24[\s\S]*vlan-raw-device bond0\n +vlan_id 120/);
      assert.match(stanza("overlay"), /address fd00:22::1\/64/);
      assert.match(stanza("br-provider"), /bridge_ports provider/);
      const single = converted(textOf(nodes.get("single"), "network-config"), "yaml", "networkd");
      const control = part(single, "10-cloud-init-control.network");
      assert.match(
        control,
        /Address=10.20.0.3\/24[\s\S]*MTUBytes=1600[\s\S]*Name=control[\s\S]*DNS=10.20.0.254 fd00:20::fe/,
      );
      assert.match(control, /Destination=10.99.0.0\/16\n+Gateway=10.20.0.253/);
    });

    test("cloud-init makes of network_data.json the devices that network-config has", async () => {
      const { nodes } = await networksSite();
      const drive = nodes.get("driven")?.find(({ name }) => name === "config-drive.img");
      const data = readFat(drive?.bytes ?? new Uint8Array()).files.find(({ name }) =>
        name.endsWith("network_data.json"),
      );
      const macs = ["bond0p1,52:54:00:20:01:01", "bond0p2,52:54:00:20:01:02", "trunk,52:54:00:20:01:03"];
      const text = part(
        converted(new TextDecoder().decode(data?.bytes), "network_data.json", "netplan", macs),
        "50-cloud-init.yaml",
      );
      for (const line of [
        "mode: active-backup",
        "primary: bond0p2",
        "mtu: 1600",
        "- fd00:20::2/64",
        "to: 10.99.0.0/16",
        "to: ::/0",
        "bond0.120:",
        "id: 120",
        "link: trunk",
        "trunk.140:",
        "set-name: bond0p1",
      ])
        assert.ok(text.includes(line), `${line} is not in\n${text}`);
      if (has("netplan", "info"))
        made(
          (folder) => ["netplan", "generate", "--root-dir", folder],
          text,
          "etc/netplan/50-cloud-init.yaml",
        );
    });
  } else test.skip("cloud-init's own renderers take it (skipped: cloud-init is not installed)", () => {});
});

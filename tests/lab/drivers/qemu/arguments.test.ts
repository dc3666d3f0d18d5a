import * as assert from "uvu/assert";
import {
  diskCommand,
  hubArguments,
  type MachineCommand,
  machineArguments,
  probeArguments,
} from "../../../../src/lab/drivers/qemu/arguments.ts";
import { quoted, remoteCommand, sshCommand, type Way } from "../../../../src/lab/drivers/qemu/ssh.ts";
import { suite } from "../../../support/suite.ts";

const machine: MachineCommand = {
  title: "seedsmith-ab12-con01",
  accelerator: "tcg",
  cpus: 4,
  memory: 8192,
  firmware: null,
  disk: "/b/lab/machines/con01/disk.qcow2",
  seed: "/b/lab/machines/con01/seed.iso",
  console: "/b/lab/machines/con01/console.log",
  control: "/tmp/s/q0",
  interfaces: [
    { mac: "52:54:00:0a:00:01", cable: { kind: "sockets", own: "/tmp/s/m0n0", peer: "/tmp/s/h0n0" } },
    { mac: "52:54:00:cb:00:01", cable: { kind: "tap", name: "m0n1" } },
    { mac: "52:54:00:cc:00:01", cable: { kind: "multicast", group: "239.1.2.3", port: 20002 } },
  ],
  credentials: { "ssh.authorized_keys.root": "ssh-ed25519 AAAA lab\n" },
};

suite("the command line of a qemu machine", (test) => {
  test("has its size, disk, seed, console, cables and key", () => {
    assert.equal(machineArguments(machine), [
      "qemu-system-x86_64",
      ...["-name", "guest=seedsmith-ab12-con01", "-nodefaults", "-no-user-config", "-display", "none"],
      ...["-qmp", "unix:/tmp/s/q0,server=on,wait=off"],
      ...["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "4", "-m", "8192"],
      "-smbios",
      "type=11,value=io.systemd.credential.binary:ssh.authorized_keys.root=c3NoLWVkMjU1MTkgQUFBQSBsYWIK",
      "-blockdev",
      '{"driver":"file","node-name":"disk-file","filename":"/b/lab/machines/con01/disk.qcow2","discard":"unmap","cache":{"no-flush":true}}',
      "-blockdev",
      '{"driver":"qcow2","node-name":"disk","file":"disk-file","discard":"unmap"}',
      ...["-device", "virtio-blk-pci,drive=disk,bootindex=0"],
      "-blockdev",
      '{"driver":"file","node-name":"seed-file","filename":"/b/lab/machines/con01/seed.iso","read-only":true}',
      "-blockdev",
      '{"driver":"raw","node-name":"seed","file":"seed-file","read-only":true}',
      ...["-device", "virtio-blk-pci,drive=seed"],
      ...["-chardev", "file,id=console,append=on,path=/b/lab/machines/con01/console.log"],
      ...["-serial", "chardev:console", "-device", "virtio-rng-pci"],
      "-netdev",
      '{"type":"dgram","id":"net0","local":{"type":"unix","path":"/tmp/s/m0n0"},"remote":{"type":"unix","path":"/tmp/s/h0n0"}}',
      ...["-device", "virtio-net-pci,netdev=net0,mac=52:54:00:0a:00:01,romfile="],
      ...["-netdev", "tap,id=net1,ifname=m0n1,script=no,downscript=no"],
      ...["-device", "virtio-net-pci,netdev=net1,mac=52:54:00:cb:00:01,romfile="],
      ...["-netdev", "socket,id=net2,mcast=239.1.2.3:20002,localaddr=127.0.0.1"],
      ...["-device", "virtio-net-pci,netdev=net2,mac=52:54:00:cc:00:01,romfile="],
    ]);
  });

  test("has UEFI with settings of its own, where that is asked for", () => {
    const argv = machineArguments({
      ...machine,
      firmware: { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", settings: "/b/lab/a,b/uefi-settings.fd" },
    });
    const at = argv.indexOf("-drive");
    assert.equal(argv.slice(at, at + 4), [
      "-drive",
      "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
      "-drive",
      "if=pflash,unit=1,format=raw,file=/b/lab/a,,b/uefi-settings.fd",
    ]);
  });

  test("uses the host's processor with its help only", () => {
    const of = (accelerator: MachineCommand["accelerator"]) => {
      const argv = machineArguments({ ...machine, accelerator });
      const at = argv.indexOf("-accel");
      return argv.slice(at, at + 4);
    };
    assert.equal(of("kvm"), ["-accel", "kvm", "-cpu", "host"]);
    assert.equal(of("hvf"), ["-accel", "hvf", "-cpu", "host"]);
  });
});

suite("the command line of the hub", (test) => {
  test("joins each network's cables, and its way out", () => {
    const argv = hubArguments("seedsmith-ab12-hub", "/tmp/s/hub", [
      {
        segment: {
          name: "management",
          cidr: "10.0.0.0/24",
          gateway: "10.0.0.254",
          open: true,
          user: { host: "10.0.0.253", dns: "10.0.0.254" },
        },
        cables: [{ kind: "sockets", own: "/tmp/s/h0n0", peer: "/tmp/s/m0n0" }],
      },
      {
        segment: { name: "storage", cidr: "10.1.0.0/24", gateway: null, open: false, user: null },
        cables: [{ kind: "sockets", own: "/tmp/s/h0n1", peer: "/tmp/s/m0n1" }],
      },
    ]);
    assert.equal(argv.slice(argv.indexOf("-machine")), [
      ...["-machine", "none"],
      ...["-netdev", "user,id=way0,net=10.0.0.0/24,host=10.0.0.253,dns=10.0.0.254,ipv6=off,restrict=off"],
      ...["-netdev", "hubport,id=way0-port,hubid=0,netdev=way0"],
      "-netdev",
      '{"type":"dgram","id":"n0c0","local":{"type":"unix","path":"/tmp/s/h0n0"},"remote":{"type":"unix","path":"/tmp/s/m0n0"}}',
      ...["-netdev", "hubport,id=n0c0-port,hubid=0,netdev=n0c0"],
      "-netdev",
      '{"type":"dgram","id":"n1c0","local":{"type":"unix","path":"/tmp/s/h0n1"},"remote":{"type":"unix","path":"/tmp/s/m0n1"}}',
      ...["-netdev", "hubport,id=n1c0-port,hubid=1,netdev=n1c0"],
    ]);
  });

  test("keeps a network closed that has no gateway, and lets people log in by it", () => {
    const argv = hubArguments("t", "/tmp/s/hub", [
      {
        segment: {
          name: "management",
          cidr: "10.0.0.0/24",
          gateway: null,
          open: false,
          user: { host: "10.0.0.254", dns: "10.0.0.253" },
        },
        cables: [],
      },
    ]);
    assert.match(argv.join(" "), "host=10.0.0.254,dns=10.0.0.253,ipv6=off,restrict=on");
  });
});

suite("other command lines of the qemu driver", (test) => {
  test("a disk is an empty layer over an image", () => {
    assert.equal(diskCommand("/l/disk.qcow2", { disk: "/c/disk.qcow2", format: "qcow2" }, 40), [
      ...["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/c/disk.qcow2", "-F", "qcow2"],
      ...["/l/disk.qcow2", "40G"],
    ]);
  });

  test("a probe starts a real kernel, or a whole image where there is no kernel beside it", () => {
    const begin = [
      ...["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ...["-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "1024", "-serial", "stdio"],
    ];
    assert.equal(probeArguments("kvm", { kernel: "/c/vmlinuz", initrd: "/c/initrd.img" }), [
      ...begin,
      ...["-kernel", "/c/vmlinuz", "-initrd", "/c/initrd.img", "-append", "console=ttyS0 panic=-1"],
    ]);
    assert.equal(probeArguments("kvm", { disk: "/c/d.qcow2", format: "qcow2" }), [
      ...begin,
      ...["-snapshot", "-drive", "if=virtio,file=/c/d.qcow2,format=qcow2"],
    ]);
  });

  const way: Way = {
    within: [],
    host: "127.0.0.1",
    port: 40022,
    user: "root",
    key: "/l/key",
    known: "/l/known_hosts",
    shared: "/tmp/s/s0",
  };

  test("a person logs in by the lab's key on the forwarded port", () => {
    assert.equal(sshCommand(way), [
      ...["ssh", "-p", "40022", "-o", "StrictHostKeyChecking=accept-new"],
      ...["-o", "UserKnownHostsFile=/l/known_hosts", "-i", "/l/key", "-o", "IdentitiesOnly=yes"],
      "root@127.0.0.1",
    ]);
  });

  test("a command reaches the machine word by word, and asks nobody", () => {
    const argv = remoteCommand(way, ["sh", "-c", "echo 'a  b' $HOME", ""]);
    assert.equal(argv.slice(-3), ["root@127.0.0.1", "--", "sh -c 'echo '\\''a  b'\\'' $HOME' ''"]);
    assert.match(argv.join(" "), "-F /dev/null");
    assert.match(argv.join(" "), "BatchMode=yes");
    assert.match(argv.join(" "), "ControlPath=/tmp/s/s0");
    assert.is(quoted("it's"), "'it'\\''s'");
    assert.not.ok(argv.includes("-t"));
    // With the terminal, for who sits at one.
    assert.ok(remoteCommand(way, ["bash"], true).includes("-t"));
  });

  test("where the system takes no key of the lab, the site's user becomes root", () => {
    const argv = remoteCommand({ ...way, user: "ops", key: null, within: ["nsenter", "--"] }, ["id", "-u"]);
    assert.equal(argv.slice(-3), ["ops@127.0.0.1", "--", "sudo -n -- id -u"]);
    assert.equal(argv.slice(0, 3), ["nsenter", "--", "ssh"]);
    assert.not.ok(argv.includes("-i"));
    // A person's own configuration knows that person's keys.
    assert.not.ok(argv.includes("-F"));
  });
});

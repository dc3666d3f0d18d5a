/** Every command line of qemu that the driver uses, as a value. */
import type { Segment } from "./segments.ts";

/** How the guest's processors are made. */
export type Accelerator = "kvm" | "hvf" | "tcg";

/** A cable between a machine's interface and the lab. */
export type Cable =
  /** Frames as datagrams between two sockets of the file system, which belong to this lab alone. */
  | { readonly kind: "sockets"; readonly own: string; readonly peer: string }
  /** Frames as multicast on the loopback interface, for a qemu before 7.2. */
  | { readonly kind: "multicast"; readonly group: string; readonly port: number }
  /** A tap interface that exists. */
  | { readonly kind: "tap"; readonly name: string };

/** Where UEFI is: its code, and the machine's own copy of its settings. */
export interface Firmware {
  readonly code: string;
  readonly settings: string;
}

export interface MachineCommand {
  /** Shown in lists of processes. */
  readonly title: string;
  readonly accelerator: Accelerator;
  readonly cpus: number;
  /** MiB. */
  readonly memory: number;
  /** Null for BIOS. */
  readonly firmware: Firmware | null;
  /** The machine's own disk: qcow2 on top of an image. */
  readonly disk: string;
  readonly seed: string;
  readonly console: string;
  /** Socket on which qemu is asked and told. */
  readonly control: string;
  readonly interfaces: readonly { readonly mac: string; readonly cable: Cable }[];
  /** What systemd reads before anything else of the guest runs, by name. */
  readonly credentials: Readonly<Record<string, string>>;
}

/** An option's value in the form `key=value,...`, where a comma in a value is doubled. */
function properties(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([key, value]) => `${key}=${String(value).replaceAll(",", ",,")}`)
    .join(",");
}

/** The end of a cable as a network of qemu's. */
function network(id: string, cable: Cable): string {
  switch (cable.kind) {
    case "sockets":
      return JSON.stringify({
        type: "dgram",
        id,
        local: { type: "unix", path: cable.own },
        remote: { type: "unix", path: cable.peer },
      });
    case "multicast":
      return `socket,${properties({ id, mcast: `${cable.group}:${cable.port}`, localaddr: "127.0.0.1" })}`;
    case "tap":
      return `tap,${properties({ id, ifname: cable.name, script: "no", downscript: "no" })}`;
  }
}

/** What every qemu of a lab is started with. */
function common(title: string, control: string): string[] {
  return [
    ...["qemu-system-x86_64", "-name", `guest=${title.replaceAll(",", ",,")}`],
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    ...["-qmp", `${properties({ unix: control }).replace("unix=", "unix:")},server=on,wait=off`],
  ];
}

/** The processor of an accelerator. */
export function processor(accelerator: Accelerator): string[] {
  return accelerator === "tcg"
    ? ["-accel", "tcg,thread=multi", "-cpu", "max"]
    : ["-accel", accelerator, "-cpu", "host"];
}

/** The command line of a machine. */
export function machineArguments(command: MachineCommand): string[] {
  const { firmware, interfaces, credentials } = command;
  const drive = (
    node: string,
    format: string,
    file: string,
    more: object,
    fileMore: object = {},
  ): string[] => [
    "-blockdev",
    JSON.stringify({ driver: "file", "node-name": `${node}-file`, filename: file, ...more, ...fileMore }),
    "-blockdev",
    JSON.stringify({ driver: format, "node-name": node, file: `${node}-file`, ...more }),
  ];
  return [
    ...common(command.title, command.control),
    ...["-machine", "q35", ...processor(command.accelerator)],
    ...["-smp", String(command.cpus), "-m", String(command.memory)],
    ...(firmware === null
      ? []
      : [
          "-drive",
          `if=pflash,unit=0,format=raw,readonly=on,${properties({ file: firmware.code })}`,
          "-drive",
          `if=pflash,unit=1,format=raw,${properties({ file: firmware.settings })}`,
        ]),
    ...Object.entries(credentials).flatMap(([name, value]) => [
      "-smbios",
      `type=11,value=io.systemd.credential.binary:${name}=${Buffer.from(value).toString("base64")}`,
    ]),
    // What the guest flushes leaves qemu, and so survives a kill of qemu; the host's own disk is not waited for.
    ...drive("disk", "qcow2", command.disk, { discard: "unmap" }, { cache: { "no-flush": true } }),
    ...["-device", "virtio-blk-pci,drive=disk,bootindex=0"],
    ...drive("seed", "raw", command.seed, { "read-only": true }),
    ...["-device", "virtio-blk-pci,drive=seed"],
    ...["-chardev", `file,id=console,append=on,${properties({ path: command.console })}`],
    ...["-serial", "chardev:console", "-device", "virtio-rng-pci"],
    ...interfaces.flatMap(({ mac, cable }, index) => [
      ...["-netdev", network(`net${index}`, cable)],
      // No option ROM: it would ask the network for something to boot first.
      ...["-device", `virtio-net-pci,${properties({ netdev: `net${index}`, mac, romfile: "" })}`],
    ]),
  ];
}

/** A network as the hub joins it. */
export interface HubNetwork {
  readonly segment: Segment;
  /** The hub's ends of cables. */
  readonly cables: readonly Cable[];
}

/**
 * The command line of the hub: a qemu without a machine, in which the cables of each network meet, together with
 * qemu's user network as its way out.
 */
export function hubArguments(title: string, control: string, networks: readonly HubNetwork[]): string[] {
  return [
    ...common(title, control),
    ...["-machine", "none"],
    ...networks.flatMap(({ segment, cables }, hub) => [
      ...(segment.user === null
        ? []
        : [
            "-netdev",
            `user,${properties({
              id: `way${hub}`,
              net: segment.cidr,
              host: segment.user.host,
              dns: segment.user.dns,
              ipv6: "off",
              restrict: segment.open ? "off" : "on",
            })}`,
            "-netdev",
            `hubport,id=way${hub}-port,hubid=${hub},netdev=way${hub}`,
          ]),
      ...cables.flatMap((cable, index) => [
        ...["-netdev", network(`n${hub}c${index}`, cable)],
        ...["-netdev", `hubport,id=n${hub}c${index}-port,hubid=${hub},netdev=n${hub}c${index}`],
      ]),
    ]),
  ];
}

/** What qemu-img makes a machine's disk with: an empty layer over an image. */
export function diskCommand(
  disk: string,
  image: { readonly disk: string; readonly format: string },
  size: number,
): string[] {
  return [
    ...["qemu-img", "create", "-q", "-f", "qcow2"],
    ...["-b", image.disk, "-F", image.format, disk, `${size}G`],
  ];
}

/** A guest whose kernel shows whether an accelerator really runs one: without disk, for a moment. */
export function probeArguments(
  accelerator: Accelerator,
  guest:
    | { readonly kernel: string; readonly initrd: string }
    | { readonly disk: string; readonly format: string },
): string[] {
  return [
    ...["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-machine", "q35", ...processor(accelerator), "-m", "1024", "-serial", "stdio"],
    ...("kernel" in guest
      ? ["-kernel", guest.kernel, "-initrd", guest.initrd, "-append", "console=ttyS0 panic=-1"]
      : ["-snapshot", "-drive", `if=virtio,${properties({ file: guest.disk, format: guest.format })}`]),
  ];
}

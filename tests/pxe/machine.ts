/** A machine that boots from nothing but the network, and then from what that has put on its disk. */
import type { ChildProcess } from "node:child_process";
import { closeSync, copyFileSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { must } from "../../src/lab/command.ts";
import { processor } from "../../src/lab/drivers/qemu/arguments.ts";
import { uefi } from "../../src/lab/drivers/qemu/firmware.ts";
import type { Segment } from "./segment.ts";

export interface MachineChoice {
  readonly name: string;
  readonly mac: string;
  readonly firmware: "bios" | "uefi";
  /** Whether the card brings iPXE, as qemu's do; without it UEFI uses its own, and BIOS cannot boot from the network. */
  readonly optionRom: boolean;
  /** UEFI without PXE, so that it is HTTP that it boots by. */
  readonly httpOnly?: true;
}

export class Machine {
  readonly name: string;
  readonly #choice: MachineChoice;
  readonly #folder: string;
  readonly #segment: Segment;
  #process: ChildProcess | null = null;

  constructor(choice: MachineChoice, folder: string, segment: Segment) {
    this.name = choice.name;
    this.#choice = choice;
    this.#folder = folder;
    this.#segment = segment;
  }

  get #disk(): string {
    return join(this.#folder, `${this.name}.qcow2`);
  }

  get #log(): string {
    return join(this.#folder, `${this.name}.console`);
  }

  /** Switches it on with an empty disk. The firmware asks the network first, at every start. */
  async start(): Promise<void> {
    const { mac, firmware, optionRom, httpOnly } = this.#choice;
    await must(["qemu-img", "create", "-q", "-f", "qcow2", this.#disk, "4G"]);
    const tap = await this.#segment.tap();
    const place = uefi();
    const settings = join(this.#folder, `${this.name}.fd`);
    if (firmware === "uefi" && place !== null) copyFileSync(place.settings, settings);
    const log = openSync(join(this.#folder, `${this.name}.qemu`), "a");
    this.#process = this.#segment.start(
      [
        ...["nice", "-n", "5", "qemu-system-x86_64", "-name", `seedsmith-pxe-${this.name}`],
        // Without graphics SeaBIOS, and so loaders on it, write to the serial line.
        ...["-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,graphics=off"],
        // As firmware in a rack does: when the network has brought nothing and the disk is empty, it begins again.
        ...["-boot", "reboot-timeout=20000"],
        ...processor("tcg"),
        ...["-smp", "2", "-m", "1024"],
        ...(firmware === "bios"
          ? []
          : [
              ...["-drive", `if=pflash,unit=0,format=raw,readonly=on,file=${place?.code}`],
              ...["-drive", `if=pflash,unit=1,format=raw,file=${settings}`],
            ]),
        ...(httpOnly === true
          ? ["IPv4PXESupport", "IPv6PXESupport"].flatMap((name) => [
              "-fw_cfg",
              `name=opt/org.tianocore/${name},string=no`,
            ])
          : []),
        ...["-drive", `file=${this.#disk},if=none,id=disk,format=qcow2,cache=unsafe`],
        ...["-device", "virtio-blk-pci,drive=disk,bootindex=2"],
        ...["-netdev", `tap,id=net,ifname=${tap},script=no,downscript=no`],
        ...["-device", `virtio-net-pci,netdev=net,mac=${mac},bootindex=1${optionRom ? "" : ",romfile="}`],
        ...["-chardev", `file,id=console,append=on,path=${this.#log}`, "-serial", "chardev:console"],
        ...["-device", "virtio-rng-pci"],
      ],
      { log },
    );
    closeSync(log);
  }

  /** What it has said on its serial line, over all its boots. */
  console(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, "latin1") : "";
  }

  /** Leaves its console in a folder. */
  keep(folder: string): void {
    if (existsSync(this.#log)) copyFileSync(this.#log, join(folder, `${this.name}.console`));
  }

  get on(): boolean {
    return this.#process !== null && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  stop(): void {
    this.#process?.kill("SIGKILL");
  }
}

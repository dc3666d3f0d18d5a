/** Two virtual machines, joined by cables, each with one disk more than its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../../src/lab/command.ts";
import { imageObstacle, obtainImage } from "../../src/lab/images/obtain.ts";

const repository = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** Where images are kept between runs. */
export const cache: string = process.env["SEEDSMITH_CACHE"] ?? join(repository, ".cache");

const target = { name: "debian-12", family: "debian", version: "12", codename: "bookworm" } as const;

/** Why machines cannot be booted here, or null. */
export async function obstacle(): Promise<string | null> {
  const qemu = await run(["qemu-system-x86_64", "--version"]).catch(() => null);
  if (qemu === null || qemu.status !== 0)
    return "qemu-system-x86_64 is missing: apt-get install qemu-system-x86";
  const found = await imageObstacle(target, cache);
  return found === null ? null : `${found.message}; ${found.hint}`;
}

export interface Wired {
  readonly name: string;
  /** The other end of its cables. */
  readonly peer: string;
  readonly macs: readonly string[];
  /** The image with its seed, which it sees as /dev/vdb. */
  readonly seed: string;
}

/** A machine that is on. */
export class Guest {
  readonly #process: ChildProcess;
  readonly #log: string;

  constructor(process: ChildProcess, log: string) {
    this.#process = process;
    this.#log = log;
  }

  /** What it printed on its serial line. */
  get console(): string {
    return existsSync(this.#log) ? readFileSync(this.#log, "latin1") : "";
  }

  /** The line with its verdict, or null as long as there is none. */
  get verdict(): string | null {
    return /SEEDSMITH \S+ (READY|FAILED).*/.exec(this.console)?.[0] ?? null;
  }

  get off(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

/** Switches a machine on; its disk is a layer that is gone afterwards. The folder has sockets and the console's log. */
export async function switchOn(
  folder: string,
  wired: Wired,
  progress: (line: string) => void,
): Promise<Guest> {
  const image = await obtainImage(target, cache, progress);
  const log = join(folder, `${wired.name}.log`);
  const cables = wired.macs.flatMap((mac, index) => {
    const end = (name: string): string => join(folder, `${name}.${index}`);
    return [
      "-netdev",
      `dgram,id=n${index},local.type=unix,local.path=${end(wired.name)},remote.type=unix,remote.path=${end(wired.peer)}`,
      // A bond counts a card as its partner's only if it is full-duplex, which this one does not say by itself. Without the
      // card's boot program: nothing is to be found on these cables.
      ...["-device", `virtio-net-pci,netdev=n${index},mac=${mac},speed=10000,duplex=full,romfile=`],
    ];
  });
  const child = spawn(
    "qemu-system-x86_64",
    [
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35"],
      ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "1024"],
      ...["-drive", `file=${image.disk},if=virtio,format=${image.format},snapshot=on`],
      ...["-drive", `file=${wired.seed},if=virtio,format=raw,readonly=on`],
      ...["-serial", `file:${log}`, ...cables],
    ],
    { stdio: "inherit" },
  );
  process.once("exit", () => child.kill("SIGKILL"));
  return new Guest(child, log);
}

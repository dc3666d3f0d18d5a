/** A virtual machine with blank disks, in which storage actions are applied and read back. */
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must, run } from "../../src/lab/command.ts";
import type { GuestRoot } from "./guest-root.ts";

/** A blank disk of the machine. */
export interface BlankDisk {
  readonly bus: "nvme" | "scsi";
  /** GiB; the file is sparse. */
  readonly size: number;
  readonly serial: string;
  readonly model?: string;
  readonly wwn?: string;
}

export interface Task {
  readonly name: string;
  readonly firmware: string;
  /** Shell commands that come before anything is written. */
  readonly before: readonly string[];
  readonly actions: readonly object[];
}

export interface Device {
  readonly path: string;
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly fstype: string | null;
  readonly label: string | null;
  readonly parttypename: string | null;
  readonly pttype: string | null;
  readonly mountpoint: string | null;
  readonly children?: readonly Device[];
}

export interface Applied {
  readonly name: string;
  readonly error?: string;
  /** Path of each disk by the id of its action. */
  readonly chosen: { readonly [id: string]: string };
  readonly lsblk: { readonly blockdevices: readonly Device[] };
  readonly groups: {
    readonly report: readonly { readonly vg: readonly { readonly [key: string]: string }[] }[];
  };
  /** Whether each disk that was not chosen begins as before. */
  readonly untouched: { readonly [path: string]: boolean };
  /** udev's ID_SERIAL by path. */
  readonly serials: { readonly [path: string]: string | null };
}

const controlSize = 4 * 2 ** 20;

/**
 * Applies tasks one after the other to the same disks: each finds what the one before has left.
 * @throws Error with the console's end when the machine gives no answer
 */
export async function applyStorage(
  root: GuestRoot,
  disks: readonly BlankDisk[],
  tasks: readonly Task[],
  progress: (line: string) => void,
): Promise<readonly Applied[]> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-storage-"));
  try {
    const control = join(folder, "control");
    const program = readFileSync(join(import.meta.dirname, "apply.py"), "utf8");
    const bytes = Buffer.alloc(controlSize);
    const length = bytes.write(JSON.stringify({ program, task: tasks }));
    if (length >= 2 ** 20) throw new Error("the tasks do not fit the control disk");
    const file = openSync(control, "w");
    writeSync(file, bytes);
    closeSync(file);
    const words: string[] = [];
    for (const [index, disk] of disks.entries()) {
      const image = join(folder, `disk${index}`);
      await must(["qemu-img", "create", "-q", "-f", "qcow2", image, `${disk.size}G`]);
      words.push("-drive", `if=none,id=disk${index},file=${image},format=qcow2,cache=unsafe,discard=unmap`);
      words.push(
        "-device",
        disk.bus === "nvme"
          ? `nvme,drive=disk${index},serial=${disk.serial}`
          : `scsi-hd,drive=disk${index},serial=${disk.serial}${disk.model === undefined ? "" : `,product=${disk.model}`}${disk.wwn === undefined ? "" : `,wwn=${disk.wwn}`}`,
      );
    }
    // What the machine prints, for as far as it came.
    let said = "";
    let shown = 0;
    const onOutput = (_: string, text: string): void => {
      said += text;
      for (let end = said.indexOf("\n", shown); end >= 0; end = said.indexOf("\n", shown)) {
        const line = said.slice(shown, end).trim();
        if (line.startsWith("storage: ")) progress(line.slice("storage: ".length));
        shown = end + 1;
      }
    };
    const ended = await run(
      [
        ...["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-smp", "1"],
        ...["-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio"],
        ...["-kernel", root.kernel, "-initrd", root.initrd],
        ...["-append", "root=/dev/vda rw console=ttyS0 quiet panic=-1 init=/sbin/apply-storage"],
        ...["-drive", `if=none,id=root,file=${root.image},format=raw,snapshot=on,cache=unsafe`],
        ...["-drive", `if=none,id=control,file=${control},format=raw,cache=unsafe`],
        // The root first: by the order of devices it is /dev/vda.
        ...["-device", "virtio-blk-pci,drive=root", "-device", "virtio-blk-pci,drive=control,serial=control"],
        ...["-device", "virtio-scsi-pci"],
        ...words,
      ],
      { timeout: 900, onOutput },
    ).then(
      () => "",
      (error: Error) => `: ${error.message}`,
    );
    const answer = Buffer.alloc(controlSize - 2 ** 20);
    const back = openSync(control, "r");
    readSync(back, answer, 0, answer.length, 2 ** 20);
    closeSync(back);
    const text = answer.toString("utf8").replace(/\0+$/, "");
    if (text === "")
      throw new Error(`the machine gave no answer${ended}; its console ends:\n${said.slice(-3000)}`);
    return JSON.parse(text) as readonly Applied[];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Whether this host's processors run guests themselves. A device node that opens, and even a small guest that
 * runs, prove nothing: only a real kernel that comes to its first program does.
 */
import { spawn } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { run } from "../../command.ts";
import { bootId } from "../../host.ts";
import { type Image, images } from "../../images/store.ts";
import { tethered } from "../../tether.ts";
import { toolEnvironment } from "../../tools.ts";
import { type Accelerator, probeArguments } from "./arguments.ts";

/** What was found out. */
export interface Finding {
  readonly accelerator: Accelerator;
  /** A few words for a person. */
  readonly reason: string;
}

/** Seconds that a real kernel may take to its first program; on processors that run it, it takes two. */
const patience = 25;

/** What the first programs of a guest print: the initial RAM disk's, or systemd itself. */
const firstWord = /Loading, please wait|systemd\[1\]:|dracut|Welcome to /;

/** How much slower guests are taken to be without the processors' help. As processor time 5 to 9 times was measured. */
export const slownessOf: Readonly<Record<Accelerator, number>> = { kvm: 1, hvf: 1, tcg: 8 };

/** What could run guests here, or why nothing can. */
function candidate(): { readonly accelerator: "kvm" | "hvf" } | { readonly reason: string } {
  if (process.arch !== "x64") return { reason: `guests are x86-64 and this host is ${process.arch}` };
  if (process.platform === "darwin") return { accelerator: "hvf" };
  if (!existsSync("/dev/kvm")) return { reason: "this host has no /dev/kvm" };
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return { reason: "/dev/kvm is not open to this user (group kvm)" };
  }
  return { accelerator: "kvm" };
}

/** What a guest for the probe is made of: the kernel of an image that was built here, or a whole image. */
function guestOf(image: Image): Parameters<typeof probeArguments>[1] {
  const [kernel, initrd] = [join(dirname(image.disk), "vmlinuz"), join(dirname(image.disk), "initrd.img")];
  return existsSync(kernel) && existsSync(initrd) ? { kernel, initrd } : image;
}

/**
 * Starts a guest and waits for its first program's first word.
 * @returns null when it came, else what came instead
 */
export function tryGuest(argv: readonly string[], seconds: number): Promise<string | null> {
  return new Promise((resolve) => {
    const [program = "", ...args] = argv;
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], env: toolEnvironment() });
    let printed = "";
    let errors = "";
    const end = (answer: string | null): void => {
      clearTimeout(timer);
      child.kill("SIGKILL");
      resolve(answer);
    };
    const timer = setTimeout(
      () =>
        end(
          printed.trim() === ""
            ? `a guest printed nothing in ${seconds} s`
            : `a guest's kernel did not come to its first program in ${seconds} s`,
        ),
      seconds * 1000,
    );
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
      if (firstWord.test(printed)) end(null);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors += text;
    });
    child.on("error", (error) => end(error.message));
    child.on("close", (status, signal) => {
      const last = errors.trim().split("\n").at(-1) ?? "";
      // An assertion of qemu's own names a line of its source, which helps nobody here.
      const words = last.includes("Assertion `") ? "" : last.replace(/^\S*qemu-system-x86_64: /, "");
      end(words || `qemu ended with ${signal ?? `status ${status}`}`);
    });
  });
}

/**
 * Finds out how guests run here; the answer holds until the host is booted again.
 * @param cache folder that keeps the answer; the guest is one of its images
 */
export async function accelerator(cache: string): Promise<Finding> {
  const found = candidate();
  if ("reason" in found) return { accelerator: "tcg", reason: found.reason };
  const name = found.accelerator.toUpperCase();
  const version = (await run(["qemu-system-x86_64", "--version"], { env: toolEnvironment() })).stdout;
  const about = { boot: bootId(), version: version.split("\n")[0] };
  const path = join(cache, "accelerator.json");
  try {
    const { finding, ...kept } = JSON.parse(readFileSync(path, "utf8")) as typeof about & {
      finding: Finding;
    };
    if (JSON.stringify(kept) === JSON.stringify(about)) return finding;
  } catch {}
  const image = images(cache)[0];
  if (image === undefined)
    return {
      accelerator: "tcg",
      reason: `whether ${name} works is found out once there is an image to boot`,
    };
  const failed = await tryGuest(tethered(probeArguments(found.accelerator, guestOf(image))), patience);
  const finding: Finding =
    failed === null
      ? { accelerator: found.accelerator, reason: "a guest was started with it" }
      : { accelerator: "tcg", reason: `with ${name} ${failed}` };
  mkdirSync(cache, { recursive: true });
  writeFileSync(`${path}.${process.pid}`, JSON.stringify({ ...about, finding }));
  renameSync(`${path}.${process.pid}`, path);
  return finding;
}

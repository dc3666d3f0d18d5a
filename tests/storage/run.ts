/**
 * `npm run test:storage`: applies the storage actions of every layout and firmware to the blank disks of a virtual
 * machine, and reads back what came of them. Needs root (to build the machine's system) and the packages of
 * scripts/boot-packages; says so and exits with 3 where they are missing.
 */
import { installed } from "../../src/lab/host.ts";
import { runFiles } from "../support/runner.ts";

const missing = [
  ...(process.getuid?.() === 0 ? [] : ["it needs root: mmdebstrap makes device nodes"]),
  ...[
    ["mmdebstrap", "mmdebstrap"],
    ["qemu-system-x86_64", "qemu-system-x86"],
    ["qemu-img", "qemu-utils"],
    ["mkfs.ext4", "e2fsprogs"],
  ]
    .filter(([tool = ""]) => !installed(tool, `${process.env["PATH"]}:/usr/sbin:/sbin`))
    .map(([tool, name]) => `${tool} is missing: apt-get install ${name}`),
];
if (missing.length > 0) {
  for (const line of missing) console.error(`test:storage: ${line}`);
  process.exit(3);
}
await runFiles((file) => /^storage\/.*\.machine\.ts$/.test(file), new RegExp(process.argv[2] ?? ""));

/**
 * `npm run test:pxe`: brings empty virtual machines from the network to READY, one way after the other. Takes minutes a
 * way without the processor's help. Needs root and the packages of scripts/boot-packages; exits with 3 where it cannot.
 */

import { uefi, uefiMissing } from "../../src/lab/drivers/qemu/firmware.ts";
import { installed } from "../../src/lab/host.ts";
import { runFiles } from "../support/runner.ts";

const missing = [
  ...(process.getuid?.() === 0 ? [] : ["it needs root: for a network of its own, and to build an image"]),
  ...[
    ["qemu-system-x86_64", "qemu-system-x86"],
    ["qemu-img", "qemu-utils"],
    ["dnsmasq", "dnsmasq-base"],
    ["mmdebstrap", "mmdebstrap"],
    ["ip", "iproute2"],
    ["curl", "curl"],
  ]
    .filter(([tool = ""]) => !installed(tool, `${process.env["PATH"]}:/usr/sbin:/sbin`))
    .map(([tool, name]) => `${tool} is missing: apt-get install ${name}`),
  ...(uefi() === null ? [`${uefiMissing.message}: ${uefiMissing.hint}`] : []),
];
if (missing.length > 0) {
  for (const line of missing) console.error(`test:pxe: ${line}`);
  process.exit(3);
}
// Broken off, it takes its machines down on the way out.
for (const name of ["SIGINT", "SIGTERM"] as const)
  process.once(name, () => process.exit(name === "SIGINT" ? 130 : 143));
await runFiles((file) => /^pxe\/.*\.machine\.ts$/.test(file), new RegExp(process.argv[2] ?? ""));
process.exit();

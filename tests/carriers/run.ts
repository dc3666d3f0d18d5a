/**
 * `npm run test:carriers`: boots two virtual machines from a FAT seed and a config drive. Takes some minutes without
 * the processor's help. Needs qemu and an image of debian-12, which it fetches or builds; exits with 3 where it cannot.
 */
import { runFiles } from "../support/runner.ts";
import { obstacle } from "./machines.ts";

const found = await obstacle();
if (found !== null) {
  console.error(`test:carriers: ${found}`);
  process.exit(3);
}
await runFiles((file) => /^carriers\/[^/]*\.qemu\.ts$/.test(file), new RegExp(process.argv[2] ?? ""));
process.exit();

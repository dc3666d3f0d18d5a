/** A FAT seed and a config drive, read by cloud-init on a real kernel; bonds, VLANs and a bridge that it makes. */
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";
import { type Guest, switchOn } from "./machines.ts";

const repository = join(import.meta.dirname, "..", "..");
/** Two machines without the processor's help, on a host that may be busy. */
const patience = 20 * 60_000;

suite("two machines, a FAT seed and a config drive", (test) => {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-wires-"));
  const guests: Guest[] = [];
  test.after(() => {
    for (const guest of guests) guest.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  test("both become READY: each was seeded, and reached over each network by the other", async () => {
    cpSync(join(import.meta.dirname, "site"), folder, { recursive: true });
    execFileSync(process.execPath, [join(repository, "dist", "cli.js"), "render"], {
      cwd: folder,
      stdio: "ignore",
    });
    const built = (...parts: string[]): string => join(folder, "build", "wires", ...parts);
    const macs = (pair: string): string[] =>
      ["01", "02", "03"].map((octet) => `52:54:00:20:${pair}:${octet}`);
    const say = (line: string): void => console.log(`  ${line}`);
    for (const wired of [
      { name: "one", peer: "two", macs: macs("00"), seed: built("one", "seed.img") },
      { name: "two", peer: "one", macs: macs("01"), seed: built("two", "config-drive.img") },
    ])
      guests.push(await switchOn(folder, wired, say));
    const begin = Date.now();
    while (guests.some((guest) => guest.verdict === null && !guest.off)) {
      if (Date.now() - begin > patience) break;
      await new Promise((done) => setTimeout(done, 1000));
    }
    for (const guest of guests) {
      say(`${guest.verdict ?? "no verdict"} after ${Math.round((Date.now() - begin) / 1000)} s`);
      assert.match(guest.verdict ?? "", / READY/, guest.console.slice(-4000));
    }
  });
});

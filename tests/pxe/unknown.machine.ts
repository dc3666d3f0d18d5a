import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";
import type { Machine, MachineChoice } from "./machine.ts";
import { ServedSite } from "./served.ts";

const patience = 10 * 60_000;

interface Stranger extends MachineChoice {
  readonly loader: string;
  /** What its firmware says when it goes on: with its empty disk, or, as GRUB's exit status is not heeded, with its menu. */
  readonly next: RegExp;
}

/** Machines that are in no site: one as each firmware boots. */
const strangers: readonly Stranger[] = [
  {
    ...{ name: "stranger01", mac: "52:54:00:3d:00:98", firmware: "bios", optionRom: true },
    ...{ loader: "iPXE", next: /Booting from Hard Disk/ },
  },
  {
    ...{ name: "stranger02", mac: "52:54:00:3d:00:99", firmware: "uefi", optionRom: false },
    ...{ loader: "GRUB", next: /BdsDxe: / },
  },
];

/** What stands on a machine's screen, with lines joined that were too long for it. */
function screen(machine: Machine): string {
  return machine.console().replaceAll(/\r?\n/g, "");
}

suite("a machine that is no node", (test) => {
  let site: ServedSite | null = null;
  test.before(async () => {
    site = await ServedSite.up((line) => console.log(`  ${line}`));
  });
  test.after(async () => await site?.down());

  for (const stranger of strangers)
    test(`${stranger.loader} shows it and which machine it is, the page lists it, and nothing is installed: its firmware goes on`, async () => {
      if (site === null) throw new Error("there is no site");
      const refusal = new RegExp(
        `seedsmith: the machine with mac ${stranger.mac}\\b.* is no node of the site pxe`,
      );
      const machine = await site.start(stranger);
      await site.until("its refusal", machine, null, patience, ({ strangers }) =>
        strangers.some(({ machine: shown }) => shown.includes(stranger.mac)) && refusal.test(screen(machine))
          ? true
          : null,
      );
      console.log(`  ${refusal.exec(screen(machine))?.[0]}`);
      await site.until("what its firmware boots next", machine, null, patience, () => {
        const [, after = ""] = screen(machine).split("going on with what the firmware boots next");
        return stranger.next.test(after) ? true : null;
      });
      machine.stop();
      assert.equal(
        (await site.status()).nodes.map(({ stage }) => stage).filter((stage) => stage !== "waiting"),
        [],
      );
      assert.not.match(machine.console(), /STAND-IN/);
    });
});

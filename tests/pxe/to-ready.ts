/** What holds for each way: from an empty disk over the network to READY, installed exactly once. */
import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";
import type { MachineChoice } from "./machine.ts";
import { ServedSite } from "./served.ts";

/** For a machine without the processor's help, on a host that may be busy. */
const patience = 25 * 60_000;

export interface Way extends MachineChoice {
  /** The loader that asks for the entries, as the server names it. */
  readonly loader: string;
  /** What the log of DHCP, TFTP and HTTP has of it, in this order, as each stage was led to the next. */
  readonly led: readonly RegExp[];
  /** What its firmware and loader show on the serial line. */
  readonly shown?: readonly RegExp[];
  /** Whether it is given nothing by TFTP. */
  readonly withoutTftp?: true;
}

/** Defines the test of a way, the node of which has the machine's name. */
export function bringsToReady(title: string, way: Way): void {
  suite(title, (test) => {
    let site: ServedSite | null = null;
    const say = (line: string): void => console.error(`${way.name}: ${line}`);
    test.after(async () => await site?.down());

    test("from an empty disk to READY: installed once, and then booted from its disk", async () => {
      site = await ServedSite.up(say);
      const machine = await site.start(way);
      await site.until("READY", machine, way.name, patience, ({ nodes }) =>
        nodes.find(({ node, stage }) => node === way.name && stage === "ready") === undefined ? null : true,
      );
      const node = await site.details(way.name);
      const texts = node.timeline.map(({ text }) => text);
      for (const line of texts) say(line);

      // What the page shows.
      assert.equal(node.boot, "local");
      assert.equal(node.failures, []);
      assert.equal(node.seedClosed, "the node is READY");
      const stages = node.stages.map(({ stage }) => stage);
      assert.equal(stages.slice(0, 3), ["netboot", "installing", "installed"]);
      assert.equal(stages.at(-1), "ready");

      // Exactly one installation; after it the loader was told to boot the disk, and nothing else.
      const told = (what: string): number[] =>
        texts.flatMap((text, at) =>
          text.startsWith(`${way.loader} at `) && text.endsWith(`was told to ${what}`) ? [at] : [],
        );
      const installed = texts.indexOf("installed: from now on it boots from its disk");
      assert.is(told("install").length, 1, "it was told to install once");
      assert.ok(told("install").every((at) => at < installed));
      assert.ok(told("boot the disk").length > 0, "it asked again");
      assert.ok(told("boot the disk").every((at) => at > installed));

      // What the machine itself said: the second boot's kernel came from the disk.
      const console = machine.console();
      assert.is(console.split("STAND-IN: command line").length - 1, 1, "one installation began");
      assert.is(console.split("STAND-IN: INSTALLED").length - 1, 1, "one installation ended");
      const second = console.slice(console.indexOf("STAND-IN: INSTALLED"));
      assert.match(second, /Command line: BOOT_IMAGE=\S*\/vmlinuz\S* root=/);
      assert.match(second, new RegExp(`SEEDSMITH ${way.name} READY`));

      // How it came there.
      for (const line of way.shown ?? []) assert.match(console, line);
      if (way.withoutTftp === true) assert.not.match(site.log(), /dnsmasq-tftp\S* (sent|file) /);
      let log = site.log();
      for (const step of way.led) {
        const found = step.exec(log);
        assert.ok(found !== null, `${step} is not in what is left of the server's log:\n${log.slice(-6000)}`);
        say(found?.[0] ?? "");
        log = log.slice((found?.index ?? 0) + (found?.[0].length ?? 0));
      }
    });
  });
}

/** Sites as labs boot them where a kernel lacks a module. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { compile } from "../../src/commands/compile.ts";
import { positionOf } from "../../src/load/marks.ts";
import { root } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const example = (target: string, without: readonly string[]) =>
  compile({
    ...{ packageRoot: root, cwd: root, site: join(root, "sites", "example", "site.yaml") },
    ...{ target, profiles: [], nodes: [], without },
  });

/** What the nodes of a compiled site take of a kernel. */
const taken = ({ chosen }: Awaited<ReturnType<typeof example>>): string[] =>
  [
    ...new Set(chosen.flatMap(({ components }) => components.flatMap(({ doc }) => doc.takes?.kernel ?? []))),
  ].sort();

suite("a site without a module of the kernel", (test) => {
  test("the example does without each module that it takes, its other options stay, and places are the file's", async () => {
    const whole = await example("debian-12", []);
    const modules = taken(whole);
    assert.equal(modules, ["openvswitch"]);
    const less = await example("debian-12", modules);
    for (const node of less.chosen) less.plan?.plan(node);
    assert.equal(
      less.problems.list.filter(({ notice }) => notice !== true).map(({ message }) => message),
      [],
    );
    assert.equal(taken(less), []);
    const { doc, loaded } = less.site!;
    assert.equal(doc.options?.["openstack"], { release: "antelope", l2_agent: "linuxbridge" });
    assert.equal(
      positionOf(loaded, ["options", "openstack", "l2_agent"]),
      positionOf(whole.site!.loaded, ["lab", "without", "openvswitch", "options", "openstack", "l2_agent"]),
    );
    assert.equal(
      positionOf(loaded, ["options", "openstack", "release"]),
      positionOf(whole.site!.loaded, ["options", "openstack", "release"]),
    );
    // What was read is what it was.
    assert.is(whole.site!.doc.options?.["openstack"]?.["l2_agent"], undefined);
  });
});

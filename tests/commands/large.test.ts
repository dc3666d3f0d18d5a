import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { compile } from "../../src/commands/compile.ts";
import type { NodePlan } from "../../src/plan/model.ts";
import type { Node } from "../../src/resolve/model.ts";
import { makePackage } from "../cases/cases.ts";
import { planText } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

suite("large sites", (test) => {
  test("above 256 nodes /etc/hosts is limited, and a notice says so (hosts-limited)", async () => {
    const packageRoot = makePackage();
    const cwd = mkdtempSync(join(tmpdir(), "seedsmith-large-"));
    try {
      const base = readFileSync(join(packageRoot, "sites", "example", "site.yaml"), "utf8");
      const nodes = Array.from({ length: 257 }, (_, index) => {
        const hex = index.toString(16).padStart(4, "0");
        return `  n${index}: { profile: plain, interfaces: { management: { mac: "52:54:00:01:${hex.slice(0, 2)}:${hex.slice(2)}", address: 10.0.${Math.floor(index / 250) + 1}.${(index % 250) + 1} } } }\n`;
      });
      const site = base
        .replace("10.0.0.0/24", "10.0.0.0/16")
        .replace(/nodes:[\s\S]*/, `nodes:\n${nodes.join("")}`);
      writeFileSync(join(cwd, "site.yaml"), site);
      const choice = { packageRoot, cwd, site: null, target: null, profiles: [], nodes: [] };
      const { problems, plan, site: resolved, read } = await compile(choice);
      assert.equal(
        problems.list.map(({ code, notice }) => [code, notice]),
        [["hosts-limited", true]],
      );
      const first = resolved?.nodes[0] as Node;
      assert.ok((plan?.plan(first).hosts.length ?? 999) < 257);

      // As the second thread of a large render compiles it.
      const again = await compile({ ...choice, judged: true });
      assert.is(again.read, read);
      const same = again.site?.nodes[0] as Node;
      assert.is(planText(again.plan?.plan(same) as NodePlan), planText(plan?.plan(first) as NodePlan));
      writeFileSync(join(cwd, "site.yaml"), site.replace("n0: {", "other: {"));
      assert.is.not((await compile({ ...choice, judged: true })).read, read);

      writeFileSync(join(cwd, "site.yaml"), `hosts: all\n${site}`);
      assert.equal((await compile(choice)).problems.list, []);
    } finally {
      rmSync(packageRoot, { recursive: true, force: true });
      rmSync(cwd, { recursive: true, force: true });
    }
  });
});

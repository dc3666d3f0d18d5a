import * as assert from "uvu/assert";
import {
  differenceFromGolden,
  fixtureSites,
  golden,
  listFiles,
  planned,
  planText,
} from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const advice = "run npm run bless and review the diff";

suite("plans of the fixture sites", (test) => {
  const seen: string[] = [];
  for (const site of fixtureSites) {
    test(`${site}: every plan is its golden`, async () => {
      const { plans } = await planned(site);
      for (const [node, plan] of plans) {
        const path = `plans/${site}/${node}.json`;
        seen.push(path);
        assert.is(differenceFromGolden(path, planText(plan)), null);
      }
    });

    test(`${site}: planning twice gives the same bytes`, async () => {
      const [a, b] = [await planned(site), await planned(site)];
      assert.equal([...a.plans.values()].map(planText), [...b.plans.values()].map(planText));
    });

    test(`${site}: a plan does not depend on which plans were made before it`, async () => {
      const { compiled, plans } = await planned(site);
      for (const node of [...compiled.chosen].reverse()) {
        const plan = compiled.plan?.plan(node);
        assert.ok(plan !== undefined);
        assert.is(planText(plan), planText(plans.get(node.name) ?? plan));
      }
    });
  }

  test("no golden is left over", () => {
    assert.equal(
      listFiles(golden).filter((path) => path.startsWith("plans/")),
      [...seen].sort(),
      advice,
    );
  });
});

/** The cloud on images that have each node's packages in, as people build them to save time. Nothing is installed then. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { cache, Workspace } from "../boot/rendered.ts";
import { suite } from "../support/suite.ts";
import { testImage } from "./image.ts";
import { cloudLab, readyTogether, until } from "./machines.ts";
import { answers, createServer, instance, untilActive, untilUp, uploadImage } from "./person.ts";

suite("images with the packages in", (test) => {
  let lab: Lab;
  let con01: Machine;
  let com01: Machine;
  let powered = 0;
  const workspace = new Workspace("cloud");
  const inside = instance("inside", "selfservice");
  const outside = instance("outside", "provider");
  const since = (): number => Math.round((Date.now() - powered) / 1000);

  test.before(async () => {
    testImage(cache);
    ({ lab, con01, com01 } = await cloudLab(workspace, "installed"));
  });
  test.after(async () => {
    await lab?.collect(join(cache, "logs", "installed"));
    await lab?.destroy();
    workspace.remove();
  });

  test("both nodes, powered on at the same moment, come up READY, and install nothing", async () => {
    powered = await readyTogether([con01, com01], 3000);
    for (const machine of [con01, com01]) {
      const install = machine.events().filter(({ step }) => step === "apt-install");
      assert.is(install.at(-1)?.event, "step-skip", JSON.stringify(install));
    }
  });

  test("a person's instances on both networks become ACTIVE, and the one outside answers", async () => {
    await uploadImage(con01);
    for (const one of [inside, outside]) await createServer(con01, one);
    await untilActive(con01, [inside, outside], com01);
    console.log(`  both ACTIVE ${since()} s after power-on`);
    for (const one of [inside, outside]) {
      const fact = await untilUp(con01, one);
      one.address = fact("local-ipv4");
      one.id = fact("instance-id");
      assert.match(one.id, /^i-[0-9a-f]{8}$/);
    }
    await until("the instance", 60, () => answers(lab, outside));
  });

  test("every check is green when asked again, and no unit has failed", async () => {
    for (const machine of [con01, com01]) {
      const checked = await machine.exec(["seedsmith-node", "check", "--within", "300"], { timeout: 900 });
      assert.is(checked.status, 0, checked.stdout.slice(-2000));
      assert.is(await machine.must(["systemctl", "--failed", "--no-legend", "--plain"]), "", machine.name);
    }
  });
});

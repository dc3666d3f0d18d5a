import * as assert from "uvu/assert";
import { actionsOf, compileFiles, fileOf, siteText } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const profile = (...components: string[]): string =>
  `profile: p\nsummary: s\ncomponents: [${components.join(", ")}]\n`;

suite("options and requirements", (test) => {
  test("a requirement with a when may depend on an option that depends on another requirement", async () => {
    const { problems, plans } = await compileFiles({
      "templates/components/a/component.yaml":
        'component: a\nsummary: s\noptions: { mode: { type: string, default: "{{base.mode}}" } }\nrequires: [{ use: extra, when: { options.mode: big } }, base]\npackages: [{ name: pa, when: { options.mode: big } }]\n',
      "templates/components/base/component.yaml":
        "component: base\nsummary: s\noptions: { mode: { type: string, default: big } }\npackages: [{ name: pb, when: { options.mode: big } }]\n",
      "templates/components/extra/component.yaml": "component: extra\nsummary: s\npackages: [px]\n",
      "profiles/p.yaml": profile("a"),
      "sites/x/site.yaml": siteText({ n: "p" }),
    });
    assert.equal(problems, []);
    assert.equal(
      plans
        .get("n")
        ?.packages.map(({ name }) => name)
        .sort(),
      ["pa", "pb", "px"],
    );
  });

  test("a requirement with a when is asked of every node, not of the first with its profile", async () => {
    const { problems, plans } = await compileFiles({
      "templates/components/a/component.yaml":
        "component: a\nsummary: s\nrequires: [{ use: extra, when: { node.name: second } }]\n",
      "templates/components/extra/component.yaml": "component: extra\nsummary: s\npackages: [px]\n",
      "profiles/p.yaml": profile("a"),
      "sites/x/site.yaml": siteText({ first: "p", second: "p" }),
    });
    assert.equal(problems, []);
    assert.equal(
      [...plans.values()].map((plan) => plan.packages.length),
      [0, 1],
    );
  });

  test("a component cannot be named like a part of the scope, which it would hide", async () => {
    for (const name of [
      "node",
      "site",
      "target",
      "options",
      "names",
      "group",
      "needs",
      "secrets",
      "instances",
    ]) {
      const { problems } = await compileFiles({
        [`templates/components/${name}/component.yaml`]: `component: ${name}\nsummary: s\n`,
        "profiles/p.yaml": profile(name),
        "sites/x/site.yaml": siteText({ n: "p" }),
      });
      assert.ok(
        problems.some(({ code, at }) => code === "bad-name" && at?.file.includes(`/${name}/`)),
        name,
      );
    }
  });

  test("ids of a layer's steps hold no blanks, as logs and consoles are split at them", async () => {
    const { problems, plans } = await compileFiles({
      "profiles/p.yaml":
        "profile: p\nsummary: s\nbefore_start: [{ name: My own step, run: [x], repeat: safe }]\n",
      "sites/x/site.yaml": siteText({ n: "p" }),
    });
    assert.equal(problems, []);
    const plan = plans.get("n");
    assert.ok(plan !== undefined);
    for (const { id } of [...plan.blocks, ...actionsOf(plan)]) assert.match(id, /^\S+$/);
  });

  test("values that look like other types stay what they were written as", async () => {
    const { problems, plans } = await compileFiles({
      "templates/components/a/component.yaml":
        'component: a\nsummary: s\noptions: { s: { type: string }, i: { type: integer }, b: { type: boolean }, l: { type: list }, m: { type: map } }\nfiles: [{ path: /etc/a, template: "{{options.s}} {{options.i}} {{options.b}}{{#options.l}} {{.}}{{/options.l}} {{options.m.k}}\\n" }]\n',
      "profiles/p.yaml": `${profile("a")}options: { a: { m: { k: "0644", gone: x }, l: [x] } }\n`,
      "sites/x/site.yaml": siteText(
        { n: "p" },
        'options: { a: { s: "no", i: 8, b: false, l: ["1.10", yes], m: { gone: y } } }\n',
      ),
    });
    assert.equal(problems, []);
    const plan = plans.get("n");
    assert.ok(plan !== undefined);
    assert.is((fileOf(plan, "/etc/a").content as { text: string }).text, "no 8 false 1.10 yes 0644\n");
  });
});

/** What the scripts of components import: put where they are, once a node, and nowhere else. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { NodePlan } from "../../src/plan/model.ts";
import { compileFiles, exampleTargets, otherSites, planned, root, siteText } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const component = (name: string, more = ""): string => `component: ${name}\nsummary: s\n${more}`;
const check = (script: string): string => `checks: [{ name: works, script: "${script}" }]\n`;

/** Each script of a node as `component/file mode`. */
const scripts = (plan: NodePlan | undefined): readonly string[] =>
  (plan?.scripts ?? []).map(({ path, mode }) => `${path.replace("/usr/local/lib/seedsmith/", "")} ${mode}`);

suite("imports of scripts", (test) => {
  test("come with a script, from its own folder and another's, with what they import in turn, once", async () => {
    const { plans, problems } = await compileFiles({
      "templates/components/client/component.yaml": component("client", "imports: [client.py, words.py]\n"),
      "templates/components/client/client.py": "import words\n",
      "templates/components/client/words.py": "",
      "templates/components/one/component.yaml": component(
        "one",
        `imports: ["client:client.py"]\n${check("one.py")}`,
      ),
      "templates/components/one/one.py": "import client\n",
      "templates/components/two/component.yaml": component(
        "two",
        `imports: ["client:client.py"]\n${check("two.py")}`,
      ),
      "templates/components/two/two.py": "import client\n",
      "templates/components/lent/component.yaml": component("lent", check("one:one.py")),
      "templates/components/idle/component.yaml": component(
        "idle",
        'imports: ["client:client.py"]\nunits: [{ unit: idle.service }]\n',
      ),
      "profiles/both.yaml": "profile: both\nsummary: s\ncomponents: [one, two]\n",
      "profiles/lent.yaml": "profile: lent\nsummary: s\ncomponents: [lent]\n",
      "profiles/idle.yaml": "profile: idle\nsummary: s\ncomponents: [idle, client]\n",
      "sites/x/site.yaml": siteText({ a: "both", b: "lent", c: "idle", d: "both" }),
    });
    assert.equal(problems, []);
    const client = ["client/client.py 0644", "client/words.py 0644"];
    assert.equal(scripts(plans.get("a")), [...client, "one/one.py 0755", "two/two.py 0755"]);
    assert.equal(scripts(plans.get("b")), [...client, "one/one.py 0755"], "a borrowed script brings them");
    assert.equal(scripts(plans.get("c")), [], "no script, nothing to import");
    assert.equal(scripts(plans.get("d")), scripts(plans.get("a")), "what nodes share brings them too");
  });

  test("two components that import from each other are no cycle, and what is run besides can be run", async () => {
    const { plans, problems } = await compileFiles({
      "templates/components/one/component.yaml": component(
        "one",
        `imports: ["two:two.py"]\n${check("one.py")}`,
      ),
      "templates/components/one/one.py": "import two\n",
      "templates/components/two/component.yaml": component(
        "two",
        `imports: ["one:one.py"]\n${check("two.py")}`,
      ),
      "templates/components/two/two.py": "import one\n",
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [one, two]\n",
      "profiles/q.yaml": "profile: q\nsummary: s\ncomponents: [two, one]\n",
      "sites/x/site.yaml": siteText({ a: "p", b: "q" }),
    });
    assert.equal(problems, []);
    for (const node of ["a", "b"])
      assert.equal(scripts(plans.get(node)), ["one/one.py 0755", "two/two.py 0755"], node);
  });

  test("a resource's ready brings them to the node that asks", async () => {
    const { plans, problems } = await compileFiles({
      "templates/components/client/component.yaml": component("client"),
      "templates/components/client/client.py": "",
      "templates/components/store/component.yaml": component(
        "store",
        'imports: ["client:client.py"]\nresources: { base: { ready: { script: ask.py } } }\n',
      ),
      "templates/components/store/ask.py": "import client\n",
      "templates/components/web/component.yaml": component("web", "needs: { base: { use: store.base } }\n"),
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [store]\n",
      "profiles/q.yaml": "profile: q\nsummary: s\ncomponents: [web]\n",
      "sites/x/site.yaml": siteText({ a: "p", b: "q" }),
    });
    assert.equal(problems, []);
    assert.equal(scripts(plans.get("a")), []);
    assert.equal(scripts(plans.get("b")), ["client/client.py 0644", "store/ask.py 0755"]);
  });

  test("every node of the example sites has the modules that its scripts name, and no others", async () => {
    let seen = 0;
    for (const site of ["example", ...otherSites()])
      for (const target of exampleTargets())
        for (const [node, { scripts }] of (await planned(site, root, target)).plans) {
          const where = `${site} ${target} ${node}`;
          const there = new Set(scripts.map(({ path }) => path));
          assert.is(there.size, scripts.length, `${where}: each once`);
          const wanted = new Set<string>();
          for (const { path, text, file } of scripts) {
            const other = /^sys\.path\.append\(sys\.path\[0\] \+ "\/\.\.\/([\w-]+)"\)$/m.exec(text)?.[1];
            const own = file.split("/").at(-2) ?? "";
            for (const [, module] of text.matchAll(/^(?:import|from) (\w+)/gm))
              for (const folder of other === undefined ? [own] : [own, other]) {
                if (!existsSync(join(root, "templates", "components", folder, `${module}.py`))) continue;
                const place = `/usr/local/lib/seedsmith/${folder}/${module}.py`;
                assert.ok(there.has(place), `${where}: ${path} imports ${place}`);
                wanted.add(place);
              }
          }
          const modules = scripts.filter(({ mode }) => mode === "0644").map(({ path }) => path);
          assert.equal(modules, [...wanted].sort(), where);
          seen += wanted.size;
        }
    assert.ok(seen > 0);
  });
});

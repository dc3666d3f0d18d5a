import * as assert from "uvu/assert";
import { secretsOfPlan } from "../../src/emit/cloud-config.ts";
import type { NodePlan, PlannedFile } from "../../src/plan/model.ts";
import {
  actionsOf,
  compileFiles,
  fakeVault,
  fileOf,
  fixtureSites,
  planned,
  planText,
  rendered,
  siteText,
  story,
} from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const node = (plans: ReadonlyMap<string, NodePlan>, name: string): NodePlan => {
  const plan = plans.get(name);
  if (plan === undefined) throw new Error(`no plan of ${name}`);
  return plan;
};

/** A file's changes as `section.key` to its redacted value. */
const changes = (file: PlannedFile): { readonly [key: string]: unknown } =>
  file.content.kind === "whole"
    ? {}
    : Object.fromEntries(file.content.changes.map(({ section, key, value }) => [`${section}.${key}`, value]));

const whole = (file: PlannedFile): string =>
  file.content.kind === "whole" && typeof file.content.text === "string" ? file.content.text : "";

const before = (list: readonly string[], first: string, second: string): void => {
  assert.ok(list.includes(first), `${first} is missing of: ${list.join("; ")}`);
  assert.ok(list.includes(second), `${second} is missing of: ${list.join("; ")}`);
  assert.ok(list.indexOf(first) < list.indexOf(second), `${first} comes before ${second}`);
};

suite("order and waits", (test) => {
  test("one node waits for nobody, and a need comes after what it needs", async () => {
    const { plans } = await planned("one");
    const list = story(node(plans, "all"));
    assert.equal(
      list.filter((one) => one.startsWith("wait")),
      [],
    );
    before(list, "ready answers", "step database api");
    before(list, "step database api", "step schema");
    before(list, "step account app", "step schema");
    before(list, "unit app-api.service", "unit app-agent.service");
  });

  test("waits are derived from needs, and only between nodes", async () => {
    const { plans } = await planned("two");
    assert.equal(
      story(node(plans, "con")).filter((one) => one.startsWith("wait")),
      [],
    );
    assert.equal(
      story(node(plans, "work")).filter((one) => one.startsWith("wait")),
      ["wait clock.time on con", "wait bus.account[app] on con", "wait api.endpoint[here] on con"],
    );
  });

  test("an asker that the site lists before its provider makes no circle", async () => {
    const { plans } = await planned("split");
    assert.equal([...plans.keys()], ["work", "serve", "data", "door"]);
    before(story(node(plans, "data")), "unit store.service", "step database api");
    before(story(node(plans, "serve")), "wait store.database[api] on data", "step schema");
  });

  test("what comes first in a profile comes first on the node where the graph leaves it open", async () => {
    for (const site of fixtureSites) {
      const { plans } = await planned(site);
      for (const plan of plans.values()) assert.is(plan.blocks[0]?.title, "clock", `${site}/${plan.node}`);
    }
  });

  test("wait: false takes values and waits for nothing", async () => {
    const { plans } = await planned("split");
    for (const plan of plans.values())
      assert.not.ok(
        story(plan).some((one) => one.includes("cache.servers") || one.includes("proxy.backend")),
      );
  });

  test("an instance's ready is asked from the asker's machine, with the provider's script", async () => {
    const { plans } = await planned("split");
    const plan = node(plans, "serve");
    const wait = actionsOf(plan).find((one) => one.kind === "wait" && one.for === "data");
    assert.ok(wait?.kind === "wait" && wait.probe.kind === "run");
    assert.equal(wait.probe.run, ["/usr/local/lib/seedsmith/store/login.py"]);
    assert.ok(plan.scripts.some(({ path }) => path === "/usr/local/lib/seedsmith/store/login.py"));
    assert.is(wait.within, 1800, "the site says 30m");
  });

  test("without a ready of its own an instance is waited for by the provider's, where that can be asked", async () => {
    const { plans } = await planned("split");
    const wait = actionsOf(node(plans, "work")).find((one) => one.kind === "wait" && one.for === "data");
    assert.ok(wait?.kind === "wait");
    // `busctl2 whole` cannot be asked from another machine; the port can.
    assert.equal(wait.probe, { kind: "tcp", timeout: 10, address: "10.3.0.2:5672" });
  });

  test("no node waits for what comes later in an order that all nodes share", async () => {
    for (const site of fixtureSites) {
      const { plans } = await planned(site);
      // Whoever runs, runs until it must wait for a step or unit that is not done yet.
      const done = new Map([...plans.keys()].map((name) => [name, 0]));
      let moved = true;
      while (moved) {
        moved = false;
        for (const [name, plan] of plans) {
          const actions = actionsOf(plan);
          for (let at = done.get(name) ?? 0; at < actions.length; at++) {
            const action = actions[at];
            if (action?.kind === "wait" && action.for !== null) {
              const other = plans.get(action.for);
              const what = action.name.replace(/ on \S+$/, "");
              const provider = what.split(/[.[]/)[0] ?? "";
              const theirs = other === undefined ? [] : actionsOf(other);
              // An instance is there once the last action of its provider's own is; a step once it is run.
              const needed = theirs.findLastIndex((one) =>
                what.includes(".")
                  ? one.kind !== "wait" && one.id.startsWith(`${provider}/`)
                  : one.id === action.id,
              );
              if (needed >= (done.get(action.for) ?? 0)) break;
            }
            done.set(name, at + 1);
            moved = true;
          }
        }
      }
      for (const [name, plan] of plans)
        assert.is(done.get(name), actionsOf(plan).length, `${site}/${name} waits`);
    }
  });

  test("a circle between nodes is a problem that prints the chain", async () => {
    const component = (name: string, other: string): string =>
      `component: ${name}\nsummary: s\nneeds: { it: { use: ${other}.thing } }\nready: [{ name: r, tcp: "{{node.address}}:1" }]\nresources: { thing: { ready: { tcp: "{{host}}:1" } } }\n`;
    const { problems } = await compileFiles({
      "templates/components/left/component.yaml": component("left", "right"),
      "templates/components/right/component.yaml": component("right", "left"),
      "profiles/l.yaml": "profile: l\nsummary: s\ncomponents: [left]\n",
      "profiles/r.yaml": "profile: r\nsummary: s\ncomponents: [right]\n",
      "sites/x/site.yaml": siteText({ a: "l", b: "r" }),
    });
    assert.equal(
      problems.map(({ code }) => code),
      ["cycle"],
    );
    assert.match(problems[0]?.message ?? "", /left on a|right on b/);
    assert.ok((problems[0]?.also ?? []).length > 0, "the other links are shown");
  });

  test("several members that a ready asks all come before the asker, on any node", async () => {
    // `late` runs on b before it serves time in the profile's order; a waits for both servers of time.
    const { problems, plans } = await compileFiles({
      "templates/components/time/component.yaml":
        'component: time\nsummary: s\nunits: [{ unit: time.service }]\nresources: { served: { ready: { run: [ask, "{{#members}}{{address}} {{/members}}"] } } }\n',
      "templates/components/early/component.yaml":
        'component: early\nsummary: s\nneeds: { it: { use: time.served } }\nunits: [{ unit: early.service }]\nresources: { thing: { ready: { tcp: "{{host}}:1" } } }\n',
      "templates/components/late/component.yaml":
        "component: late\nsummary: s\nneeds: { it: { use: early.thing } }\nunits: [{ unit: late.service }]\n",
      "profiles/a.yaml": "profile: a\nsummary: s\ncomponents: [time, early]\n",
      "profiles/b.yaml": "profile: b\nsummary: s\ncomponents: [late, time]\n",
      "sites/x/site.yaml": siteText({ a: "a", b: "b" }),
    });
    assert.equal(problems, []);
    before(story(node(plans, "b")), "unit time.service", "unit late.service");
  });
});

suite("blocks side by side", (test) => {
  /** The titles of the blocks that each comes after, in the order of the plan. */
  const afters = (plan: NodePlan): readonly string[] =>
    plan.blocks.map((block) => `${block.id}: ${block.after.join(", ")}`);
  const component = (name: string, more = ""): string =>
    `component: ${name}\nsummary: s\n${more}${more.includes("units:") ? "" : `units: [{ unit: ${name}.service }]\n`}`;
  const library = (components: { readonly [name: string]: string }): { [path: string]: string } =>
    Object.fromEntries(
      Object.entries(components).map(([name, more]) => [
        `templates/components/${name}/component.yaml`,
        component(name, more),
      ]),
    );

  test("a block comes after what it requires or needs, and beside the rest", async () => {
    const { plans, problems } = await compileFiles({
      ...library({
        store:
          'resources: { base: { key: name, params: { name: { type: identifier } }, steps: [{ name: make, run: [make], repeat: safe }] } }\nready: [{ name: r, tcp: "127.0.0.1:1" }]\n',
        bus: "",
        web: "needs: { db: { use: store.base, with: { name: web } } }\n",
        late: "requires: [web]\nafter: [bus]\n",
        loose: "",
      }),
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [store, bus, loose, web, late]\n",
      "sites/x/site.yaml": siteText({ a: "p" }),
    });
    assert.equal(problems, []);
    assert.equal(afters(node(plans, "a")), ["store: ", "bus: ", "loose: ", "web: store", "late: bus, web"]);
  });

  test("what has nothing to do passes on what it comes after", async () => {
    const { plans } = await compileFiles({
      ...library({ first: "", link: "requires: [first]\nunits: []\n", last: "requires: [link]\n" }),
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [last]\n",
      "sites/x/site.yaml": siteText({ a: "p" }),
    });
    assert.equal(afters(node(plans, "a")), ["first: ", "last: first"]);
  });

  test("what a base profile brings comes before what those that extend it bring, where it can", async () => {
    const { plans } = await compileFiles({
      ...library({ clock: "", agent: "requires: [store]\n", store: "", web: "" }),
      "profiles/base.yaml": "profile: base\nsummary: s\ncomponents: [clock]\n",
      "profiles/p.yaml": "profile: p\nsummary: s\nextends: base\ncomponents: [web, agent]\n",
      "sites/x/site.yaml": siteText({ a: "p" }),
    });
    assert.equal(afters(node(plans, "a")), ["clock: ", "web: clock", "store: clock", "agent: store"]);
  });

  test("a unit or a wait that two ask for stands in one block, and the other comes after it", async () => {
    const shared = await compileFiles({
      ...library({
        one: "units: [{ unit: web.service }]\n",
        two: 'units: [{ unit: web.service }]\nready: [{ name: r, tcp: "127.0.0.1:2" }]\n',
      }),
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [one, two]\n",
      "sites/x/site.yaml": siteText({ a: "p" }),
    });
    assert.equal(afters(node(shared.plans, "a")), ["one: ", "two: one"]);
    const waits = await compileFiles({
      ...library({
        time: 'resources: { served: { ready: { tcp: "{{host}}:1" } } }\n',
        one: "needs: { t: { use: time.served } }\n",
        two: "needs: { t: { use: time.served } }\n",
      }),
      "profiles/s.yaml": "profile: s\nsummary: s\ncomponents: [time]\n",
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [one, two]\n",
      "sites/x/site.yaml": siteText({ a: "s", b: "p" }),
    });
    assert.equal(waits.problems, []);
    assert.equal(afters(node(waits.plans, "b")), ["one: ", "two: one"]);
  });

  test("the user's own items come after every component", async () => {
    const { plans } = await compileFiles({
      ...library({ one: "", two: "" }),
      "profiles/p.yaml":
        "profile: p\nsummary: s\ncomponents: [one, two]\nafter_start: [{ name: own, run: [own], repeat: safe }]\n",
      "sites/x/site.yaml": siteText({ a: "p" }),
    });
    assert.equal(node(plans, "a").blocks.at(-1)?.after, ["one", "two"]);
  });

  test("every block comes after earlier ones only, so that the order of the plan is one of those allowed", async () => {
    for (const site of fixtureSites) {
      const { plans } = await planned(site);
      for (const plan of plans.values()) {
        const ids = plan.blocks.map(({ id }) => id);
        assert.is(new Set(ids).size, ids.length);
        for (const [index, block] of plan.blocks.entries())
          for (const other of block.after)
            assert.ok(
              ids.slice(0, index).includes(other),
              `${site}/${plan.node}: ${block.id} after ${other}`,
            );
      }
    }
  });
});

suite("groups and fronts", (test) => {
  test("at: first runs on the first member and becomes a wait for its unless on the others", async () => {
    const { plans } = await planned("three");
    const first = actionsOf(node(plans, "con1")).find(({ id }) => id === "api/schema");
    assert.is(first?.kind, "step");
    for (const name of ["con2", "con3"]) {
      const other = actionsOf(node(plans, name)).find(({ id }) => id === "api/schema");
      assert.ok(other?.kind === "wait" && first?.kind === "step");
      assert.is(other.for, "con1");
      assert.equal(other.probe, first.unless);
      before(story(node(plans, name)), "wait schema on con1", "unit app-api.service");
      before(story(node(plans, name)), "unit app-api.service", "wait first project on con1");
      before(story(node(plans, name)), "wait found the cluster on con1", "unit store.service");
    }
  });

  test("several members are reached by the front, one member by itself", async () => {
    const three = await planned("three");
    const api = fileOf(node(three.plans, "con2"), "/etc/app/api.conf");
    assert.match(planText(node(three.plans, "con2")), "store://api:<secret store.database.api>@door/api");
    assert.ok(api.content.kind === "whole");
    assert.match(
      JSON.stringify(changes(fileOf(node(three.plans, "work"), "/etc/app/app.conf"))),
      "http://door:8000/here",
    );
    const two = await planned("two");
    assert.match(
      JSON.stringify(changes(fileOf(node(two.plans, "work"), "/etc/app/app.conf"))),
      "http://con:8000/here",
    );
  });

  test("/etc/hosts names the front and the peers", async () => {
    const three = await planned("three");
    for (const plan of three.plans.values())
      assert.equal(
        plan.hosts.map(({ names }) => names.join(" ")),
        ["con1", "con2", "con3", "work", "door"],
      );
    // hosts: peers leaves out whom a node does not talk to.
    const split = await planned("split");
    assert.equal(
      node(split.plans, "work").hosts.map(({ names }) => names[0]),
      ["work", "serve", "data", "door"],
      "clock runs everywhere, so all are of one small group",
    );
  });

  test("several members without a front in the site are a problem at whoever names one", async () => {
    const { problems } = await compileFiles({
      "templates/components/p/component.yaml":
        'component: p\nsummary: s\nfront: true\nfiles: [{ path: /etc/p, template: "{{group.host}}\\n" }]\n',
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p]\n",
      "sites/x/site.yaml": siteText({ a: "p", b: "p" }),
    });
    assert.equal(
      problems.map(({ code, at }) => `${code} ${at?.file}:${at?.line}`),
      ["missing-front templates/components/p/component.yaml:4"],
    );
  });

  test("a front does not help a component that says no front: true", async () => {
    const { problems } = await compileFiles({
      "templates/components/p/component.yaml":
        'component: p\nsummary: s\nfiles: [{ path: /etc/p, template: "{{group.address}}\\n" }]\n',
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p]\n",
      "sites/x/site.yaml": siteText({ a: "p", b: "p" }, "front: { name: f, address: 10.0.0.99 }\n"),
    });
    assert.equal(
      problems.map(({ code }) => code),
      ["missing-front"],
    );
  });
});

suite("layers and settings", (test) => {
  test("node over site over profile over component; maps by key", async () => {
    const { plans } = await planned("two");
    const con = changes(fileOf(node(plans, "con"), "/etc/app/app.conf"));
    const work = changes(fileOf(node(plans, "work"), "/etc/app/app.conf"));
    assert.is(con["DEFAULT.layer"], "node");
    assert.is(work["DEFAULT.layer"], "site");
    assert.is(con["DEFAULT.level"], "profile");
    assert.is(work["DEFAULT.level"], "component");
    assert.is(con["DEFAULT.workers"], "7", "an option of the node over that of a base profile");
    assert.is(work["DEFAULT.workers"], "3");
    assert.is(con["DEFAULT.verbose"], "true", "the profile's option over its base's");
    assert.is(work["DEFAULT.verbose"], "false");
    assert.is(work["DEFAULT.obsolete"], null, "null removes a key of the packaged file");
    assert.is(con["DEFAULT.obsolete"], "back");
    assert.is(con["DEFAULT.site_wide"], "$raw");
  });

  test("$use spreads a map, and a key beside it wins", async () => {
    const { plans } = await planned("two");
    const con = fileOf(node(plans, "con"), "/etc/app/app.conf");
    assert.is(changes(con)["bus.retries"], "9");
    assert.is(changes(fileOf(node(plans, "work"), "/etc/app/app.conf"))["bus.retries"], "4");
    assert.is(changes(con)["bus.tls"], "false");
  });

  test("in an oslo file only what is substituted is escaped", async () => {
    const { plans } = await planned("two");
    const con = changes(fileOf(node(plans, "con"), "/etc/app/app.conf"));
    assert.is(con["DEFAULT.motto"], "$my_ip costs \\$5");
    assert.equal(con["DEFAULT.filters"], ["one", "costs \\$5"]);
    assert.is(con["DEFAULT.listen"], "$my_ip");
  });

  test("an encoder's section in an oslo file is encoded once, then escaped as a whole", async () => {
    const { plans, problems } = await compileFiles({
      "templates/components/p/component.yaml":
        'component: p\nsummary: s\noptions: { word: { type: string, default: "a$b\'c" } }\nfiles: [{ path: /etc/p, format: oslo }]\nsettings: [{ file: /etc/p, set: { s: { url: "$x/{{#url}}{{options.word}}{{/url}}", sql: "{{#sql}}{{options.word}}{{/sql}}" } } }]\n',
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p]\n",
      "sites/x/site.yaml": siteText({ a: "p" }),
    });
    assert.equal(problems, []);
    assert.is(whole(fileOf(node(plans, "a"), "/etc/p")), "[s]\nurl = $x/a%24b%27c\nsql = \"'a\\$b''c'\"\n");
  });

  test("two components that set one key differently are a clash shown at both places", async () => {
    const setter = (name: string, value: string): string =>
      `component: ${name}\nsummary: s\nrequires: [own]\nsettings: [{ file: /etc/p, set: { s: { k: ${value} } } }]\n`;
    const { problems } = await compileFiles({
      "templates/components/own/component.yaml":
        "component: own\nsummary: s\nfiles: [{ path: /etc/p, format: ini }]\n",
      "templates/components/a/component.yaml": setter("a", "one"),
      "templates/components/b/component.yaml": setter("b", "two"),
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [a, b]\n",
      "sites/x/site.yaml": siteText({ n: "p" }),
    });
    assert.equal(
      problems.map(({ code, at, also }) => [code, at?.file, also?.[0]?.at.file]),
      [["clash", "templates/components/b/component.yaml", "templates/components/a/component.yaml"]],
    );
  });

  test("a setting that names a list is a problem, not a text with commas", async () => {
    const { problems } = await compileFiles({
      "templates/components/p/component.yaml":
        'component: p\nsummary: s\noptions: { l: { type: list, default: [a, b] } }\nfiles: [{ path: /etc/p, format: ini }]\nsettings: [{ file: /etc/p, set: { s: { k: "{{options.l}}" } } }]\n',
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p]\n",
      "sites/x/site.yaml": siteText({ a: "p" }),
    });
    assert.equal(
      problems.map(({ code }) => code),
      ["template-value"],
    );
  });

  test("a base profile may have options for a component that only some profiles run", async () => {
    const { compiled } = await planned("split");
    assert.equal(
      compiled.problems.list.map(({ code }) => code),
      [],
    );
  });

  test("a profile may not write seedsmith's own cloud-init keys either", async () => {
    const { problems } = await compileFiles({
      "profiles/p.yaml": "profile: p\nsummary: s\ncloud_config: { runcmd: [reboot] }\n",
      "sites/x/site.yaml": siteText({ a: "p" }),
    });
    assert.equal(
      problems.map(({ code, at }) => `${code} ${at?.file}`),
      ["clash profiles/p.yaml"],
    );
  });
});

suite("claims", (test) => {
  const two = (a: string, b: string): Promise<Awaited<ReturnType<typeof compileFiles>>> =>
    compileFiles({
      "templates/components/a/component.yaml": `component: a\nsummary: s\n${a}`,
      "templates/components/b/component.yaml": `component: b\nsummary: s\n${b}`,
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [a, b]\n",
      "sites/x/site.yaml": siteText({ n: "p" }),
    });
  const clashes: Record<string, readonly [string, string]> = {
    "a path with two files": ["files: [{ path: /p, template: a }]\n", "files: [{ path: /p, template: a }]\n"],
    "a directory with two modes": [
      'directories: [{ path: /p, mode: "0755" }]\n',
      'directories: [{ path: /p, mode: "0700" }]\n',
    ],
    "a port with two owners": ["ports: [{ port: 1 }]\n", "ports: [{ port: 1 }]\n"],
    "a debconf question with two answers": [
      "debconf: [{ package: p, question: q, type: boolean, value: true }]\n",
      "debconf: [{ package: p, question: q, type: boolean, value: false }]\n",
    ],
    "an archive with two suites": [
      "archives: [{ name: x, uri: u, suite: s, components: [c] }]\n",
      "archives: [{ name: x, uri: u, suite: t, components: [c] }]\n",
    ],
    "an archive with two keyrings": [
      "archives: [{ name: x, uri: u, suite: s, components: [c], keyring: { package: k } }]\n",
      "archives: [{ name: x, uri: u, suite: s, components: [c], keyring: { package: l } }]\n",
    ],
    "a file and a directory at one path": [
      "files: [{ path: /p, template: a }]\n",
      "directories: [{ path: /p }]\n",
    ],
    "a file and a drop-in at one path": [
      "files: [{ path: /etc/systemd/system/u.service.d/50-seedsmith.conf, template: a }]\n",
      "units: [{ unit: u.service, drop_in: { Unit: { After: x } } }]\n",
    ],
  };
  for (const [what, [a, b]] of Object.entries(clashes)) {
    test(`${what} is a clash shown at both places`, async () => {
      const { problems } = await two(a, b);
      assert.equal(
        problems.map(({ code }) => code),
        ["clash"],
      );
      assert.is(new Set([problems[0]?.at?.file, problems[0]?.also?.[0]?.at.file]).size, 2);
    });
  }

  test("equal packages, directories, debconf answers and units merge", async () => {
    const same =
      "packages: [p1]\ndirectories: [{ path: /p }]\ndebconf: [{ package: p1, question: q, type: boolean, value: true }]\nunits: [{ unit: u.service }]\n";
    const { problems, plans } = await two(same, same);
    assert.equal(problems, []);
    const plan = node(plans, "n");
    assert.equal(
      [plan.packages.length, plan.directories.length, plan.debconf.length, actionsOf(plan).length],
      [1, 1, 1, 1],
    );
  });

  test("askers of one instance must agree", async () => {
    const { problems } = await compileFiles({
      "templates/components/p/component.yaml":
        "component: p\nsummary: s\nresources: { r: { key: name, params: { name: { type: string }, size: { type: integer } } } }\n",
      "templates/components/a/component.yaml":
        "component: a\nsummary: s\nneeds: { r: { use: p.r, with: { name: x, size: 1 }, wait: false } }\n",
      "templates/components/b/component.yaml":
        "component: b\nsummary: s\nneeds: { r: { use: p.r, with: { name: x, size: 2 }, wait: false } }\n",
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p, a, b]\n",
      "sites/x/site.yaml": siteText({ n: "p" }),
    });
    assert.equal(
      problems.map(({ code }) => code),
      ["clash"],
    );
    assert.match(problems[0]?.message ?? "", "size");
  });

  test("ids of actions are unique, also where names end in a number", async () => {
    const step = (name: string): string => `  - { name: ${name}, run: [x], repeat: safe }\n`;
    const { plans } = await compileFiles({
      "templates/components/p/component.yaml": `component: p\nsummary: s\nbefore_start:\n${step("go")}${step("go")}${step("go 2")}${step("go")}`,
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p]\n",
      "sites/x/site.yaml": siteText({ n: "p" }),
    });
    const ids = actionsOf(node(plans, "n")).map(({ id }) => id);
    assert.is(new Set(ids).size, 4, ids.join(" "));
  });
});

suite("files, restarts, names, checks", (test) => {
  test("a file restarts the units of its component and of those that require it", async () => {
    const { plans } = await planned("one");
    const plan = node(plans, "all");
    assert.equal([...fileOf(plan, "/etc/app/app.conf").restarts].sort(), [
      "app-agent.service",
      "app-api.service",
    ]);
    assert.equal(fileOf(plan, "/etc/app/api.conf").restarts, ["app-api.service"]);
    assert.equal(fileOf(plan, "/etc/systemd/system/store.service.d/50-seedsmith.conf").restarts, [
      "store.service",
    ]);
  });

  test("a file that a layer puts in the place of a component's restarts the same units", async () => {
    const { plans, problems } = await compileFiles({
      "templates/components/p/component.yaml":
        'component: p\nsummary: s\nfiles: [{ path: /etc/p, template: "theirs\\n" }]\nunits: [{ unit: p.service }]\n',
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p]\n",
      "sites/x/site.yaml": siteText({ n: "p" }, 'files: [{ path: /etc/p, template: "mine\\n" }]\n'),
    });
    assert.equal(problems, []);
    const file = fileOf(node(plans, "n"), "/etc/p");
    assert.is(whole(file), "mine\n");
    assert.equal(file.restarts, ["p.service"]);
  });

  test("names differ by target, the most specific first", async () => {
    const { plans } = await planned("two");
    assert.match(whole(fileOf(node(plans, "con"), "/etc/clock/sources")), "pool pool.alpha");
    const split = await planned("split");
    assert.match(whole(fileOf(node(split.plans, "serve"), "/etc/clock/sources")), "pool pool.beta");
    assert.ok(node(plans, "work").packages.some(({ name }) => name === "app-agent"));
    const one = await planned("one");
    assert.ok(node(one.plans, "all").packages.some(({ name }) => name === "app-agent-u"));
  });

  test("a component may need its own kind: who provides waits for nobody, the others wait for it", async () => {
    const { plans } = await planned("two");
    assert.is(whole(fileOf(node(plans, "work"), "/etc/clock/sources")), "server con\n");
    before(story(node(plans, "work")), "wait clock.time on con", "unit clock.service");
    assert.not.ok(story(node(plans, "con")).some((one) => one.startsWith("wait")));
  });

  test("an optional need that nobody provides is not found", async () => {
    const two = await planned("two");
    assert.not.match(whole(fileOf(node(two.plans, "con"), "/etc/app/api.conf")) || "x", "[proxy]");
    const one = await planned("one");
    assert.match(JSON.stringify(fileOf(node(one.plans, "all"), "/etc/app/api.conf").content), "[proxy]");
  });

  test("a provider sees its instances, whoever asked for them", async () => {
    const { plans } = await planned("split");
    assert.match(whole(fileOf(node(plans, "door"), "/etc/proxy.cfg")), "backend api port 8000");
  });

  test("checks that ask another node come last", async () => {
    const split = await planned("split");
    assert.equal(
      node(split.plans, "serve").checks.map(({ name }) => name),
      ["runs", "answers", "reads the store"],
    );
    const one = await planned("one");
    const names = node(one.plans, "all").checks.map(({ name }) => name);
    assert.ok(names.indexOf("reads the store") < names.indexOf("answers"), "nothing is remote on one node");
  });

  test("once files, environment files and modes", async () => {
    const { plans } = await planned("two");
    const con = node(plans, "con");
    assert.is(fileOf(con, "/etc/app/keys/1").once, true);
    assert.is(fileOf(con, "/etc/bus/bus.env").mode, "0600");
    assert.is(
      whole(fileOf(con, "/etc/bus/bus.env")),
      'NODE=bus@con\nGREETING="it\'s \\"quoted\\" \\$HOME"\n',
    );
  });
});

suite("secrets in plans and seeds", (test) => {
  test("a node's seed has only the secrets that it uses", async () => {
    const { plans } = await planned("split");
    assert.equal([...secretsOfPlan(node(plans, "work"))].sort(), ["bus.account.app"]);
    assert.equal([...secretsOfPlan(node(plans, "serve"))].sort(), ["bus.account.app", "store.database.api"]);
    assert.equal([...secretsOfPlan(node(plans, "data"))].sort(), [
      "bus.account.app",
      "store.database.api",
      "store.root",
    ]);
    assert.equal([...secretsOfPlan(node(plans, "door"))], []);
  });

  test("no seed holds the value of a secret that its plan does not name, and none at all in plan.json", async () => {
    for (const site of fixtureSites) {
      const { compiled, nodes } = await rendered(site);
      const names = [...(compiled.plan?.secrets.keys() ?? [])];
      for (const [name, artifacts] of nodes) {
        const used = secretsOfPlan(compiled.plan?.plan(compiled.site?.byName.get(name) as never) as NodePlan);
        for (const artifact of artifacts) {
          if (artifact.name === "seed.iso") continue;
          const text = new TextDecoder().decode(artifact.bytes);
          for (const secret of names) {
            // The part of a value that every encoder leaves alone.
            const needle = fakeVault.reveal(secret).slice("secret/".length).split("$")[0] ?? "";
            const shows = new RegExp(`secret(/|%2F)${needle}(?![a-z.])`).test(text);
            if (!used.has(secret) || artifact.name !== "user-data")
              assert.not.ok(shows, `${site}/${name}/${artifact.name} shows ${secret}`);
          }
        }
      }
    }
  });

  test("a secret in an argument list is a problem", async () => {
    const { problems } = await compileFiles({
      "templates/components/p/component.yaml":
        'component: p\nsummary: s\nsecrets: { word: { kind: password } }\nbefore_start: [{ name: go, run: [x, "{{secrets.word}}"], repeat: safe }]\n',
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p]\n",
      "sites/x/site.yaml": siteText({ n: "p" }),
    });
    assert.equal(
      problems.map(({ code }) => code),
      ["secret-in-argv"],
    );
  });

  test("a secret is named after its instance whatever the key's type and wherever its parameter stands", async () => {
    const { compiled, problems } = await compileFiles({
      "templates/components/p/component.yaml":
        "component: p\nsummary: s\nresources: { r: { key: id, params: { word: { type: secret }, id: { type: integer } } } }\n",
      "templates/components/a/component.yaml":
        "component: a\nsummary: s\nneeds: { one: { use: p.r, with: { id: 1 }, wait: false }, two: { use: p.r, with: { id: 2 }, wait: false } }\n",
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p, a]\n",
      "sites/x/site.yaml": siteText({ n: "p" }),
    });
    assert.equal(problems, []);
    assert.equal(
      [...(compiled.plan?.secrets.keys() ?? [])].filter((name) => name.startsWith("p.")),
      ["p.r.1", "p.r.2"],
    );
  });
});

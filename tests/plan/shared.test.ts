import { cpSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import * as assert from "uvu/assert";
import { type Compiled, compile } from "../../src/commands/compile.ts";
import { renderInMemory } from "../../src/commands/render.ts";
import type { Artifact } from "../../src/emit/lines.ts";
import { fakeVault, fixtures, inTemporaryFolder, rendered, writeTree } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

/** Every way in which a thing may differ by node: names, lists, maps, sections, needs, conditions, scripts, secrets. */
const asker = `
component: asker
summary: Looks at everything
requires: [giver]
options:
  word: { type: string, default: plain }
  loud: { type: boolean, default: false }
  list: { type: list, default: [] }
  map: { type: map, default: {} }
names: { unit: asker.service }
needs:
  own: { use: giver.thing, with: { name: "t_{{options.word}}" } }
  all: { use: giver.thing, with: { name: everybody } }
  up: { use: giver.door }
packages: [asker, { name: asker-loud, when: { options.loud: true } }, "asker-{{options.word}}"]
files:
  - { path: /etc/a/constant, template: "the same\\n" }
  - { path: /etc/a/word, template: "{{options.word}} {{names.unit}}\\n" }
  - { path: /etc/a/node, template: "{{#node}}{{name}} {{cpus}}{{/node}}\\n" }
  - { path: /etc/a/list, template: "{{#options.list}}{{.}}/{{options.word}} {{/options.list}}{{^options.list}}none{{/options.list}}\\n" }
  - { path: /etc/a/members, template: "{{#group.members}}{{name}}={{address}}{{#first}}!{{/first}} {{/group.members}}{{group.count}}\\n" }
  - { path: /etc/a/own, mode: "0600", template: "{{needs.own.url}} {{#needs.all.members}}{{name}} {{/needs.all.members}}\\n" }
  - { path: "/etc/a/{{options.word}}.d/x", template: "{{secrets.own}} {{#sh}}{{secrets.own}}{{/sh}}\\n" }
  - { path: /etc/a/source, source: as-it-is }
  - { path: /etc/a/file, template_file: template }
  - { path: /etc/a/loud, when: { options.loud: true }, template: "{{site.name}}\\n" }
  - { path: /etc/a/conf, format: ini }
  - { path: /etc/a/packaged, format: oslo, base: package }
directories: [{ path: "/var/{{options.word}}", mode: "0750" }, { path: /var/loud, when: { options.loud: true } }]
ports: [{ port: 80 }, { port: 81, when: { options.loud: true } }]
debconf: [{ package: asker, question: asker/word, type: string, value: "{{options.word}} {{secrets.own}}" }]
archives: [{ name: own, uri: "http://archive.example/{{options.word}}", suite: stable, components: [main] }]
settings:
  - { file: /etc/a/packaged, set: { a: { same: 1, word: "{{options.word}}", at: "{{node.address}}", many: [x, "{{options.word}}"] } } }
  - { file: /etc/a/conf, set: { a: { word: "{{options.word}}", at: "{{node.address}}", $use: options.map } } }
secrets: { own: { kind: password } }
units: [{ unit: "{{names.unit}}", validate: { run: [asker, "{{options.word}}"] }, drop_in: { Service: { Environment: ["A=1", "W={{options.word}}"] } } }, { unit: "asker-{{options.word}}.timer" }]
before_start:
  - { name: "step", run: [a, "{{options.word}}"], repeat: safe }
  - { name: "step", when: { options.loud: true }, run: [b], repeat: safe }
  - { name: "step", run: [c], unless: { script: as-it-is, args: ["{{node.workers}}"] }, hint: "on {{node.name}}" }
  - { name: once, at: first, run: [d], unless: { script: as-it-is, env: { P: "{{secrets.own}}", W: "{{options.word}}" } } }
ready: [{ name: "answers {{options.word}}", tcp: "{{node.address}}:1" }, { name: answers, tcp: "{{group.first.address}}:1" }]
checks: [{ name: knows the other, tcp: "{{#needs.own.members}}{{#first}}{{address}}{{/first}}{{/needs.own.members}}:2" }, { name: near, unit: "{{names.unit}}" }]
`;
const giver = `
component: giver
summary: Gives things
secrets: { root: { kind: password } }
units: [{ unit: giver.service }]
options: { port: { type: integer, default: 2 } }
ready: [{ name: up, tcp: "{{node.address}}:{{options.port}}" }, { name: here, run: [here], when: { options.port: 2 } }]
resources:
  door: { gives: { at: "door" } }
  thing:
    key: name
    when: { node.profile: top }
    params: { name: { type: identifier }, password: { type: secret } }
    steps: [{ name: "make {{params.name}}", run: [make, "{{params.name}}"], stdin: "{{params.password}} {{secrets.root}}", repeat: safe }]
    ready: { script: reach, args: ["{{params.name}}"], env: { URL: "{{gives.url}}" } }
    gives: { url: "thing://{{params.name}}:{{#url}}{{params.password}}{{/url}}@{{#members}}{{address}},{{/members}}" }
`;
const library = {
  "templates/components/asker/component.yaml": asker,
  "templates/components/asker/as-it-is": "#!/bin/sh\n",
  "templates/components/asker/template":
    "{{#options.loud}}{{node.name}}\n{{/options.loud}}{{options.word}}\nend\n",
  "templates/components/giver/component.yaml": giver,
  "templates/components/giver/reach": "#!/bin/sh\n# reach\n",
  "profiles/top.yaml": "profile: top\ncomponents: [giver, asker]\n",
  "profiles/low.yaml": 'profile: low\ncomponents: [asker]\npackages: [low, "{{node.name}}-low"]\n',
};

interface NodeDraw {
  readonly low: boolean;
  readonly cpus: number;
  readonly options: object;
  readonly own: boolean;
}

const node: fc.Arbitrary<NodeDraw> = fc.record({
  low: fc.boolean(),
  cpus: fc.constantFrom(1, 4),
  options: fc.record(
    {
      word: fc.constantFrom("plain", "other"),
      loud: fc.boolean(),
      list: fc.constantFrom([], ["x"], ["x", "y"]),
      map: fc.constantFrom({}, { k: "v" }, { k: "w" }),
    },
    { requiredKeys: [] },
  ),
  own: fc.boolean(),
});

const siteOf = (nodes: readonly NodeDraw[]): string =>
  JSON.stringify({
    site: "x",
    target: "alpha-1",
    networks: { management: { cidr: "10.0.0.0/24" } },
    access: { users: [{ name: "ops", password: true }] },
    nodes: Object.fromEntries(
      [{ low: false, cpus: 2, options: {}, own: false }, ...nodes].map(
        ({ low, cpus, options, own }, index) => [
          `n${index}`,
          {
            profile: low ? "low" : "top",
            size: { cpus, memory: "8G" },
            options: { asker: options, giver: { port: cpus } },
            interfaces: { management: { mac: `52:54:00:00:00:0${index}`, address: `10.0.0.${index + 1}` } },
            ...(own
              ? { packages: ["own"], before_start: [{ name: "own", run: ["{{node.name}}"], repeat: "safe" }] }
              : {}),
          },
        ],
      ),
    ),
  });

/** All artifacts of a node, as text, and where their lines came from. */
const shown = (artifacts: ReturnType<ReturnType<typeof renderInMemory>["nodes"]["get"]>): object =>
  (artifacts ?? []).map(({ name, bytes, origins }) => ({
    name,
    text: Buffer.from(bytes).toString("latin1"),
    origins,
  }));

suite("what nodes share", (test) => {
  test("a node rendered among others is the node rendered alone, to the byte", () =>
    inTemporaryFolder(async (folder) => {
      for (const part of ["guest", "targets"])
        cpSync(join(fixtures, part), join(folder, part), { recursive: true });
      writeTree(folder, library);
      const only = (...nodes: string[]): Promise<Compiled> =>
        compile({ packageRoot: folder, cwd: folder, site: "site.yaml", target: null, profiles: [], nodes });
      await fc.assert(
        fc.asyncProperty(fc.array(node, { minLength: 2, maxLength: 4 }), async (nodes) => {
          writeTree(folder, { "site.yaml": siteOf(nodes) });
          const whole = await only();
          const { nodes: together } = renderInMemory(whole, fakeVault);
          assert.equal(
            whole.problems.list.map(({ message }) => message),
            [],
          );
          for (const name of together.keys()) {
            const { nodes: alone } = renderInMemory(await only(name), fakeVault);
            assert.equal([...alone.keys()], [name]);
            assert.equal(shown(together.get(name)), shown(alone.get(name)), name);
          }
          // In the other order, and a second time: whatever was kept by then.
          const backwards = { ...whole, chosen: [...whole.chosen].reverse() };
          for (const again of [backwards, whole])
            for (const [name, artifacts] of renderInMemory(again, fakeVault).nodes)
              assert.equal(shown(artifacts), shown(together.get(name)), name);
        }),
        { seed: 3, numRuns: 25 },
      );
    }));

  test("a render knows no other render's secrets", async () => {
    const { compiled, nodes } = await rendered("three");
    const other = (secret: string): string => `other-${secret}`;
    const again = renderInMemory(compiled, { reveal: other, passwordHash: other }).nodes;
    for (const [name, artifacts] of nodes) {
      const text = (list: readonly Artifact[] | undefined): string =>
        new TextDecoder().decode(list?.find((one) => one.name === "user-data")?.bytes);
      assert.match(text(artifacts), "secret/");
      assert.match(text(again.get(name)), "other-");
      assert.not.match(text(again.get(name)), "secret/");
    }
  });
});

import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { load } from "js-yaml";
import * as assert from "uvu/assert";
import { type Artifact, LineOrigins, type Run } from "../../src/emit/lines.ts";
import { Origins, originOfLine } from "../../src/write/origins.ts";
import { fixtureSites, fixtures, rendered, root } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const texts = ["user-data", "meta-data", "network-config", "vendor-data", "plan.json"];

const textOf = (artifacts: readonly Artifact[], name: string): string =>
  new TextDecoder().decode(artifacts.find((one) => one.name === name)?.bytes);

/** origins.json of a site as `render` would write it, read back. */
function originsOf(nodes: ReadonlyMap<string, readonly Artifact[]>): Parameters<typeof originOfLine>[0] {
  const origins = new Origins();
  for (const [node, artifacts] of nodes)
    for (const { name, origins: lines } of artifacts)
      if (lines.length > 0) origins.add(`${node}/${name}`, lines);
  return JSON.parse(origins.toText());
}

/** The number, from 1, of the first line that contains a text, at or after another line. */
function lineWith(text: string, part: string, after = 1): number {
  const index = text.split("\n").findIndex((line, at) => at + 1 >= after && line.includes(part));
  if (index < 0) throw new Error(`no line has ${part}`);
  return index + 1;
}

/** The place of each line. */
const placesOf = (origins: readonly Run[]): { file: string; line: number }[] =>
  origins.flatMap(({ count, file, line, step }) =>
    Array.from({ length: count }, (_, index) => ({ file, line: line + index * step })),
  );

suite("origins of lines", (test) => {
  const run = fc.record({
    count: fc.integer({ min: 1, max: 4 }),
    file: fc.constantFrom("a", "b"),
    line: fc.integer({ min: 1, max: 4 }),
    step: fc.constantFrom(0 as const, 1 as const),
  });

  test("adding runs gives what adding their lines gives", () => {
    fc.assert(
      fc.property(fc.array(run, { maxLength: 12 }), (runs) => {
        const whole = new LineOrigins();
        for (const one of runs) whole.addRun(one);
        const single = new LineOrigins();
        for (const { file, line } of placesOf(runs)) single.add(file, line);
        assert.equal(whole.runs, single.runs);
        assert.equal(placesOf(whole.runs), placesOf(runs));
      }),
      { seed: 7, numRuns: 5000 },
    );
  });
});

suite("origins", (test) => {
  for (const site of fixtureSites) {
    test(`${site}: every line of every text has an origin that exists`, async () => {
      const { nodes } = await rendered(site);
      const sources = new Map<string, number>();
      const linesOf = (file: string): number => {
        let count = sources.get(file);
        if (count === undefined) {
          const path = file === "site.yaml" ? join(fixtures, "sites", site, file) : join(fixtures, file);
          count = readFileSync(path, "utf8").split("\n").length;
          sources.set(file, count);
        }
        return count;
      };
      const file = originsOf(nodes);
      for (const [node, artifacts] of nodes) {
        for (const { name, bytes, origins } of artifacts) {
          if (!texts.includes(name)) continue;
          const text = new TextDecoder().decode(bytes);
          assert.is(text.at(-1), "\n", `${name} ends with a line break`);
          const places = placesOf(origins);
          assert.is(places.length, text.split("\n").length - 1, `${node}/${name}: an origin a line`);
          for (const [index, at] of places.entries()) {
            assert.ok(
              at.line >= 1 && at.line <= linesOf(at.file),
              `${node}/${name}:${index + 1} ${at.file}:${at.line}`,
            );
            assert.equal(originOfLine(file, `${node}/${name}`, index + 1), at);
          }
          assert.is(originOfLine(file, `${node}/${name}`, places.length + 1), null);
        }
      }
    });
  }

  const spot = async (
    part: string,
    source: string,
    sourcePart: string,
    options: { site?: string; node?: string; within?: string; file?: string } = {},
  ): Promise<void> => {
    const { site = "two", node = "con", within = "write_files:", file = "user-data" } = options;
    const { nodes } = await rendered(site);
    const text = textOf(nodes.get(node) ?? [], file);
    const line = lineWith(text, part, file === "user-data" ? lineWith(text, within) : 1);
    const path = source === "site.yaml" ? join(fixtures, "sites", site, source) : join(fixtures, source);
    assert.equal(originOfLine(originsOf(nodes), `${node}/${file}`, line), {
      file: source,
      line: lineWith(readFileSync(path, "utf8"), sourcePart),
    });
  };
  const component = (name: string): string => `templates/components/${name}/component.yaml`;

  test("a package in program.json comes from its line of the component", () =>
    spot('"store-server"', component("store"), "- store-server"));
  test("a node's own package comes from the site", () => spot('"tcpdump"', "site.yaml", "tcpdump"));
  test("a unit comes from its component", () =>
    spot('"unit": "app-api.service"', component("api"), "units:"));
  test("a step comes from its component", () =>
    spot('"name": "secure"', component("store"), "- name: secure"));
  test("a line of an inline template comes from that line", () =>
    spot("-m 64", component("cache"), "-m {{options.memory}}"));
  test("a line of a template file comes from that line of it", () =>
    spot("pool pool.alpha", "templates/components/clock/sources.mustache", "pool {{names.pool}}"));
  test("the lines of a section come from inside it", () =>
    spot("server con", component("clock"), "server {{name}}", { node: "work" }));
  test("a line of a verbatim file comes from that line of it", () =>
    spot("driftfile", "templates/components/clock/clock.conf", "driftfile"));
  test("a line of a structured file comes from the setting", () =>
    spot("servers = ", component("api"), "servers:"));
  test("a line of a script comes from that line of it", () =>
    spot('print("hello")', "templates/components/store/login.py", "print", { within: "store/login.py" }));
  test("an interface comes from the site", () =>
    spot("set-name: ext0", "site.yaml", "name: ext0", { node: "work", file: "network-config" }));
  test("a node's cloud_config comes from the site", () =>
    spot("timezone: Etc/UTC", "site.yaml", "cloud_config", { within: "#cloud-config" }));
  test("a line of /etc/hosts comes from the node", () =>
    spot("10.2.0.11 work.two.invalid", "site.yaml", "work:"));

  test("a file with a secret keeps its origins", () => spot("transport = ", component("api"), "transport"));

  test("origins.json holds no content", async () => {
    const { nodes } = await rendered("example", root);
    assert.not.match(JSON.stringify(originsOf(nodes)), "secret/");
  });

  test("merging takes over other nodes' lines unchanged", async () => {
    const { nodes } = await rendered("three");
    const file = originsOf(nodes);
    const merged = new Origins();
    merged.merge(file, (name) => name.startsWith("work/"));
    merged.merge(file, (name) => !name.startsWith("work/"));
    const whole = new Origins();
    whole.merge(file, () => true);
    assert.is(merged.toText(), whole.toText());
  });

  test("what is written in literal blocks reads back as it was planned", async () => {
    const { compiled, nodes } = await rendered("two");
    const plan = compiled.plan?.plan(compiled.site?.nodes[0] as never);
    const data = load(textOf(nodes.get("con") ?? [], "user-data")) as {
      write_files: { path: string; content: string }[];
    };
    for (const file of plan?.files ?? []) {
      if (file.content.kind !== "whole" || typeof file.content.text !== "string") continue;
      const name = file.path.split("/").at(-1) ?? "";
      const staged = data.write_files.filter(({ path }) => path.endsWith(`-${name}`));
      assert.ok(
        staged.some(({ content }) => file.content.kind === "whole" && content === file.content.text),
        file.path,
      );
    }
  });
});

import { cpSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import {
  fixtureSites,
  fixtures,
  inTemporaryFolder,
  listFiles,
  planned,
  planText,
  root,
} from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

/** As long as the old name, so that columns stay. */
const newName = (name: string): string => `q${[...name.replaceAll("-", "x")].reverse().join("").slice(1)}`;

/** Copies a library and gives a component another name in every file, and in the names of files and folders. */
function copyRenamed(from: string, to: string, name: string): void {
  for (const part of ["templates", "profiles", "targets", "sites", "guest"])
    cpSync(join(from, part), join(to, part), { recursive: true });
  const components = join(to, "templates", "components");
  renameSync(join(components, name), join(components, newName(name)));
  for (const path of listFiles(to)) {
    if (path.startsWith("guest/")) continue;
    const text = readFileSync(join(to, path), "utf8");
    if (text.includes(name)) writeFileSync(join(to, path), text.replaceAll(name, newName(name)));
    const base = path.split("/").at(-1) ?? "";
    if (!base.includes(name)) continue;
    const renamed = join(to, path.slice(0, -base.length) + base.replaceAll(name, newName(name)));
    renameSync(join(to, path), renamed);
  }
}

/** Scripts are listed by their paths, which the name is part of. */
function comparable(text: string, name: string | null): unknown {
  const back = JSON.parse(name === null ? text : text.replaceAll(newName(name), name)) as {
    scripts: { path: string }[];
  };
  back.scripts.sort((a, b) => (a.path < b.path ? -1 : 1));
  return back;
}

/** The plans of a site with the names that it has, as text: every component is renamed in the same ones. */
const plansBefore = new Map<string, Promise<ReadonlyMap<string, string>>>();

function textsBefore(site: string, library: string): Promise<ReadonlyMap<string, string>> {
  const key = `${library} ${site}`;
  let found = plansBefore.get(key);
  if (found === undefined) {
    found = planned(site, library).then(
      ({ plans }) => new Map([...plans].map(([node, plan]) => [node, planText(plan)])),
    );
    plansBefore.set(key, found);
  }
  return found;
}

async function compare(library: string, sites: readonly string[], name: string): Promise<void> {
  await inTemporaryFolder(async (folder) => {
    copyRenamed(library, folder, name);
    for (const site of sites) {
      const before = await textsBefore(site, library);
      const after = await planned(site, folder);
      assert.equal([...after.plans.keys()], [...before.keys()]);
      for (const [node, text] of before) {
        const other = after.plans.get(node);
        assert.ok(other !== undefined);
        assert.equal(
          comparable(planText(other), name),
          comparable(text, null),
          `${site}/${node} knows "${name}"`,
        );
      }
    }
  });
}

suite("no component is known by its name", (test) => {
  const components = (library: string): readonly string[] =>
    readdirSync(join(library, "templates", "components"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);

  // Site `one` runs every component; the names of its words in paths and units are renamed along.
  for (const name of components(fixtures)) {
    test(`fixture ${name}, renamed throughout, plans the same`, () => compare(fixtures, fixtureSites, name));
  }
  for (const name of components(root)) {
    test(`${name}, renamed throughout, plans the same`, () => compare(root, ["example"], name));
  }

  test("src/ says no component's name", () => {
    const names = components(root);
    assert.ok(names.length > 0);
    const word = new RegExp(`\\b(${names.join("|")})\\b`);
    const found = listFiles(join(root, "src")).flatMap((file) =>
      readFileSync(join(root, "src", file), "utf8")
        .split("\n")
        .flatMap((line, index) => {
          // The folder of a config drive is the format's own word.
          const match = word.exec(line.replaceAll("openstack/latest/", ""));
          return match === null ? [] : [`src/${file}:${index + 1} says ${match[1]}`];
        }),
    );
    assert.equal(found, []);
  });
});

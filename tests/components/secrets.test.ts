/**
 * Every secret of a whole cloud, with the characters that break files, read back from every file, script and step by
 * the rules of the format that it stands in.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { type Filled, fill, type Part } from "../../src/core/text.ts";
import type { NodePlan } from "../../src/plan/model.ts";
import { actionsOf, compileSite, planned, root } from "../support/build-site.ts";
import { absent, python } from "../support/python.ts";
import { suite } from "../support/suite.ts";

/** Characters that a secret's value must not have, as its component says. */
const without = new Map<string, string>();

/** A different value for each secret, with every hostile character that it may have, and one at either end. */
const reveal = (secret: string): string =>
  [...`'%$@/:#"\\$ {${secret}}%25$$\\\\'`].filter((one) => !without.get(secret)?.includes(one)).join("");

/** As oslo.config reads a value: quotes around it go, a backslash before a dollar makes two, two are one. */
function oslo(line: string): string {
  let value = line.trim();
  if (value !== "" && value.at(0) === value.at(-1) && /^["']/.test(value)) value = value.slice(1, -1);
  const doubled = value.replaceAll("\\$", "$$$$");
  assert.not.match(doubled.replaceAll("$$", "").replaceAll("$my_ip", ""), /\$/, line);
  return doubled.replaceAll("$$", "$");
}

/** User and password of a URL, decoded as SQLAlchemy and oslo.messaging do. */
function credentials(url: string): readonly string[] {
  return [...url.matchAll(/(?:\/\/|,)([^:@/,]*):([^@/,]*)@/g)].map((match) =>
    decodeURIComponent(match[2] ?? ""),
  );
}

suite("hostile passwords", (test) => {
  let plans: ReadonlyMap<string, NodePlan>;
  let others: ReadonlyMap<string, NodePlan>;
  let stacks: NodePlan;
  let secrets: readonly string[];
  /** Those that were read back from somewhere. */
  const seen = new Set<string>();
  test.before(async () => {
    const site = await planned("split", root, "debian-12");
    plans = site.plans;
    const said = site.compiled.plan?.secrets ?? new Map();
    secrets = [...said.keys()].sort();
    for (const [name, doc] of said) if (doc.without !== undefined) without.set(name, doc.without.characters);
    others = (await planned("storage", root, "debian-12")).plans;
    const orchestration = join(root, "tests", "fixtures", "orchestration", "site.yaml");
    const { chosen, plan } = await compileSite(orchestration, root, "debian-12");
    stacks = plan?.plan(chosen.find(({ name }) => name === "orc01") as (typeof chosen)[0]) as NodePlan;
  });

  test("a broker's password is the same in the URL that oslo.messaging writes anew for kombu", () => {
    const brokers = secrets.filter((name) => name.startsWith("rabbitmq.user."));
    assert.ok(brokers.length > 0);
    for (const name of brokers) {
      // It leaves a slash as it is (Python's quote does), and kombu ends the address there.
      const anew = encodeURIComponent(reveal(name)).replaceAll("%2F", "/");
      assert.is(decodeURIComponent(new URL(`amqp://openstack:${anew}@con01:5672/`).password), reveal(name));
    }
    assert.equal([...new Set(without.values())], ["/"], "nothing else is spared");
    assert.equal([...without.keys()], brokers);
  });

  test("settings: each password is what oslo.config, and the URL in it, give back", () => {
    const found = new Map<string, Set<string>>();
    for (const [node, plan] of [...plans, ...others, ["orc01", stacks] as const]) {
      for (const file of plan.files) {
        if (file.content.kind !== "changes" || file.content.format !== "oslo") continue;
        for (const change of file.content.changes) {
          for (const one of [change.value].flat()) {
            if (one === null || typeof one === "string") continue;
            const line = fill(one, reveal);
            assert.not.match(line, /[\n\r]/);
            const read = oslo(line);
            const values = /^\w+(\+\w+)?:\/\//.test(read) ? credentials(read) : [read];
            assert.ok(values.length > 0, `${file.path} ${change.key}`);
            for (const value of values) {
              const name = /\{([\w.-]+)\}/.exec(value)?.[1] ?? "";
              assert.is(value, reveal(name), `${file.path} [${change.section}] ${change.key}`);
              found.set(name, (found.get(name) ?? new Set()).add(`${node} ${file.path} ${change.section}`));
            }
          }
        }
      }
    }
    // The guide's passwords, each in every place where it must be the same.
    assert.equal(
      [...found.keys()].sort(),
      [
        ...["cinder", "glance", "heat", "keystone", "neutron", "nova", "placement"].map(
          (name) => `mariadb.database.${name}`,
        ),
        ...["cinder", "glance", "heat", "heat_domain_admin", "neutron", "nova", "placement"].map(
          (name) => `keystone.user.${name}`,
        ),
        "heat.encryption",
        "neutron-server.metadata",
        "rabbitmq.user.openstack",
      ].sort(),
    );
    assert.ok((found.get("keystone.user.nova")?.size ?? 0) >= 3);
    assert.ok((found.get("neutron-server.metadata")?.size ?? 0) >= 2);
    // [keystone_authtoken] and [service_user], on the controller and on the storage node.
    assert.is(found.get("keystone.user.cinder")?.size, 4);
    assert.is(found.get("mariadb.database.cinder")?.size, 2);
  });

  const withShell = noShell() ? test.skip : test;
  withShell("the credentials file of a person: a shell reads the password", () => {
    const file = plans.get("con01")?.files.find(({ path }) => path === "/root/admin-openrc");
    assert.ok(file?.content.kind === "whole");
    const text = fill(file?.content.kind === "whole" ? file.content.text : "", reveal);
    const done = spawnSync("sh", ["-c", `${text}\nprintf %s "$OS_PASSWORD"`], { encoding: "utf8" });
    assert.is(done.stdout, reveal("keystone.admin"));
  });

  const withPython = absent ? test.skip : test;
  withPython("the dashboard's settings: Python reads the key", () => {
    for (const plan of [others.get("con01") as NodePlan]) {
      const file = plan.files.find(({ path }) => path.endsWith("/_9999_seedsmith.py"));
      assert.ok(file?.content.kind === "whole");
      assert.is(file?.mode, "0640");
      const text = fill(file?.content.kind === "whole" ? file.content.text : "", reveal);
      const print =
        "import json; print(json.dumps([SECRET_KEY, ALLOWED_HOSTS, OPENSTACK_KEYSTONE_URL, CACHES]))";
      const done = spawnSync(python, ["-"], { input: `${text}\n${print}\n`, encoding: "utf8" });
      assert.is(done.status, 0, done.stderr);
      const [key, hosts, url, caches] = JSON.parse(done.stdout) as [string, string[], string, object];
      assert.is(key, reveal("horizon.session"));
      assert.ok(hosts.includes("10.0.0.1") && hosts.includes("con01"));
      assert.is(url, "http://con01:5000/v3");
      assert.match(JSON.stringify(caches), /PyMemcacheCache.*con01:11211/);
    }
  });

  test("what keystone is to make: JSON, a line each", () => {
    const step = actionsOf(plans.get("con01") as NodePlan).find(({ id }) =>
      id.startsWith("keystone/register"),
    );
    assert.ok(step?.kind === "step" && step.stdin !== null);
    const stdin = step?.kind === "step" && step.stdin !== null ? fill(step.stdin, reveal) : "";
    const objects = stdin
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => JSON.parse(line) as { kind: string; name?: string; password?: string });
    const users = objects.filter(({ kind }) => kind === "user");
    assert.equal(users.map(({ name }) => name).sort(), ["glance", "neutron", "nova", "placement"]);
    for (const { name, password } of users) assert.is(password, reveal(`keystone.user.${name}`));
  });

  test("SQL: a string literal gives the password back", () => {
    const literals = actionsOf(plans.get("db01") as NodePlan).flatMap((one) =>
      one.kind === "step" && one.stdin !== null && typeof one.stdin !== "string"
        ? [...fill(one.stdin, reveal).matchAll(/IDENTIFIED BY ('(?:[^'\\]|\\.|'')*');/g)].map(
            (match) => match[1] ?? "",
          )
        : [],
    );
    assert.ok(literals.length >= 2 * 7);
    for (const literal of literals) {
      const read = literal.slice(1, -1).replaceAll("''", "'").replace(/\\(.)/g, "$1");
      assert.is(read, reveal(/\{([\w.-]+)\}/.exec(read)?.[1] ?? ""));
    }
  });

  /** The values that a text holds, by the rules of what it is: JSON lines, SQL, URLs, or a value and nothing else. */
  const valuesOf = (text: string): readonly string[] => {
    if (/^\s*\{"/.test(text))
      return text.split("\n").flatMap((line) => strings(line.trim() && JSON.parse(line)));
    const urls = credentials(text);
    if (urls.length > 0) return urls;
    const literals = [...text.matchAll(/'((?:[^'\\]|\\.|'')*)'/g)].map((match) => match[1] ?? "");
    if (/^\s*(CREATE|ALTER|SELECT|SET) /.test(text))
      return literals.map((literal) => literal.replaceAll("''", "'").replace(/\\(.)/g, "$1"));
    return [text.replace(/\n$/, "")];
  };

  test("environments, input and probes of steps, and files: each place gives the secret back, and no secret is left out", () => {
    const look = (text: Filled, where: string): void => {
      if (typeof text === "string") return;
      const filled = fill(text, reveal);
      // Percent-encoded, in a URL, the braces are not there to be counted.
      const holes = namesIn(text);
      const read = valuesOf(filled).flatMap((value) => {
        const name = /\{([\w.-]+)\}/.exec(value)?.[1];
        return name !== undefined && value === reveal(name) ? [name] : [];
      });
      assert.equal(read.toSorted(), holes.toSorted(), where);
      for (const name of read) seen.add(name);
    };
    for (const [node, plan] of plans) {
      for (const { path, content } of plan.files)
        if (content.kind === "whole" && path !== "/root/admin-openrc") look(content.text, `${node} ${path}`);
        else if (content.kind === "changes" && content.format !== "oslo")
          for (const { key, value } of content.changes)
            for (const one of [value].flat())
              assert.ok(one === null || typeof one === "string", `no test reads ${path} ${key}`);
      for (const one of [...actionsOf(plan), ...plan.checks]) {
        const probes =
          one.kind === "step" ? [one, one.unless] : one.kind === "unit" ? [one.validate] : [one.probe];
        for (const probe of probes) {
          if (probe === null || (probe.kind !== "run" && probe.kind !== "step")) continue;
          for (const [name, value] of Object.entries(probe.env)) look(value, `${node} ${one.id} ${name}`);
          if (probe.stdin !== null) look(probe.stdin, `${node} ${one.id}`);
        }
      }
    }
    // Metadata's stands in settings alone; the cookie is for several brokers, and this site has one.
    const elsewhere = ["neutron-server.metadata", "rabbitmq.erlang_cookie"];
    assert.equal([...new Set([...seen, ...elsewhere])].sort(), secrets);
  });

  test("no secret stands in an argument, a path, a unit or a hint", () => {
    for (const plan of plans.values())
      for (const one of [...actionsOf(plan), ...plan.checks]) {
        const probe = one.kind === "step" ? one.unless : one.kind === "unit" ? one.validate : one.probe;
        const argv = [...(one.kind === "step" ? one.run : []), ...(probe?.kind === "run" ? probe.run : [])];
        for (const word of argv) assert.type(word, "string");
      }
  });
});

/** All strings of a JSON value. */
function strings(value: unknown): readonly string[] {
  if (typeof value === "string") return value === "" ? [] : [value];
  return value !== null && typeof value === "object" ? Object.values(value).flatMap(strings) : [];
}

/** The secrets that a text has holes for, as often as they stand there. */
function namesIn(text: Filled): readonly string[] {
  const inParts = (parts: readonly Part[]): readonly string[] =>
    parts.flatMap((part) =>
      typeof part === "string" ? [] : "secret" in part ? [part.secret] : inParts(part.parts),
    );
  return typeof text === "string" ? [] : inParts(text.parts);
}

function noShell(): boolean {
  return spawnSync("sh", ["-c", "true"]).status !== 0;
}

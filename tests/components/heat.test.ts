/** A service that came after all others, as data alone. */
import { join } from "node:path";
import * as assert from "uvu/assert";
import { fill } from "../../src/core/text.ts";
import type { NodePlan } from "../../src/plan/model.ts";
import { actionsOf, compileSite, exampleTargets, root } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";
import { absent, account, answering, json, run, token } from "./scripts.ts";

/** Plans of the fixture site on a target. */
async function plans(target: string): Promise<ReadonlyMap<string, NodePlan>> {
  const site = join(root, "tests", "fixtures", "orchestration", "site.yaml");
  const compiled = await compileSite(site, root, target);
  assert.not.ok(compiled.problems.failed, JSON.stringify(compiled.problems.list[0]));
  return new Map(compiled.chosen.map((node) => [node.name, compiled.plan?.plan(node) as NodePlan]));
}

suite("heat", (test) => {
  test("it is planned on every target, on a node of its own", async () => {
    for (const target of exampleTargets()) {
      const found = await plans(target);
      const units = (node: string): readonly string[] =>
        actionsOf(found.get(node) as NodePlan).flatMap((one) => (one.kind === "unit" ? [one.unit] : []));
      for (const unit of ["heat-api.service", "heat-api-cfn.service", "heat-engine.service"]) {
        assert.ok(units("orc01").includes(unit), `${target} ${unit}`);
        assert.not.ok(units("con01").includes(unit), `${target} ${unit}`);
      }
    }
  });

  test("its domain, roles, accounts and endpoints are made on the controller, with its own passwords", async () => {
    const found = await plans("debian-12");
    const step = actionsOf(found.get("con01") as NodePlan).find(({ id }) =>
      id.startsWith("keystone/register"),
    );
    assert.ok(step?.kind === "step" && step.stdin !== null);
    const stdin = step?.kind === "step" && step.stdin !== null ? step.stdin : "";
    const text = typeof stdin === "string" ? stdin : fill(stdin, (name) => `<${name}>`);
    const objects = text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const has = (wanted: Record<string, unknown>): void =>
      assert.ok(
        objects.some((one) =>
          Object.entries(wanted).every(([key, value]) => JSON.stringify(one[key]) === JSON.stringify(value)),
        ),
        JSON.stringify(wanted),
      );
    has({ kind: "role", name: "heat_stack_owner" });
    has({ kind: "role", name: "heat_stack_user" });
    has({ kind: "user", name: "heat", project: "service", password: "<keystone.user.heat>" });
    has({
      kind: "user",
      name: "heat_domain_admin",
      domain: "heat",
      project: "",
      password: "<keystone.user.heat_domain_admin>",
    });
    has({ kind: "endpoint", type: "orchestration", url: "http://orc01:8004/v1/%(tenant_id)s" });
    has({ kind: "endpoint", type: "cloudformation", url: "http://orc01:8000/v1" });
  });

  if (absent) return;

  interface Stack {
    readonly id: string;
    stack_status: string;
    readonly outputs: readonly { output_value: string }[];
  }

  /** Runs a script against an orchestration service whose stacks become `status`. */
  async function ask(
    args: (url: string) => readonly string[],
    status = "CREATE_COMPLETE",
    word = "abcdefghijkl",
  ): Promise<{ readonly code: number; readonly error: string; readonly left: number }> {
    const stacks = new Map<string, Stack>();
    const done = await answering(
      (asked, response) => {
        const { method, path } = asked;
        if (token(asked, response)) return;
        if (path === "/v1/p1/services")
          json(response, 200, {
            services: [
              { hostname: "orc01", host: "orc01", status: "up" },
              { hostname: "orc02", host: "orc02", status: "down" },
            ],
          });
        else if (path === "/v1/p1/stacks" && method === "POST") {
          stacks.set("seedsmith-check-orc01", {
            id: "s1",
            stack_status: status,
            outputs: [{ output_value: word }],
          });
          json(response, 201, { stack: { id: "s1" } });
        } else if (method === "DELETE") {
          stacks.clear();
          response.writeHead(204, { Connection: "close" });
          response.end();
        } else if (path.startsWith("/v1/p1/stacks/")) {
          const stack = stacks.get(path.split("/")[4] ?? "");
          json(response, stack === undefined ? 404 : 200, { stack });
        } else json(response, path === "/v3/users?domain_id=d1" ? 200 : 403, { users: [] });
      },
      (url) => {
        const { OS_PROJECT_NAME = "", ...env } = account(url);
        const project = args(url)[0] === "domain" ? {} : { OS_PROJECT_NAME };
        return run("heat/stacks.py", { args: args(url), env: { ...env, ...project } });
      },
    );
    return { ...done, left: stacks.size };
  }

  test("engine: up, down, never seen", async () => {
    assert.is((await ask((url) => ["engine", `${url}/v1`, "orc01"])).code, 0);
    assert.match((await ask((url) => ["engine", `${url}/v1`, "orc02"])).error, /the engine of orc02 is down/);
    assert.match(
      (await ask((url) => ["engine", `${url}/v1`, "orc03"])).error,
      /no engine of orc03 has ever reported/,
    );
  });

  test("stack: made and deleted; failed, or without its word: red, and deleted", async () => {
    const stack = (url: string): string[] => ["stack", `${url}/v1`, "orc01"];
    const good = await ask(stack);
    assert.is(good.code, 0, good.error);
    assert.is(good.left, 0);
    const failed = await ask(stack, "CREATE_FAILED");
    assert.match(failed.error, /the stack is CREATE_FAILED/);
    assert.is(failed.left, 0);
    const mute = await ask(stack, "CREATE_COMPLETE", "short");
    assert.match(mute.error, /not a string of 12 characters/);
    assert.is(mute.left, 0);
  });

  test("domain: its users can be listed", async () => {
    assert.is((await ask(() => ["domain", "heat"])).code, 0);
  });
});

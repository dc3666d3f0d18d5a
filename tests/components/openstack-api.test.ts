/** The client that scripts of several components import: what it says when it is refused, and that it lies where they look. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { NodePlan } from "../../src/plan/model.ts";
import { inTemporaryFolder, planned, root, writeTree } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";
import { absent, account, answering, json, type Outcome, run, token } from "./scripts.ts";

/** Scripts that do nothing but log in and ask once or twice, with arguments that make them ask below a URL. */
const askers: { readonly [script: string]: (url: string) => readonly string[] } = {
  "cinder-common/services-up.py": (url) => [`${url}/v3`, "cinder-scheduler@con01"],
  "cinder-storage/volume-works.py": (url) => [`${url}/v3`, "blk01@lvm"],
  "heat/stacks.py": (url) => ["engine", `${url}/v1`, "con01"],
  "launch-instance/first-objects.py": () => ["check"],
  "neutron-common/agents-alive.py": (url) => [url, "net01", "neutron-dhcp-agent"],
  "neutron-common/only-one-agent.py": (url) => [url, "com01", "neutron-linuxbridge-agent", "10.0.0.11"],
  "neutron-network/networks-served.py": (url) => [url, "net01"],
  "nova-common/services-up.py": (url) => [url, "con01", "nova-scheduler"],
  "nova-common/sole-host.py": (url) => [url, "com01", "10.0.0.11"],
  "openstack/ask.py": (url) => [`${url}/v2/images`, "images"],
};
const stdin = '{"kind": "flavor", "name": "m1", "vcpus": 1, "ram": 64, "disk": 1}\n';

suite("scripts: the client of OpenStack's services", (test) => {
  if (absent) {
    test.skip("skipped: no python3", () => {});
    return;
  }
  const each = async (
    answer: (url: string) => Parameters<typeof answering>[0],
    judge: (outcome: Outcome, script: string, url: string) => void,
    password = "right",
  ): Promise<void> => {
    for (const [script, args] of Object.entries(askers)) {
      let place = "";
      await answering(
        (asked, response) => answer(place)(asked, response),
        async (url) => {
          place = url;
          const env = { ...account(url), OS_PASSWORD: password };
          judge(await run(script, { args: args(url), env, stdin }), script, url);
        },
      );
    }
  };

  test("a refused login: who, where, the status, in one line, and no password", async () => {
    await each(
      () => (asked, response) => void token(asked, response),
      (outcome, script, url) =>
        assert.equal(
          outcome,
          {
            code: 1,
            out: "",
            error: `user cinder: POST ${url}/v3/auth/tokens: HTTP Error 401: Unauthorized\n`,
          },
          script,
        ),
      "s3cret",
    );
  });

  test("a service that refuses: what was asked, the status and its own words, and no token", async () => {
    await each(
      (url) => (asked, response) => {
        if (!token(asked, response, url)) json(response, 503, { message: "the\n database is away" });
      },
      ({ code, error }, script, url) => {
        assert.is(code, 1, script);
        assert.match(
          error,
          /^[^\n]*: HTTP Error 503: Service Unavailable [^\n]*database is away[^\n]*\n$/,
          script,
        );
        assert.ok(error.includes(`${url}/`), `${script}: ${error}`);
        assert.not.match(error, /Traceback|right|X-Auth-Token/, script);
      },
    );
  });

  test("a service that answers with something else than JSON", async () => {
    await each(
      (url) => (asked, response) => {
        if (token(asked, response, url)) return;
        response.writeHead(200, { Connection: "close" });
        response.end("<html>");
      },
      ({ code, error }, script, url) => {
        assert.is(code, 1, script);
        assert.match(error, /^[^\n]*: no JSON: [^\n]*\n$/, script);
        assert.ok(error.includes(url), script);
      },
    );
  });

  test("a service that hangs up: the address that was asked is named, not another", async () => {
    await each(
      (url) => (asked, response) => {
        if (!token(asked, response, url)) asked.request.socket.destroy();
      },
      ({ code, error }, script, url) => {
        assert.is(code, 1, script);
        assert.match(error, /^[^\n]+\n$/, script);
        assert.ok(error.includes(`${url}/`) && !error.includes("auth/tokens"), `${script}: ${error}`);
      },
    );
  });

  test("keystone is not there, or gives no token", async () => {
    let gone = "";
    await answering(
      () => {},
      async (url) => {
        gone = url;
      },
    );
    const nobody = await run("keystone/log-in.py", { env: account(gone) });
    assert.is(nobody.code, 1);
    assert.match(nobody.error, `user cinder: POST ${gone}/v3/auth/tokens: [Errno`);
    await answering(
      (_, response) => json(response, 201, { token: {} }),
      async (url) =>
        assert.equal(await run("keystone/log-in.py", { env: account(url) }), {
          code: 1,
          out: "",
          error: `user cinder: ${url}/v3/auth/tokens answers without a token\n`,
        }),
    );
  });

  test("log-in: the scope is the project, or the domain where none is named", async () => {
    const seen: unknown[] = [];
    await answering(
      (asked, response) => {
        seen.push((JSON.parse(asked.body) as { auth: { scope: unknown } }).auth.scope);
        token(asked, response);
      },
      async (url) => {
        const env = account(url);
        for (const more of [{}, { OS_PROJECT_NAME: "", OS_USER_DOMAIN_NAME: "heat" }])
          assert.is((await run("keystone/log-in.py", { env: { ...env, ...more } })).code, 0);
      },
    );
    assert.equal(seen, [
      { project: { name: "service", domain: { name: "Default" } } },
      { domain: { name: "heat" } },
    ]);
  });

  test("ask: a service that wants no token, or lacks the key, is no good; headers go along", async () => {
    let strict = true;
    const headers = new Set<string | undefined>();
    await answering(
      (asked, response) => {
        if (token(asked, response)) return;
        headers.add(asked.request.headers["openstack-api-version"] as string | undefined);
        const known = asked.request.headers["x-auth-token"] === "t";
        json(response, known || !strict ? 200 : 401, { images: [] });
      },
      async (url) => {
        const ask = (key: string): Promise<Outcome> =>
          run("openstack/ask.py", {
            args: [`${url}/v2/images`, key],
            env: { ...account(url), OS_HEADER: "OpenStack-API-Version: placement 1.2" },
          });
        assert.is((await ask("images")).code, 0);
        assert.equal([...headers], ["placement 1.2"]);
        assert.match((await ask("volumes")).error, `${url}/v2/images answers without volumes`);
        strict = false;
        assert.match((await ask("images")).error, `${url}/v2/images answers without a token: it must not`);
      },
    );
  });

  test("as they lie on a node: every script that imports it runs there, and says so where it is not", async () => {
    const { plans } = await planned("storage", root, "debian-12");
    const scripts = [...plans.values()].flatMap((plan: NodePlan) => plan.scripts);
    await inTemporaryFolder(async (folder) => {
      writeTree(
        folder,
        Object.fromEntries(
          scripts.map(({ path, text }) => [path.replace("/usr/local/lib/seedsmith/", ""), text]),
        ),
      );
      const importing = scripts
        .filter(({ text }) => /^from openstack_api import/m.test(text))
        .map(({ path }) => path.replace("/usr/local/lib/seedsmith/", ""));
      assert.ok(new Set(importing).size >= 9, importing.join(" "));
      await answering(
        (asked, response) => void token(asked, response),
        async (url) => {
          const env = { ...account(url), OS_PASSWORD: "s3cret" };
          for (const script of new Set(importing)) {
            const args =
              script === "nova-common/finds-services.py" ? ["/nowhere"] : (askers[script]?.(url) ?? []);
            const { code, error } = await run(script, { args, env, stdin }, folder);
            assert.is(code, 1, script);
            assert.match(error, /^user \w+: POST \S+\/auth\/tokens: HTTP Error 401: Unauthorized\n$/, script);
          }
          rmSync(join(folder, "openstack"), { recursive: true });
          const { code, error } = await run("keystone/log-in.py", { env }, folder);
          assert.is(code, 1);
          assert.match(error, "No module named 'openstack_api'");
        },
      );
    });
  });
});

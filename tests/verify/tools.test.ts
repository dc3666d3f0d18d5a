/** What real DHCP servers say of a site's files; where one is not installed, that it was skipped. */
import { spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";
import * as assert from "uvu/assert";
import { check } from "../../src/commands/check.ts";
import { artifact, Lines } from "../../src/emit/lines.ts";
import { runSiteTools } from "../../src/verify/tools.ts";
import { root } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const env = { ...process.env, PATH: [process.env["PATH"], "/usr/sbin", "/sbin"].join(delimiter) };
const from = { file: "site.yaml", line: 1, column: 1 };

suite("a site's files, held against their servers", (test) => {
  for (const [server, tool, file, good, bad] of [
    ["dnsmasq", "dnsmasq --test", "pxe/dnsmasq.conf", "port=0\n", "no-such-word\n"],
    [
      "kea-dhcp4",
      "kea-dhcp4 -t",
      "pxe/kea-dhcp4.conf",
      '{ "Dhcp4": { "subnet4": [] } }\n',
      '{ "Dhcp4": 1 }\n',
    ],
  ] as const) {
    const installed = spawnSync(server, ["-v"], { env }).error === undefined;
    test(`${tool} ${installed ? "takes what is right and names what is wrong" : "is not here, and is skipped"}`, () => {
      const ask = (text: string) => runSiteTools("x", [artifact(file, new Lines().add(text, from))]);
      if (!installed) {
        assert.equal(ask(good), [{ tool, node: "x", outcome: "skipped", detail: "it is not installed" }]);
        return;
      }
      assert.equal(ask(good), [{ tool, node: "x", outcome: "passed", detail: "" }]);
      const [refused] = ask(bad);
      assert.is(refused?.outcome, "failed");
      assert.not.equal(refused?.detail, "");
    });
  }

  test("check --tools asks for all nodes and the site, also where a node has files in folders", async () => {
    const choice = {
      packageRoot: root,
      cwd: join(root, "sites", "pxe"),
      site: "site.yaml",
      target: null,
      profiles: [],
      nodes: [],
    };
    const { tools } = await check(choice, true);
    assert.equal([...new Set(tools.map(({ node }) => node))], ["con01", "com01", "pxe"]);
  });

  test("no other file of the site is held against anything", () => {
    assert.equal(runSiteTools("x", [artifact("pxe/nginx.conf", new Lines().add("", from))]), []);
  });
});

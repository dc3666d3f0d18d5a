import fc from "fast-check";
import * as assert from "uvu/assert";
import { libraryYaml, plainYaml } from "../../src/emit/yaml.ts";
import { suite } from "../support/suite.ts";

/** Lines and blocks that YAML writers trip over. */
const lines = fc.constantFrom(
  ...'yes|No|y|0600|52:54:00:0a:00:01|10.0.0.0/8|a: b|a #b|a#b|a:b|it\'s|say "x"|x: "y"|x: it\'s "y"|x:|x |~|null|/etc/x|- x|-x|?|{a}|[a]|&a|*a|!x|%x|@x|`x`|=|<<|.inf|+1|1e3|0x1f|ALL=(ALL) NOPASSWD:ALL|a\\b: c|é'.split(
    "|",
  ),
  "",
  "a\tb",
  "a\nb\n",
  "#!/bin/sh\n\necho a\n  b\n",
  "a\n\n\n",
  "a\n b",
  "\na\n",
  " a\n",
  "x \ny\n",
  "x\n \ny\n",
  "---\na\n",
  "a\n---\nb\n",
  "tab\tx\n\ty\n",
  "é\nb\n",
  "\u2028x\ny\n",
  "a\r\nb\n",
  "\u0007\n",
  "$6$salt$./hash",
  "$",
  "$x: y",
  "$ #",
);
const leaf = fc.oneof(
  lines,
  fc.string({ unit: fc.constantFrom(..."ab :#'\"-[]{},&*!|>%@\\0.~$\n\t="), maxLength: 6 }),
  fc.string({ unit: fc.constantFrom(..."ab: #\n"), maxLength: 8 }).map((text) => `a${text}b\n`),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    leaf,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("path", "set-name", "a.b", "n", "0a", "x y"), tie("value"), { maxKeys: 3 }),
  ),
}));

suite("emit/plain-yaml", (test) => {
  test("writes the library's bytes, or leaves a value to it", () => {
    let written = 0;
    fc.assert(
      fc.property(value, (one) => {
        const plain = plainYaml(one);
        if (plain === null) return;
        written += 1;
        assert.is(plain, libraryYaml(one));
      }),
      { numRuns: 3000 },
    );
    assert.ok(written > 200, `only ${written} values were plain`);
  });

  test("takes what seeds are made of", () => {
    for (const one of [
      { hostname: "con01" },
      { users: [{ name: "ops", passwd: "$6$rounds=5000$salt$./hash" }] },
      { users: [], apt: { proxy: "http://10.0.0.254:3142", preserve_sources_list: true } },
      { bootcmd: [["install", "-d", "-m", "0700", "/var/lib"]] },
      [{ path: "/a", permissions: "0600", owner: "root:root", content: "#!/bin/sh\n\nset -eu\n" }],
      {
        m: {
          match: { macaddress: "52:54:00:0a:00:01" },
          dhcp4: false,
          addresses: ["10.0.0.1/24"],
          mtu: 1500,
        },
      },
      { "link-local": [], optional: true },
    ]) {
      assert.is(plainYaml(one), libraryYaml(one));
    }
  });
});

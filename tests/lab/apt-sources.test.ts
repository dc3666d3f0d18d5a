import * as assert from "uvu/assert";
import { archivesOf, reachSettings, readDeb822, readOneLine, toDeb822 } from "../../src/lab/apt-sources.ts";
import { suite } from "../support/suite.ts";

suite("apt sources", (test) => {
  test("reads the one-line form", () => {
    const text = `# deb http://old.example/debian bookworm main
deb [arch=amd64 signed-by=/k/a.gpg,/k/b.gpg] http://mirror.example/debian bookworm main contrib # ours
deb-src http://mirror.example/debian bookworm main

deb http://mirror.example/security bookworm-security main`;
    assert.equal(readOneLine(text), [
      {
        uris: ["http://mirror.example/debian"],
        suites: ["bookworm"],
        components: ["main", "contrib"],
        options: { "Signed-By": "/k/a.gpg /k/b.gpg" },
      },
      {
        uris: ["http://mirror.example/security"],
        suites: ["bookworm-security"],
        components: ["main"],
        options: {},
      },
    ]);
  });

  test("reads deb822: comments within, several values, what is switched off, keys in place", () => {
    const text = `Types: deb deb-src
# an old snapshot
URIs: http://a.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQ==
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://b.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://c.example/debian
Suites: bookworm
Components: main
`;
    const sources = readDeb822(text);
    assert.is(sources.length, 1);
    assert.equal(sources[0]!.suites, ["bookworm", "bookworm-updates"]);
    assert.match(sources[0]!.options["Signed-By"]!, "\n mQ==\n");
    assert.equal(readDeb822(toDeb822(sources)), sources, "what is written reads the same");
  });

  test("takes a release's own archives only", () => {
    const source = (suites: string[], components: string[]) => ({
      uris: ["http://x"],
      suites,
      components,
      options: {},
    });
    const found = archivesOf("bookworm", [
      source(["bookworm", "bookworm-backports"], ["main"]),
      source(["bookworm-pgdg"], ["main"]),
      source(["bookworm"], ["stable"]),
      source(["trixie"], ["main"]),
      source(["bookworm-security"], ["main"]),
    ]);
    assert.equal(
      found.map(({ suites }) => suites),
      [["bookworm"], ["bookworm-security"]],
    );
  });

  test("takes over how mirrors are reached, nothing else", () => {
    const kept = [
      'Acquire::http::Proxy "http://proxy.example:3128";',
      'Acquire::http::mirror.example::Proxy "DIRECT";',
      'Acquire::https::CaInfo "/etc/ssl/own.pem";',
      'Acquire::Check-Valid-Until "false";',
    ];
    const left = [
      'APT::Architecture "amd64";',
      'Acquire::http::Proxy-Auto-Detect "/usr/bin/auto-apt-proxy";',
      'Acquire::https::Proxy "";',
      'Acquire::Languages:: "none";',
      'DPkg::Post-Invoke:: "rm -f /var/cache/apt/archives/*.deb";',
    ];
    assert.equal(reachSettings([...kept, ...left].join("\n")), kept);
  });
});

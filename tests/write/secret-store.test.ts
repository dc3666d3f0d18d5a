import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { Problems } from "../../src/core/problem.ts";
import { loadYaml } from "../../src/load/yaml.ts";
import type { SecretDoc, SecretKind, SecretSource } from "../../src/validate/documents.ts";
import { SecretStore } from "../../src/write/secret-store.ts";
import { compileFiles, inTemporaryFolder, siteText } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const posix = process.platform !== "win32";
const wanted = new Map<string, SecretDoc>(
  Object.entries({
    "store.root": "password",
    "store.database.api": "password",
    "api.key": "fernet",
    "api.token": "token",
    "login.ops": "password",
  } satisfies { [name: string]: SecretKind }).map(([name, kind]) => [name, { kind }]),
);

interface Opened {
  readonly store: SecretStore | null;
  readonly problems: Problems;
}

/** Opens a store and fills it as a render does. `bindings` is the site's `secrets:`. */
function open(
  folder: string,
  bindings: { readonly [name: string]: SecretSource } = {},
  names: ReadonlyMap<string, SecretDoc> = wanted,
): Opened {
  const problems = new Problems();
  const doc = loadYaml("site.yaml", `secrets: ${JSON.stringify(bindings)}\n`, problems);
  if (doc === null) throw new Error("the test's own YAML is broken");
  const store = SecretStore.open(folder, "x", problems);
  store?.provide(names, bindings, doc, folder, problems);
  return { store, problems };
}

/** A store without problems. */
function good(folder: string, bindings: { readonly [name: string]: SecretSource } = {}): SecretStore {
  const { store, problems } = open(folder, bindings);
  assert.equal(problems.list, []);
  if (store === null) throw new Error("no store");
  return store;
}

const values = (store: SecretStore): readonly string[] => [...wanted.keys()].map(store.reveal);

suite("the store of secrets", (test) => {
  test("makes each kind once, and the same on every render after", () =>
    inTemporaryFolder((folder) => {
      const first = good(folder);
      const [root = "", database = "", key = "", token = ""] = values(first);
      assert.match(root, /^[A-Za-z0-9]{32}$/);
      assert.match(database, /^[A-Za-z0-9]{32}$/);
      assert.match(key, /^[A-Za-z0-9_-]{43}=$/);
      assert.is(Buffer.from(key, "base64url").length, 32);
      assert.match(token, /^[A-Za-z0-9]{48}$/);
      assert.is(new Set(values(first)).size, wanted.size);
      first.save();
      const second = good(folder);
      assert.equal(values(second), values(first));
      assert.is(second.passwordHash("login.ops"), first.passwordHash("login.ops"));
      const before = readFileSync(second.path);
      second.save();
      assert.equal(readFileSync(second.path), before, "nothing new, nothing written");
    }));

  test("writes nothing before save, and leaves no other file", () =>
    inTemporaryFolder((folder) => {
      const store = good(folder);
      assert.not.ok(existsSync(join(folder, ".seedsmith")));
      store.save();
      assert.equal(readdirSync(join(folder, ".seedsmith")), ["x.json"]);
    }));

  if (posix) {
    test("is 0600 in a folder of 0700, and a file opened up by somebody is closed again", () =>
      inTemporaryFolder((folder) => {
        const store = good(folder);
        store.save();
        assert.is(statSync(join(folder, ".seedsmith")).mode & 0o777, 0o700);
        assert.is(statSync(store.path).mode & 0o777, 0o600);
        chmodSync(store.path, 0o644);
        good(folder);
        assert.is(statSync(store.path).mode & 0o777, 0o600);
      }));
  } else test.skip("modes (skipped: this system has none)", () => {});

  test("a secret that is new is added, and the others stay", () =>
    inTemporaryFolder((folder) => {
      const { store } = open(folder, {}, new Map([["store.root", { kind: "password" }]]));
      store?.save();
      const more = good(folder);
      assert.is(more.reveal("store.root"), store?.reveal("store.root"));
      more.save();
      assert.equal(values(good(folder)), values(more));
    }));

  const damage: Record<string, string> = {
    "no JSON": "{",
    nothing: "",
    "another format": '{"format":2,"secrets":{}}',
    "no secrets": '{"format":1}',
    "secrets that are null": '{"format":1,"secrets":null}',
    "secrets that are a list": '{"format":1,"secrets":[]}',
    "a secret that is a text": '{"format":1,"secrets":{"store.root":"plain"}}',
    "a secret that is null": '{"format":1,"secrets":{"store.root":null}}',
    "a secret without value": '{"format":1,"secrets":{"store.root":{}}}',
    "a secret with an empty value": '{"format":1,"secrets":{"store.root":{"value":""}}}',
  };
  for (const [what, text] of Object.entries(damage)) {
    test(`a store with ${what} is a problem and stays as it is`, () =>
      inTemporaryFolder((folder) => {
        mkdirSync(join(folder, ".seedsmith"), { mode: 0o700 });
        const path = join(folder, ".seedsmith", "x.json");
        writeFileSync(path, text, { mode: 0o600 });
        const { store, problems } = open(folder);
        assert.is(store, null);
        assert.equal(
          problems.list.map(({ code }) => code),
          ["secret-source"],
        );
        assert.is(readFileSync(path, "utf8"), text);
      }));
  }

  test("a folder where the store should be is a problem", () =>
    inTemporaryFolder((folder) => {
      mkdirSync(join(folder, ".seedsmith", "x.json"), { recursive: true });
      const { store, problems } = open(folder);
      assert.is(store, null);
      assert.is(problems.failed, true);
    }));
});

suite("secrets bound by the site", (test) => {
  test("come from the environment, a file beside the site, and a command", () =>
    inTemporaryFolder((folder) => {
      writeFileSync(join(folder, "word"), "from a file\r\n");
      process.env["SEEDSMITH_TEST_WORD"] = 'it\'s $from "env"';
      try {
        const store = good(folder, {
          "store.root": { env: "SEEDSMITH_TEST_WORD" },
          "store.database.api": { file: "word" },
          "api.token": { command: [process.execPath, "-e", "console.log('from ' + process.argv.length)"] },
        });
        assert.equal(values(store).slice(0, 2), ['it\'s $from "env"', "from a file"]);
        assert.is(store.reveal("api.token"), "from 1");
        store.save();
        const kept = readFileSync(store.path, "utf8");
        for (const word of ["from a file", "env", "from 1"]) assert.not.match(kept, word);
        assert.match(kept, "api.key");
      } finally {
        delete process.env["SEEDSMITH_TEST_WORD"];
      }
    }));

  const broken: Record<string, SecretSource> = {
    "an environment variable that is not set": { env: "SEEDSMITH_TEST_NOT_SET" },
    "a file that is not there": { file: "missing" },
    "a file with several lines": { file: "lines" },
    "an empty file": { file: "empty" },
    "a command that fails": { command: [process.execPath, "-e", "process.exit(3)"] },
    "a command that is not there": { command: ["/nonexistent/command"] },
    "two sources at once": { env: "HOME", file: "word" },
    "no source at all": {},
  };
  for (const [what, source] of Object.entries(broken)) {
    test(`${what} is a problem at its line, and no value is made instead`, () =>
      inTemporaryFolder((folder) => {
        writeFileSync(join(folder, "lines"), "a\nb\n");
        writeFileSync(join(folder, "empty"), "");
        const { store, problems } = open(folder, { "store.root": source });
        assert.equal(
          problems.list.map(({ code, at }) => `${code} ${at?.file}:${at?.line}`),
          ["secret-source site.yaml:1"],
        );
        assert.throws(() => store?.reveal("store.root"), /not provided/);
      }));
  }

  test("a bound login keeps its hash over renders, and its word is not stored", () =>
    inTemporaryFolder((folder) => {
      writeFileSync(join(folder, "word"), "correct horse\n");
      const bound = { "login.ops": { file: "word" } };
      const first = good(folder, bound);
      const hash = first.passwordHash("login.ops");
      first.save();
      assert.not.match(readFileSync(first.path, "utf8"), "correct horse");
      assert.is(good(folder, bound).passwordHash("login.ops"), hash);
      writeFileSync(join(folder, "word"), "another\n");
      assert.is.not(good(folder, bound).passwordHash("login.ops"), hash);
    }));

  test("a name that nothing in the site uses is a problem", async () => {
    const { problems } = await compileFiles({
      "templates/components/p/component.yaml":
        'component: p\nsummary: s\nsecrets: { word: { kind: token } }\nfiles: [{ path: /p, template: "{{secrets.word}}" }]\n',
      "profiles/p.yaml": "profile: p\nsummary: s\ncomponents: [p]\n",
      "sites/x/site.yaml": siteText({ n: "p" }, "secrets:\n  p.word: { env: A }\n  p.wrod: { env: B }\n"),
    });
    assert.equal(
      problems.map(({ code, at, hint }) => [code, at?.line, hint]),
      [["unknown-secret", 9, 'did you mean "p.word"?']],
    );
  });
});

suite("password hashes", (test) => {
  const split = (hash: string): readonly string[] => hash.split("$");

  test("are SHA-512 crypt with a salt of 16", () =>
    inTemporaryFolder((folder) => {
      const [, kind, salt = "", hash = ""] = split(good(folder).passwordHash("login.ops"));
      assert.is(kind, "6");
      assert.match(salt, /^[A-Za-z0-9]{16}$/);
      assert.match(hash, /^[./A-Za-z0-9]{86}$/);
    }));

  const openssl = spawnSync("openssl", ["passwd", "-6", "-salt", "abcdefgh", "x"], { encoding: "utf8" });
  const noOpenssl =
    openssl.status === 0 && openssl.stdout.startsWith("$6$") ? null : "openssl passwd -6 is not there";
  for (const word of ["correct horse", "ü€😀", "a", "0123456789".repeat(8), "$6$'\"\\"]) {
    const name = `openssl makes the same hash of ${JSON.stringify(word.slice(0, 20))}`;
    if (noOpenssl !== null) {
      test.skip(`${name} (skipped: ${noOpenssl})`, () => {});
      continue;
    }
    test(name, () =>
      inTemporaryFolder((folder) => {
        writeFileSync(join(folder, "word"), word);
        const made = good(folder, { "login.ops": { file: "word" } }).passwordHash("login.ops");
        const { stdout } = spawnSync("openssl", ["passwd", "-6", "-salt", split(made)[2] ?? "", "-stdin"], {
          input: `${word}\n`,
          encoding: "utf8",
        });
        assert.is(stdout.trim(), made);
      }),
    );
  }
});

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { dump, load } from "js-yaml";
import * as assert from "uvu/assert";
import { LabError } from "../../../src/lab/command.ts";
import type { Driver, LabDescription, LabMachine } from "../../../src/lab/driver.ts";
import { writeFailureBundle } from "../../../src/lab/report/failure-bundle.ts";
import { redactor } from "../../../src/lab/report/redact.ts";
import { fakeVault, inTemporaryFolder, rendered, root, writeTree } from "../../support/build-site.ts";
import { suite } from "../../support/suite.ts";
import { event, fakeDriver, lab as fakeLab, VirtualClock } from "../watch/fake-lab.ts";
import { ran, record } from "./records.ts";

/** Secrets with everything in them that encoders change, and one of the login's hash. */
const canaries = [
  "canary-one-Xy7",
  `canary 'two" $x\\y%z/ü&`,
  "c4nary==three+/",
  fakeVault.passwordHash("login.ops"),
];

/** All ways in which the canaries are planted in what the machine says. */
function planted(): string {
  return canaries
    .flatMap((value) => [
      value,
      JSON.stringify({ env: { PASS: value } }),
      JSON.stringify(JSON.stringify({ stdin: `IDENTIFIED BY '${value}'` })),
      `mysql+pymysql://nova:${encodeURIComponent(value)}@con01/nova`,
      `GRANT ALL IDENTIFIED BY '${value.replaceAll("'", "''")}'`,
      `export P='${value.replaceAll("'", "'\\''")}'`,
      `base64 ${Buffer.from(value).toString("base64")}`,
      dump({ value }),
    ])
    .join("\n");
}

const machine = (seed: string): LabMachine => ({
  name: "con01",
  target: "debian-12",
  seed,
  cpus: 2,
  memory: 2048,
  disk: 10,
  firmware: "bios",
  interfaces: [],
  address: null,
  user: null,
});

interface World {
  readonly folder: string;
  readonly driver: Driver;
  readonly lab: LabDescription;
  readonly asked: string[];
}

/** A lab whose machine answers every question with canaries. */
function world(folder: string, answers = true): World {
  const asked: string[] = [];
  const consoleLog = join(folder, "console.log");
  writeFileSync(consoleLog, `\x1b[32mbooting\x1b[0m\n${planted()}\n`);
  const driver: Driver = {
    ...fakeDriver(new VirtualClock(), {}),
    console: () => consoleLog,
    async exec(_lab, _machine, argv) {
      if (!answers) throw new LabError("con01 cannot be reached");
      asked.push(argv.join(" "));
      const stdout =
        argv.join(" ") === "systemctl --failed --no-pager --plain --no-legend"
          ? "mariadb.service loaded failed failed MariaDB\nsystemd-fsck@dev-disk-by\\x2duuid-1.service loaded failed failed x\n"
          : argv.includes("/run/cloud-init/result.json")
            ? ""
            : `answer to ${argv[0]}\n${planted()}\n`;
      return { status: 0, signal: null, stdout, stderr: "" };
    },
  };
  const lab: LabDescription = { ...fakeLab, site: "example", folder: join(folder, "lab"), cache: folder };
  return { folder, driver, lab, asked };
}

/** Unpacks a bundle with the system's tar. */
function unpack(path: string, into: string): Map<string, string> {
  mkdirSync(into);
  execFileSync("tar", ["-xzf", path, "-C", into]);
  return new Map(
    readdirSync(into, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => {
        const place = join(entry.parentPath, entry.name);
        return [place.slice(into.length + 1), readFileSync(place, "utf8")];
      }),
  );
}

const failing = record(
  "con01",
  [
    event("con01", 1, "run-start"),
    ...ran("con01", "db", 2, 3, "step-fail", { message: `exit 1: ${canaries[1]}`, tail: planted() }),
    event("con01", 3, "failed", { step: "db", message: canaries[0]! }),
  ],
  {
    failure: {
      step: "db",
      name: "database",
      from: "site.yaml:7",
      message: `no ${canaries[0]}`,
      tail: planted().split("\n"),
    },
  },
);

suite("failure bundle", (test) => {
  test("everything is in it, no canary is, and only its owner may read it", async () => {
    const { nodes } = await rendered("example", root, "debian-12");
    await inTemporaryFolder(async (folder) => {
      const seed = join(folder, "seed");
      for (const { name, bytes } of nodes.get("con01")!)
        writeTree(seed, { [name]: name === "seed.iso" ? "" : new TextDecoder().decode(bytes) });
      const names = [...readFileSync(join(seed, "plan.json"), "utf8").matchAll(/<secret ([^>]+)>/g)].map(
        (one) => one[1]!,
      );
      assert.ok(names.length > 3);
      // The values of the rendered seed, which are as hostile as encoders can stand.
      const real = [...new Set(names)].map((name) => fakeVault.reveal(name));
      const userData = readFileSync(join(seed, "user-data"), "utf8");
      assert.ok(real.some((value) => userData.includes(JSON.stringify(value).slice(1, -1))));
      writeTree(seed, {
        "user-data": `${userData}\n${dump({ canaries })}`,
      });

      const { driver, lab } = world(folder);
      const path = await writeFailureBundle({
        driver,
        lab,
        machine: machine(seed),
        record: failing,
        secrets: [...canaries, ...real],
        source: () => `  password: ${canaries[0]}`,
      });
      assert.is(path, join(folder, "lab", "failed-con01.tar.gz"));
      assert.is(statSync(path).mode & 0o777, 0o600);
      const files = unpack(path, join(folder, "unpacked"));
      const expected = [
        "README.txt",
        "console.log",
        "cloud-init/cloud-init.log",
        "cloud-init/cloud-init-output.log",
        "cloud-init/status.txt",
        "runner/events.jsonl",
        "runner/state.json",
        "runner/journal.txt",
        "units/mariadb.service.txt",
        "units/systemd-fsck@dev-disk-by_x2duuid-1.service.txt",
        "seed/user-data",
        "seed/meta-data",
        "seed/network-config",
        "seed/plan.json",
        "system/failed-units.txt",
      ];
      for (const name of expected) assert.ok(files.has(`failed-con01/${name}`), name);
      const all = gunzipSync(readFileSync(path)).toString("utf8");
      for (const secret of [...canaries, ...real]) {
        for (const spelt of [
          secret,
          JSON.stringify(secret).slice(1, -1),
          encodeURIComponent(secret),
          secret.replaceAll("'", "''"),
          Buffer.from(secret).toString("base64"),
        ])
          assert.not.ok(
            all.includes(spelt),
            `${spelt} in ${[...files].find(([, text]) => text.includes(spelt))?.[0]}`,
          );
      }
      assert.is(/.*(?:canary|c4nary).*/.exec(all)?.[0], undefined);
      // And still it tells what happened.
      assert.match(
        files.get("failed-con01/README.txt")!,
        /con01 FAILED at database \(db\)[\s\S]*asked for by site.yaml:7[\s\S]*result.json: empty/,
      );
      assert.match(files.get("failed-con01/console.log")!, /^booting\n/);
      assert.equal(
        files.get("failed-con01/runner/events.jsonl")!.split("\n").length,
        failing.events.length + 1,
      );
      assert.match(files.get("failed-con01/seed/plan.json")!, /<secret /);
    });
  });

  test("user-data without secrets can still be read by cloud-init", async () => {
    const { nodes } = await rendered("example", root, "debian-12");
    await inTemporaryFolder(async (folder) => {
      const seed = join(folder, "seed");
      for (const { name, bytes } of nodes.get("con01")!)
        if (name !== "seed.iso") writeTree(seed, { [name]: new TextDecoder().decode(bytes) });
      const names = [...readFileSync(join(seed, "plan.json"), "utf8").matchAll(/<secret ([^>]+)>/g)].map(
        (one) => one[1]!,
      );
      const { driver, lab } = world(folder);
      const path = await writeFailureBundle({
        driver,
        lab,
        machine: machine(seed),
        record: failing,
        secrets: names.map((name) => fakeVault.reveal(name)),
      });
      const files = unpack(path, join(folder, "unpacked"));
      const text = files.get("failed-con01/seed/user-data");
      assert.ok(text !== undefined, files.get("failed-con01/README.txt"));
      const value = load(text!) as { write_files: { path: string; content: string }[] };
      const program = value.write_files.find(({ path: place }) => place.endsWith("program.json"))!;
      assert.is((JSON.parse(program.content) as { node: string }).node, "con01");
      assert.match(program.content, /<secret>/);
    });
  });

  test("a secret that is hidden in an encoding leaves the file out, and says so", async () => {
    await inTemporaryFolder(async (folder) => {
      const seed = join(folder, "seed");
      // In the middle of other bytes, base64 does not show it.
      const content = Buffer.from(`x${canaries[0]}y`).toString("base64");
      writeTree(seed, {
        "user-data": `#cloud-config\nwrite_files: [{ path: /x, encoding: b64, content: ${content} }]\n`,
        "meta-data": "instance-id: a\n",
      });
      const { driver, lab } = world(folder);
      const path = await writeFailureBundle({
        driver,
        lab,
        machine: machine(seed),
        record: failing,
        secrets: canaries,
      });
      const files = unpack(path, join(folder, "unpacked"));
      assert.not.ok(files.has("failed-con01/seed/user-data"));
      assert.match(
        files.get("failed-con01/README.txt")!,
        /seed\/user-data: left out, for a secret would be in it/,
      );
    });
  });

  test("a machine that does not answer makes a smaller bundle that says so", async () => {
    await inTemporaryFolder(async (folder) => {
      const { driver, lab } = world(folder, false);
      const path = await writeFailureBundle({
        driver,
        lab,
        machine: machine(join(folder, "none")),
        record: failing,
        secrets: canaries,
      });
      const files = unpack(path, join(folder, "unpacked"));
      assert.equal([...files.keys()].sort(), [
        "failed-con01/README.txt",
        "failed-con01/console.log",
        "failed-con01/runner/events.jsonl",
      ]);
      assert.match(
        files.get("failed-con01/README.txt")!,
        /the machine does not answer: con01 cannot be reached/,
      );
    });
  });
});

suite("redaction", (test) => {
  const redact = redactor([]);
  test("what looks like a secret goes, though nobody told of it", () => {
    const cases: [string, string][] = [
      ["password = hunter2hunter", "password = <secret>"],
      ['"admin_password": "a \\"b\\" c", "x": 1', '"admin_password": "<secret>", "x": 1'],
      ["rabbit://openstack:s3cr3t@con01:5672/", "rabbit://openstack:<secret>@con01:5672/"],
      ["Authorization: Basic YWJjOmRlZg==", "Authorization: Basic <secret>"],
      ["hash $6$rounds=1$abcdefghijkl$0123456789abcdef.", "hash <secret>"],
      [
        "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\nrest",
        "-----BEGIN OPENSSH PRIVATE KEY-----<secret>\nrest",
      ],
      ["X-Auth-Token: gAAAAABabc", "X-Auth-Token: <secret>"],
    ];
    for (const [text, expected] of cases) assert.is(redact(text), expected);
  });

  test("what does not stays", () => {
    for (const text of [
      "cc_set_passwords.py[DEBUG]: Reading from /etc/passwd",
      "2026-01-01 00:00:00 - ssh-ed25519 AAAAC3Nz key of ops",
      "mysql://con01:3306/nova and http://con01:5000/v3",
    ])
      assert.is(redact(text), text);
  });

  test("the longer secret first; one that is too short is counted and not replaced", () => {
    const known = redactor(["abcdef", "abcdefghi", "abc", ""]);
    assert.equal([known("abcdefghi abcdef abc"), known.tooShort], ["<secret> <secret> abc", 1]);
    assert.equal([known.leaks("x%abcdef"), known.leaks("abc")], [true, false]);
  });
});

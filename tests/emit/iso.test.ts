import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import fc from "fast-check";
import * as assert from "uvu/assert";
import { writeIso } from "../../src/emit/iso.ts";
import { isoDifferences, readIso } from "../../src/verify/iso-reader.ts";
import { suite } from "../support/suite.ts";

type File = { name: string; bytes: Uint8Array };

const utf8 = new TextEncoder();
const file = (name: string, contents: string | number): File => ({
  name,
  bytes: typeof contents === "string" ? utf8.encode(contents) : new Uint8Array(contents).fill(0x61),
});

const SEED: readonly File[] = [
  file("user-data", "#cloud-config\nhostname: node-1\n"),
  file("meta-data", "instance-id: node-1\n"),
  file("network-config", "version: 2\n"),
  file("vendor-data", ""),
];
/** Change it only together with the layout: nodes that are already built get other bytes then. */
const SEED_DIGEST = "964538e9265b28b5c06eb575c699af1b15b0c17b88824ef9cd5eaef5afe1f4a9";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const sectors = (bytes: Uint8Array): number => Math.ceil(bytes.length / 2048);
const overhead = (image: Uint8Array, files: readonly File[]): number =>
  image.length / 2048 - files.reduce((sum, { bytes }) => sum + sectors(bytes), 0);
const good = (volumeId: string, files: readonly File[]): Uint8Array => {
  const image = writeIso(volumeId, files);
  assert.equal(isoDifferences(image, volumeId, files), []);
  return image;
};

suite("iso", (test) => {
  // Three bytes in UTF-8 for each unit, and a full 8.3 name.
  const worst = Array.from({ length: 29 }, (_, index) =>
    file(`${"字".repeat(59)}${String.fromCharCode(0x4e00 + index)}.字字字`, index),
  );
  for (const [what, files, extra] of [
    ["no files", [], 26],
    ["a seed", SEED, 27],
    ["one byte", [file("user-data", 1)], 26],
    ["one sector less a byte", [file("user-data", 2047)], 26],
    ["one sector", [file("user-data", 2048)], 26],
    ["one sector and a byte", [file("user-data", 2049)], 26],
    ["100 KB", [file("user-data", 102_400), file("meta-data", 10)], 26],
    ["empty files", [file("a", 0), file("b", 0)], 27],
    ["a name of one unit", [file("x", 1)], 26],
    ["names in UTF-8", [file("ключ", 1), file("é", 2), file("\ufeffbom", 3)], 26],
    ["the longest names", worst, 32],
    ["dots", [file(".profile", 1), file("a.b.c", 2), file("a..b", 3), file("...x", 4)], 26],
  ] as const)
    test(`holds ${what}`, () => {
      assert.is(overhead(good("cidata", files), files), extra);
    });

  for (const volumeId of ["cidata", "CIDATA", "config-2", "a", "sixteen-letters!"])
    test(`keeps the volume id ${volumeId}`, () => {
      good(volumeId, SEED);
    });

  test("makes unique 8.3 names", () => {
    const names = [
      "user-data",
      "user-database",
      "user_data",
      "USER_DAT",
      "user_da1",
      "a.yaml",
      "a.yaml~",
      ".x",
      "ß",
    ];
    const reading = readIso(
      good(
        "cidata",
        names.map((name) => file(name, name)),
      ),
    );
    assert.ok(reading.ok);
    assert.equal(
      reading.image.plain.map(({ name, bytes }) => `${name} ${new TextDecoder().decode(bytes)}`),
      [
        "A.YAM a.yaml",
        "A1.YAM a.yaml~",
        "USER_DA1 user-data",
        "USER_DA2 user-database",
        "USER_DA3 user_da1",
        "USER_DA4 user_data",
        "USER_DAT USER_DAT",
        "_ ß",
        "_X .x",
      ],
    );
  });

  test("holds a thousand names that collide", () => {
    good(
      "cidata",
      Array.from({ length: 1000 }, (_, index) => file(`part-of-something-${index}.conf`, 1)),
    );
  });

  test("gives files to root, readable", () => {
    const reading = readIso(writeIso("cidata", SEED));
    assert.ok(reading.ok);
    for (const { mode, uid, gid } of reading.image.rockRidge)
      assert.equal([mode, uid, gid], [0o100444, 0, 0]);
  });

  for (const [what, volumeId, names, message] of [
    ["an empty volume id", "", [], /volume id is empty/],
    ["a volume id over 16", "a".repeat(17), [], /17 characters; Joliet holds at most 16/],
    ["a volume id outside ASCII", "cidatä", [], /printable ASCII/],
    ["a volume id with a colon", "ci:data", [], /printable ASCII without/],
    ["a volume id with a space at its end", "cidata ", [], /starts or ends with a space/],
    ["an empty name", "cidata", [""], /empty name/],
    ["a name over 64", "cidata", ["a".repeat(65)], /65 UCS-2 units; Joliet holds at most 64/],
    ["a slash", "cidata", ["a/b"], /slash/],
    ["a backslash", "cidata", ["a\\b"], /Joliet does not hold/],
    ["a control character", "cidata", ["a\nb"], /Joliet does not hold/],
    ["a zero", "cidata", ["a\0"], /Joliet does not hold/],
    ["a character outside UCS-2", "cidata", ["😀"], /outside UCS-2/],
    ["half a surrogate pair", "cidata", ["a\ud800"], /outside UCS-2/],
    ["a dot", "cidata", ["."], /ends with a dot/],
    ["two dots", "cidata", [".."], /ends with a dot/],
    ["one name twice", "cidata", ["b", "a", "b"], /two files have the name "b"/],
  ] as const)
    test(`refuses ${what}`, () => {
      assert.throws(
        () =>
          writeIso(
            volumeId,
            names.map((name) => file(name, 1)),
          ),
        (error: unknown) => error instanceof RangeError && message.test(error.message),
      );
    });

  test("reads back what it wrote, within 32 sectors, the same on every run and in every order", () => {
    const plainUnit = fc.constantFrom(..."abcXYZ019-_. +~éж字\u0301");
    const anyUnit = fc.integer({ min: 0x20, max: 0xffff }).map((code) => String.fromCharCode(code));
    const name = fc
      .array(fc.oneof({ weight: 3, arbitrary: plainUnit }, anyUnit), { minLength: 1, maxLength: 64 })
      .map((units) => units.join(""))
      .filter((text) => !/[\p{Cc}\p{Cs}*/:;?\\\u{10000}-\u{10ffff}]|\.$/u.test(text));
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ maxLength: 6000, size: "max" }));
    const files = fc.uniqueArray(fc.record({ name, bytes }), {
      maxLength: 20,
      selector: (one) => one.name,
    });
    const volumeId = fc.stringMatching(/^[A-Za-z0-9_-]{1,16}$/);
    fc.assert(
      fc.property(volumeId, files, (id, list) => {
        const image = good(id, list);
        assert.ok(overhead(image, list) <= 32);
        assert.is(Buffer.compare(image, writeIso(id, list)), 0);
        assert.is(Buffer.compare(image, writeIso(id, list.toReversed())), 0);
      }),
      { numRuns: 150 },
    );
  });

  test("takes views into larger buffers", () => {
    const buffer = utf8.encode("before#cloud-configafter");
    good("cidata", [{ name: "user-data", bytes: buffer.subarray(6, 19) }]);
  });

  test("has the same bytes as ever", () => {
    assert.is(sha256(writeIso("cidata", SEED)), SEED_DIGEST);
  });

  test("has the same bytes in another time zone, locale and folder", () => {
    const source = `
      import { createHash } from "node:crypto";
      import { writeIso } from ${JSON.stringify(new URL("../../src/emit/iso.ts", import.meta.url).href)};
      const files = ${JSON.stringify(SEED.map(({ name, bytes }) => [name, Array.from(bytes)]))};
      const image = writeIso("cidata", files.map(([name, bytes]) => ({ name, bytes: Uint8Array.from(bytes) })));
      console.log(createHash("sha256").update(image).digest("hex"));`;
    const run = spawnSync(
      process.execPath,
      ["--import", import.meta.resolve("tsx"), "--input-type=module", "--eval", source],
      {
        cwd: tmpdir(),
        env: { ...process.env, TZ: "Asia/Tokyo", LC_ALL: "tr_TR.UTF-8", SOURCE_DATE_EPOCH: "1" },
        encoding: "utf8",
      },
    );
    assert.is(run.stdout.trim(), SEED_DIGEST, run.stderr);
  });
});

/** Runs a tool of the system on the seed, or says that it is not there and returns nothing. */
function judge(
  tool: string,
  test: string,
  run: (call: (...args: string[]) => SpawnSyncReturns<Buffer>, image: string, folder: string) => void,
): void {
  // blkid is in sbin, which is not in every user's PATH.
  const path = [process.env.PATH ?? "", "/usr/sbin", "/sbin"].join(delimiter);
  const env = { ...process.env, PATH: path, LC_ALL: "C" };
  const call = (...args: string[]): SpawnSyncReturns<Buffer> => spawnSync(tool, args, { env });
  if (call("--version").error !== undefined) {
    console.log(`skipped: ${test}: there is no ${tool} on this machine`);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-iso-"));
  try {
    const image = join(folder, "seed.iso");
    writeFileSync(image, writeIso("cidata", SEED));
    run(call, image, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

suite("iso, judged by other programs", (test) => {
  for (const [tree, read] of [
    ["Rock Ridge", "any"],
    ["Joliet", "norock"],
  ] as const)
    test(`xorriso extracts the files by ${tree}`, () => {
      judge("xorriso", `xorriso by ${tree}`, (call, image, folder) => {
        const out = join(folder, "out");
        mkdirSync(out);
        const run = call(
          "-no_rc",
          "-read_fs",
          read,
          "-indev",
          image,
          "-osirrox",
          "on",
          "-extract",
          "/",
          out,
          "-find",
          "/",
        );
        const said = run.stderr.toString();
        assert.is(run.status, 0, said);
        assert.match(said, /Volume id +: 'cidata'/);
        assert.not.match(said, /WARNING|SORRY|FAILURE|FATAL/);
        const names = SEED.map(({ name }) => `'/${name}'`);
        assert.equal(run.stdout.toString().trim().split("\n").sort(), ["'/'", ...names].sort());
        for (const { name, bytes } of SEED)
          assert.is(Buffer.compare(readFileSync(join(out, name)), bytes), 0, name);
      });
    });

  for (const option of ["-R", "-J"])
    test(`isoinfo ${option} extracts the files`, () => {
      judge("isoinfo", `isoinfo ${option}`, (call, image) => {
        const listing = call(option, "-f", "-i", image);
        assert.is(listing.status, 0, listing.stderr.toString());
        assert.equal(
          listing.stdout.toString().trim().split("\n").sort(),
          SEED.map(({ name }) => `/${name}`).sort(),
        );
        for (const { name, bytes } of SEED)
          assert.is(
            Buffer.compare(call(option, "-i", image, "-x", `/${name}`).stdout, bytes),
            0,
            `${option} ${name}`,
          );
      });
    });

  test("isoinfo sees the label, Joliet and Rock Ridge", () => {
    judge("isoinfo", "isoinfo -d", (call, image) => {
      const said = call("-d", "-i", image).stdout.toString();
      assert.match(said, /^Volume id: cidata$/m);
      assert.match(said, /Joliet with UCS level 3 found/);
      assert.match(said, /Rock Ridge signatures version 1 found/);
      assert.match(said, /^Volume size is: 30$/m);
    });
  });

  test("blkid sees the label", () => {
    judge("blkid", "blkid", (call, image) => {
      const run = call("-p", "-o", "export", image);
      const said = run.stdout.toString().split("\n");
      for (const line of ["TYPE=iso9660", "LABEL=cidata", "USAGE=filesystem"])
        assert.ok(said.includes(line), `${line} is not in ${said.join(" ")} ${run.stderr}`);
    });
  });
});

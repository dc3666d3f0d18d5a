import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import fc from "fast-check";
import * as assert from "uvu/assert";
import { writeFat } from "../../src/emit/fat.ts";
import { fatDifferences, readFat } from "../../src/verify/fat-reader.ts";
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
/** Change it only together with the layout. */
const SEED_DIGEST = "52975bcf9b1996b13bd147470dfaba629fcf112562cc01c5a724761cc0f1456e";

const good = (label: string, files: readonly File[]): Uint8Array => {
  const image = writeFat(label, files);
  assert.equal(fatDifferences(image, label, files), []);
  return image;
};

/** Clusters of 2 KiB that fill FAT12 but for what is spared. */
const FULL12 = (4085 - 8 - 1) * 2048;

suite("fat", (test) => {
  for (const [what, files] of [
    ["no files", []],
    ["a seed", SEED],
    ["one byte", [file("user-data", 1)]],
    ["a cluster less a byte", [file("user-data", 2047)]],
    ["a cluster", [file("user-data", 2048)]],
    ["a cluster and a byte", [file("user-data", 2049)]],
    ["a short name", [file("README.TXT", 3), file("A", 1)]],
    [
      "names that differ in what 8.3 drops",
      [file("user-data-1", 1), file("user-data-2", 2), file("user-data.3", 3)],
    ],
    ["a name of 13 and of 14 units", [file("thirteen-unit", 1), file("fourteen-units", 2)]],
    ["the longest name", [file("x".repeat(255), 5)]],
    ["names in other scripts", [file("ключ", 1), file("é", 2), file("字.字", 3)]],
    ["folders", [file("a/b/c/d", 1), file("a/b/e", 2), file("a/f", 3), file("g", 4)]],
    [
      "a folder of many files",
      Array.from({ length: 300 }, (_, index) => file(`many/file-number-${index}`, index)),
    ],
    ["as much as FAT12 takes", [file("big", FULL12)]],
    ["a byte more, in FAT16", [file("big", FULL12 + 1)]],
    ["FAT16 with larger clusters", [file("big", 140_000_000)]],
  ] as const)
    test(`holds ${what}`, () => {
      const image = good("CIDATA", files);
      assert.is(image.length % 16384, 0);
    });

  test("FAT12 and FAT16 are told apart by their clusters", () => {
    const kind = (size: number): string =>
      new TextDecoder().decode(writeFat("X", [file("big", size)]).subarray(54, 62)).trim();
    assert.is(kind(FULL12), "FAT12");
    assert.is(kind(FULL12 + 1), "FAT16");
  });

  test("is the same bytes whatever the order of files, and as it always was", () => {
    const image = good("CIDATA", SEED);
    assert.equal(writeFat("CIDATA", SEED.toReversed()), image);
    assert.is(createHash("sha256").update(image).digest("hex"), SEED_DIGEST);
  });

  for (const [what, label, files] of [
    ["a label in lower case", "cidata", SEED],
    ["a label that is too long", "CIDATA-IS-LONG", SEED],
    ["no label", "", SEED],
    ["a file twice", "X", [file("a", 1), file("a", 2)]],
    ["files that differ in case", "X", [file("a", 1), file("A", 2)]],
    ["a file that is a folder too", "X", [file("a", 1), file("a/b", 2)]],
    ["no name", "X", [file("", 1)]],
    ["an empty folder name", "X", [file("a//b", 1)]],
    ["..", "X", [file("../a", 1)]],
    ["a name that ends with a dot", "X", [file("a.", 1)]],
    ["a colon", "X", [file("a:b", 1)]],
    ["a control character", "X", [file("a\tb", 1)]],
    ["a name of 256 units", "X", [file("x".repeat(256), 1)]],
    ["more files than the root takes", "X", Array.from({ length: 512 }, (_, index) => file(`F${index}`, 0))],
  ] as const)
    test(`refuses ${what}`, () => {
      assert.throws(
        () => writeFat(label, files),
        (error: unknown) => error instanceof RangeError,
      );
    });

  const name = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 40 })
    .map((text) => text.replace(/[\p{Cc}\p{Cs}"*/:<>?\\|\u{10000}-\u{10ffff}]/gu, "_").replace(/[. ]+$/, "_"))
    .filter((text) => text !== "" && text.length <= 255);
  const tree = fc.uniqueArray(
    fc.record({
      name: fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/")),
      bytes: fc.uint8Array({ maxLength: 6000 }),
    }),
    { selector: (one) => one.name.toUpperCase(), maxLength: 20 },
  );

  test("generated files come back as they were, or are refused", () => {
    let accepted = 0;
    fc.assert(
      fc.property(tree, (files) => {
        let image: Uint8Array;
        try {
          image = writeFat("CIDATA", files);
        } catch (error) {
          assert.ok(error instanceof RangeError, String(error));
          return;
        }
        accepted += 1;
        assert.equal(fatDifferences(image, "CIDATA", files), []);
      }),
      { numRuns: 200, seed: 7 },
    );
    assert.ok(accepted > 100, `${accepted} of 200 were accepted`);
  });

  // Outside tools.
  const env = {
    ...process.env,
    LC_ALL: "C.UTF-8",
    PATH: [process.env["PATH"], "/usr/sbin", "/sbin"].join(delimiter),
  };
  const judge = (
    tool: string,
    what: string,
    check: (call: (...args: string[]) => string, path: string) => void,
  ): void => {
    if (spawnSync(tool, ["--version"], { env }).error !== undefined) {
      test.skip(`${what} (skipped: there is no ${tool})`, () => {});
      return;
    }
    test(what, () => {
      const folder = mkdtempSync(join(tmpdir(), "seedsmith-fat-"));
      try {
        for (const files of [
          SEED,
          [file("openstack/latest/user_data", 90_000), file("openstack/latest/meta_data.json", "{}")],
          [file("big", FULL12 + 1), file("small", "s")],
        ]) {
          const path = join(folder, "image");
          writeFileSync(path, writeFat("CIDATA", files));
          check((...args) => {
            const done = spawnSync(tool, args, { encoding: "utf8", env, maxBuffer: 2 ** 26 });
            assert.is(done.status, 0, `${tool} ${args.join(" ")}: ${done.stdout}${done.stderr}`);
            assert.is(done.stderr, "", tool);
            return done.stdout;
          }, path);
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  };
  judge("fsck.vfat", "fsck.vfat finds nothing wrong", (call, path) => {
    const said = call("-n", "-v", path);
    assert.not.match(said, /differ|wrong|bad|error|free cluster|Dirty/i, said);
  });
  judge("blkid", "blkid sees the type and the label", (call, path) => {
    const said = call("-p", "-o", "export", path);
    assert.match(said, /^TYPE=vfat$/m);
    assert.match(said, /^LABEL=CIDATA$/m);
  });
  judge("mdir", "mtools list and read the files", (call, path) => {
    const listed = call("-i", path, "-/", "-b", "::");
    for (const { name: wanted, bytes } of readFat(writeFat("CIDATA", SEED)).files)
      if (listed.includes(`::/${wanted}`)) {
        const done = spawnSync("mtype", ["-i", path, `::${wanted}`], { env });
        assert.is(Buffer.compare(done.stdout, bytes), 0, wanted);
      }
    assert.match(listed, /user[-_]data|big/);
  });
});

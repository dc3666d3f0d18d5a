import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import * as assert from "uvu/assert";
import { writeFat } from "../../src/emit/fat.ts";
import { fatDifferences, readFat } from "../../src/verify/fat-reader.ts";
import { suite } from "../support/suite.ts";

const files = [
  { name: "user-data", bytes: new Uint8Array(5000).fill(0x61) },
  { name: "meta-data", bytes: new Uint8Array(10).fill(0x62) },
  { name: "sub/folder/file", bytes: new Uint8Array(3000).fill(0x63) },
];
const FAT = 512;
const ROOT = 512 * 3;

suite("fat reader", (test) => {
  test("finds nothing wrong with a good image", () => {
    assert.equal(fatDifferences(writeFat("CIDATA", files), "CIDATA", files), []);
  });

  // Where in the image what is broken, and what must be said.
  for (const [what, change, said] of [
    ["no signature", (b) => b.fill(0, 510, 512), /no signature/],
    ["other sectors", (b) => b.set([0, 4], 11), /1024 bytes|sectors/],
    ["no cluster size", (b) => b.fill(0, 13, 14), /0 sectors a cluster/],
    ["another type's name", (b) => b.set(Buffer.from("FAT16   "), 54), /calls itself FAT16/],
    ["FATs that differ", (b) => b.set([0xff], FAT + 512 + 30), /FATs differ/],
    [
      "no media byte",
      (b) => {
        b.set([0], FAT);
        b.set([0], FAT + 512);
      },
      /media byte/,
    ],
    ["another label", (b) => b.set(Buffer.from("OTHER"), 43), /boot sector says/],
    ["another label in the root", (b) => b.set(Buffer.from("X"), ROOT), /label|boot sector/],
    [
      "a lost cluster",
      (b) => {
        b.set([0xff, 0x0f], FAT + 21);
        b.set([0xff, 0x0f], FAT + 512 + 21);
      },
      /nobody's/,
    ],
    ["other contents", (b) => b.set([0], b.length - 16384 - 3 * 2048 + 0), /other contents|nobody|cannot/],
    ["a damaged long name", (b) => b.set([0x7a], ROOT + 33), /missing|should not/],
    ["a wrong checksum", (b) => b.set([0], ROOT + 32 + 13), /checksum|order/],
    ["a short image", (b) => b, /sectors, and has/],
  ] as readonly (readonly [string, (bytes: Uint8Array) => void, RegExp])[])
    test(`sees ${what}`, () => {
      const image = writeFat("CIDATA", files).slice();
      change(image);
      const seen = what === "a short image" ? image.subarray(0, image.length - 512) : image;
      const differences = fatDifferences(seen, "CIDATA", files).join("; ");
      assert.match(differences, said);
    });

  test("sees files that are missing, more, or of another size", () => {
    const image = writeFat("CIDATA", files);
    assert.match(fatDifferences(image, "CIDATA", files.slice(1)).join(), /should not be/);
    assert.match(
      fatDifferences(image, "CIDATA", [...files, { name: "x", bytes: new Uint8Array() }]).join(),
      /x is missing/,
    );
    assert.match(fatDifferences(image, "CONFIG-2", files).join(), /label/);
  });

  test("never throws, whatever it is given", () => {
    for (const size of [0, 1, 511, 512, 4096]) assert.ok(readFat(new Uint8Array(size)).faults.length > 0);
    const image = writeFat("CIDATA", files);
    for (let at = 0; at < 4096; at += 7) {
      const broken = image.slice();
      broken[at] = (broken[at] ?? 0) ^ 0xff;
      readFat(broken);
    }
  });

  const env = {
    ...process.env,
    LC_ALL: "C.UTF-8",
    PATH: [process.env["PATH"], "/usr/sbin", "/sbin"].join(delimiter),
  };
  if (
    spawnSync("mkfs.vfat", ["--help"], { env }).error === undefined &&
    spawnSync("mcopy", ["-V"], { env }).error === undefined
  )
    test("reads images that mkfs.vfat and mcopy made", () => {
      const folder = mkdtempSync(join(tmpdir(), "seedsmith-fat-"));
      try {
        for (const [size, bits] of [
          [2, 12],
          [40, 16],
        ] as const) {
          const path = join(folder, `image${bits}`);
          writeFileSync(path, new Uint8Array(size * 2 ** 20));
          writeFileSync(join(folder, "user-data"), "#cloud-config\n");
          writeFileSync(join(folder, "meta-data"), "x".repeat(70_000));
          for (const [tool, ...args] of [
            ["mkfs.vfat", "-n", "CIDATA", path],
            ["mmd", "-i", path, "::sub"],
            ["mcopy", "-i", path, join(folder, "user-data"), join(folder, "meta-data"), "::"],
            ["mcopy", "-i", path, join(folder, "meta-data"), "::sub/a-long-name-in-a-folder"],
          ] as const) {
            const done = spawnSync(tool, args, { env, encoding: "utf8" });
            assert.is(done.status, 0, done.stderr);
          }
          const wanted = ["user-data", "meta-data"].map((name) => ({
            name,
            bytes: readFileSync(join(folder, name)),
          }));
          wanted.push({
            name: "sub/a-long-name-in-a-folder",
            bytes: readFileSync(join(folder, "meta-data")),
          });
          assert.equal(fatDifferences(readFileSync(path), "CIDATA", wanted), []);
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  else test.skip("reads images that mkfs.vfat and mcopy made (skipped: they are not installed)", () => {});
});

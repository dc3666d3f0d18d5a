import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { writeIso } from "../../src/emit/iso.ts";
import { isoDifferences, readIso } from "../../src/verify/iso-reader.ts";
import { suite } from "../support/suite.ts";

type File = { name: string; bytes: Uint8Array };
type Corruption = (bytes: Uint8Array, view: DataView) => void;

const utf8 = new TextEncoder();
const file = (name: string, contents: string): File => ({ name, bytes: utf8.encode(contents) });
const FILES: readonly File[] = [
  file("meta-data", "instance-id: a\n"),
  file("user-data", "#cloud-config\n"),
  file("vendor-data", ""),
  file("字".repeat(64), "long\n"),
];
const IMAGE = writeIso("cidata", FILES);

// Where the writer puts things; the corruptions below are aimed at these.
const PRIMARY = 16 * 2048;
const JOLIET = 17 * 2048;
const TREE = 23 * 2048;
const MORE = 24 * 2048;
const JOLIET_TREE = 25 * 2048;
/** The first file, META_DAT.;1, comes after the records of 106 and 70 bytes. */
const META = TREE + 106 + 70;
const JOLIET_META = JOLIET_TREE + 68;

const both32 = (view: DataView, at: number, value: number): void => {
  view.setUint32(at, value, true);
  view.setUint32(at + 4, value);
};
const reasonFor = (corrupt: Corruption): string => {
  const bytes = IMAGE.slice();
  corrupt(bytes, new DataView(bytes.buffer));
  const reading = readIso(bytes);
  return reading.ok ? "" : reading.reason;
};
/** The byte where some text stands in the image, in ASCII. */
const find = (text: string, from = 0): number => Buffer.from(IMAGE).indexOf(text, from, "latin1");

suite("iso reader", (test) => {
  test("gives the three views", () => {
    const reading = readIso(IMAGE);
    assert.ok(reading.ok);
    const { volumeId, jolietVolumeId, plain, rockRidge, joliet } = reading.image;
    assert.equal([volumeId, jolietVolumeId], ["cidata", "cidata"]);
    const names = FILES.map(({ name }) => name);
    assert.equal(
      plain.map(({ name }) => name),
      ["META_DAT", "USER_DAT", "VENDOR_D", "________"],
    );
    assert.equal(
      rockRidge.map(({ name }) => name),
      names,
    );
    assert.equal(
      joliet.map(({ name }) => name),
      names,
    );
    for (const [index, { bytes }] of FILES.entries())
      for (const view of [plain, rockRidge, joliet]) assert.is(Buffer.compare(view[index]!.bytes, bytes), 0);
  });

  test("reads an image that starts inside a larger buffer", () => {
    const larger = new Uint8Array(IMAGE.length + 7);
    larger.set(IMAGE, 5);
    assert.equal(isoDifferences(larger.subarray(5, 5 + IMAGE.length), "cidata", FILES), []);
  });

  for (const [what, corrupt, message] of [
    ["the mark of the descriptor", (b) => b.set([0x58], PRIMARY + 1), /does not say CD001/],
    ["its version", (b) => b.set([2], PRIMARY + 6), /has version 2/],
    ["its type", (b) => b.set([0], PRIMARY), /type 0, which is not supported/],
    ["no primary descriptor", (b) => b.set([2], PRIMARY), /escape sequence|two supplementary/],
    ["no Joliet descriptor", (b) => b.set([255], JOLIET), /not zero|no Joliet/],
    ["no terminator", (b) => b.fill(0, 18 * 2048, 19 * 2048), /does not say CD001/],
    ["another Joliet level", (b) => b.set([0x40], JOLIET + 90), /escape sequence/],
    ["the volume size in one byte order", (b) => b.set([9], PRIMARY + 80), /volume size.* byte order/],
    ["the volume size", (_, v) => both32(v, PRIMARY + 80, 99), /says 99 sectors, the image has 30/],
    ["the Joliet volume size", (_, v) => both32(v, JOLIET + 80, 29), /says 29 sectors, the image has 30/],
    ["the block size", (b) => b.set([0, 4, 4, 0], PRIMARY + 128), /block size .* is 1024, not 2048/],
    ["the path table size", (_, v) => both32(v, PRIMARY + 132, 20), /path table has 20 bytes/],
    ["the root in the L table", (b) => b.set([99], 19 * 2048 + 2), /primary L path table has the root at/],
    ["the root in the M table", (b) => b.set([99], 20 * 2048 + 5), /primary M path table has the root at/],
    [
      "the root in the Joliet M table",
      (b) => b.set([99], 22 * 2048 + 5),
      /Joliet M path table has the root at/,
    ],
    ["the parent in a path table", (b) => b.set([2], 21 * 2048 + 6), /gives 2 as the root's parent/],
    ["the place of a path table", (b) => b.set([99], PRIMARY + 140), /path table is outside the image/],
    ["an optional path table", (b) => b.set([24], PRIMARY + 144), /optional L path table does not start/],
    [
      "two path tables in one place",
      (b) => b.set([21], PRIMARY + 140),
      /path table has the root at sector 25/,
    ],
    ["the root's place", (_, v) => both32(v, PRIMARY + 158, 24), /has the root at sector 23, not 24/],
    ["the root's size", (_, v) => both32(v, PRIMARY + 166, 4096), /primary directory/],
    ["the root's size in part", (_, v) => both32(v, PRIMARY + 166, 2000), /not whole sectors/],
    ["the directory's own record", (_, v) => both32(v, TREE + 2, 24), /itself does not point to the root/],
    [
      "the directory's parent",
      (_, v) => both32(v, TREE + 106 + 2, 24),
      /its parent does not point to the root/,
    ],
    ["a file's place in one byte order", (b) => b.set([1], META + 2), /extent.* byte order/],
    ["a file's size in one byte order", (b) => b.set([1], META + 14), /size.* byte order/],
    [
      "a file's place",
      (_, v) => both32(v, META + 2, 28),
      /sector 28 in the primary tree, 15 at 27 in Joliet/,
    ],
    ["a file's Joliet place", (_, v) => both32(v, JOLIET_META + 2, 28), /in the primary tree, 15 at 28/],
    ["a file's size", (_, v) => both32(v, META + 10, 14), /14 bytes at sector 27 in the primary tree/],
    [
      "a file outside the image",
      (_, v) => {
        both32(v, META + 2, 4000);
        both32(v, JOLIET_META + 2, 4000);
      },
      /outside the image/,
    ],
    [
      "a file over the end of the image",
      (_, v) => {
        both32(v, META + 10, 80_000);
        both32(v, JOLIET_META + 10, 80_000);
      },
      /outside the image/,
    ],
    [
      "a file over the next one",
      (_, v) => {
        both32(v, META + 10, 3000);
        both32(v, JOLIET_META + 10, 3000);
      },
      /"meta-data" and file "user-data" overlap at sector 28/,
    ],
    [
      "a file over a directory",
      (_, v) => {
        both32(v, META + 2, 23);
        both32(v, JOLIET_META + 2, 23);
      },
      /overlap at sector 23/,
    ],
    ["a record's length", (b) => b.set([250], META), /not zero/],
    ["an odd record", (b) => b.set([97], META), /has a length of 97/],
    ["a record that crosses the sector", (b) => b.set([200], TREE + 1990), /not zero/],
    ["a record cut off", (b) => b.set([0], META), /not zero/],
    ["a subdirectory", (b) => b.set([2], META + 25), /flags 2/],
    ["a file of several extents", (b) => b.set([0x80], META + 25), /flags 128/],
    ["an extended attribute record", (b) => b.set([1], META + 1), /extended attribute/],
    ["a date", (b) => b.set([13], META + 19), /impossible date/],
    ["a date of the volume", (b) => b.set([0x58], PRIMARY + 813), /has the date/],
    ["a lower case level 1 name", (b) => b.set([0x6d], META + 33), /not a name of ISO 9660 level 1/],
    ["the order of the records", (b) => b.set([0x5a], META + 33), /out of order/],
    ["a level 1 name twice", (b) => b.set(utf8.encode("USER_DAT"), META + 33), /twice/],
    ["a Joliet name", (b) => b.set([0x6c], JOLIET_META + 34), /Joliet does not/],
    ["no SP", (b) => b.set([0x58], TREE + 34), /no SP field/],
    ["the check bytes of SP", (b) => b.set([0], TREE + 38), /wrong check bytes/],
    ["skipped bytes", (b) => b.set([4], TREE + 40), /says to skip 4/],
    ["no Rock Ridge", (b) => b.set([0x58], find("RRIP_1991A")), /no ER field/],
    ["the lengths in ER", (b) => b.set([11], MORE + 4), /do not add up/],
    ["a Rock Ridge name", (b) => b.set([0x6c], find("meta-data", META)), /Joliet does not/],
    [
      "a Rock Ridge name that is not UTF-8",
      (b) => b.set([0xff], find("meta-data", META)),
      /that is not UTF-8/,
    ],
    ["a Rock Ridge name's flags", (b) => b.set([2], find("NM", META) + 4), /NM field 0 has flags 2/],
    ["no name", (b) => b.set([0x58], find("NM", META)), /no NM field/],
    ["a mode in one byte order", (b) => b.set([0], find("PX", META) + 4), /PX differs/],
    ["a link", (_, v) => both32(v, find("PX", META) + 4, 0o120777), /not a plain file/],
    ["a field that is too long", (b) => b.set([90], find("PX", META) + 2), /field PX is 90 long/],
    ["a field that is too short", (b) => b.set([3], find("PX", META) + 2), /field PX is 3 long/],
    ["a continuation outside", (_, v) => both32(v, find("CE", TREE) + 4, 999), /outside the image/],
    ["a continuation over a sector", (_, v) => both32(v, find("CE", TREE) + 12, 2000), /crosses a sector/],
    [
      "a continuation that starts inside another field",
      (_, v) => both32(v, find("CE", META) + 12, 1),
      /has a field with the signature/,
    ],
  ] as const satisfies readonly (readonly [string, Corruption, RegExp])[])
    test(`finds ${what}`, () => {
      assert.match(reasonFor(corrupt), message);
    });

  test("finds an image that is cut off or longer", () => {
    for (const bytes of [
      new Uint8Array(0),
      IMAGE.subarray(0, 40),
      IMAGE.subarray(0, 18 * 2048),
      IMAGE.subarray(0, 19 * 2048),
      IMAGE.subarray(0, -2048),
      IMAGE.subarray(0, -1),
      Buffer.concat([IMAGE, new Uint8Array(2048)]),
    ])
      assert.not.ok(readIso(bytes).ok, `${bytes.length} bytes`);
  });

  test("finds every flipped bit that a reader may look at", () => {
    const texts: readonly (readonly [number, number])[] = [
      ...[PRIMARY, JOLIET].flatMap((at) => [
        [at + 8, at + 40] as const, // system
        [at + 190, at + 881] as const, // texts about the volume, and dates
        [at + 883, at + 1395] as const, // for applications
        [at + 174, at + 181] as const, // date of the root
      ]),
      [MORE + 18, MORE + 237], // the texts of ER
      // sectors are longer than these tables and fields
      ...[19, 20, 21, 22].map((sector) => [sector * 2048 + 10, (sector + 1) * 2048] as const),
      [MORE + 237 + 197, MORE + 2048],
      [26 * 2048, 27 * 2048], // the sector of the empty file
      ...FILES.filter(({ bytes }) => bytes.length > 0).map(
        ({ bytes }, index) => [(27 + index) * 2048 + bytes.length, (28 + index) * 2048] as const,
      ),
    ];
    const ignored = new Uint8Array(IMAGE.length);
    ignored.fill(1, 0, PRIMARY);
    for (const [start, end] of texts) ignored.fill(1, start, end);
    // Dates and level 1 names: any that are legal will do.
    for (const tree of [TREE, JOLIET_TREE])
      for (let at = tree; IMAGE[at] !== 0; at += IMAGE[at]!) {
        ignored.fill(1, at + 18, at + 25);
        if (tree === TREE && IMAGE[at + 32]! > 1) ignored.fill(1, at + 33, at + 33 + 8);
      }
    const missed: number[] = [];
    const bytes = IMAGE.slice();
    for (let at = 0; at < bytes.length; at += 1) {
      if (ignored[at]) continue;
      for (const bit of [1, 16, 128]) {
        bytes[at]! ^= bit;
        if (isoDifferences(bytes, "cidata", FILES).length === 0) missed.push(at);
        bytes[at]! ^= bit;
      }
    }
    assert.equal(missed, []);
  });

  for (const [what, volumeId, files, expected] of [
    ["nothing", "cidata", FILES, []],
    ["nothing in another order", "cidata", FILES.toReversed(), []],
    [
      "the label",
      "CIDATA",
      FILES,
      ['the volume id is "cidata", not "CIDATA"', 'the Joliet volume id is "cidata", not "CIDATA"'],
    ],
    [
      "a missing file",
      "cidata",
      [...FILES, file("network-config", "")],
      ['Rock Ridge has no file "network-config"', 'Joliet has no file "network-config"'],
    ],
    [
      "a file too many",
      "cidata",
      FILES.slice(1),
      [
        'Rock Ridge has a file "meta-data" that nobody asked for',
        'Joliet has a file "meta-data" that nobody asked for',
      ],
    ],
    [
      "other contents",
      "cidata",
      [file("meta-data", "x"), ...FILES.slice(1)],
      [
        '"meta-data" in Rock Ridge has other contents: 15 bytes, asked for 1',
        '"meta-data" in Joliet has other contents: 15 bytes, asked for 1',
      ],
    ],
  ] as const)
    test(`tells ${what} as the difference`, () => {
      assert.equal(isoDifferences(IMAGE, volumeId, files), expected);
    });

  test("tells modes and owners that differ", () => {
    const bytes = IMAGE.slice();
    const view = new DataView(bytes.buffer);
    const px = find("PX", META);
    both32(view, px + 4, 0o100600);
    both32(view, px + 20, 1000);
    assert.equal(isoDifferences(bytes, "cidata", FILES), [
      '"meta-data" has mode 100600, not 100444',
      '"meta-data" belongs to 1000:0, not to root',
    ]);
  });

  for (const [tool, args] of [
    ["genisoimage", ["-quiet", "-output", "x.iso", "-volid", "cidata", "-joliet", "-rock"]],
    ["xorriso", ["-no_rc", "-as", "mkisofs", "-quiet", "-o", "x.iso", "-V", "cidata", "-J", "-r"]],
  ] as const)
    test(`reads an image of ${tool}`, () => {
      const folder = mkdtempSync(join(tmpdir(), "seedsmith-iso-"));
      try {
        const files = FILES.slice(0, 3);
        for (const { name, bytes } of files) writeFileSync(join(folder, name), bytes);
        const run = spawnSync(tool, [...args, ...files.map(({ name }) => name)], {
          cwd: folder,
          encoding: "utf8",
        });
        if (run.error !== undefined) {
          console.log(`skipped: reading an image of ${tool}: there is no ${tool} on this machine`);
          return;
        }
        assert.is(run.status, 0, run.stderr);
        const reading = readIso(readFileSync(join(folder, "x.iso")));
        assert.ok(reading.ok, reading.ok ? "" : reading.reason);
        for (const view of [reading.image.rockRidge, reading.image.joliet])
          assert.equal(
            view.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()]),
            files.map(({ name, bytes }) => [name, Buffer.from(bytes).toString()]),
          );
        assert.is(reading.image.volumeId, "cidata");
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
});

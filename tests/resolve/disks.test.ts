/** The resolver of disks against an oracle that counts, and what it asks the installer for. */
import fc from "fast-check";
import * as assert from "uvu/assert";
import {
  askFor,
  askWithoutFacts,
  chooseDisks,
  describeDisk,
  fits,
  formatSize,
  globs,
  literally,
} from "../../src/resolve/disks.ts";
import type { DiskDoc, DiskMatch, SomeDisks } from "../../src/validate/documents.ts";
import { suite } from "../support/suite.ts";

const gib = 2 ** 30;

/** Few values a field, so that ties, gaps and near misses are common. */
const disks: fc.Arbitrary<DiskDoc[]> = fc
  .array(
    fc.record(
      {
        size: fc.constantFrom(0, 100 * gib, 200 * gib, 400 * gib),
        serial: fc.constantFrom("S1", "S2", "S10", "X*1"),
        id_serial: fc.constantFrom("M_S1", "M_S2", "M2_S10"),
        wwn: fc.constantFrom("0x5000C500A1B2C3D4", "eui.0025385"),
        model: fc.constantFrom("Fast One", "Fast_One", "Slow"),
        vendor: fc.constantFrom("ATA", "DELL"),
        ssd: fc.boolean(),
        medium: fc.boolean(),
      },
      { requiredKeys: ["size"] },
    ),
    { maxLength: 6 },
  )
  .map((list) => list.map((disk, index) => ({ path: `/dev/sd${"abcdef"[index]}`, ...disk }) as DiskDoc));

const everySaying = {
  serial: fc.constantFrom("S1", "S*", "*1", "M_S1", "X[*]1", "S?"),
  wwn: fc.constantFrom("5000c500a1b2c3d4", "eui.0025385"),
  model: fc.constantFrom("Fast One", "Fast*", "Slow"),
  vendor: fc.constantFrom("ATA", "D*"),
  path: fc.constantFrom("/dev/sda", "/dev/sd[ab]", "/dev/*"),
  ssd: fc.boolean(),
  size: fc.constantFrom<SomeDisks["size"] & object>(
    { at_least: "200G" },
    { at_most: "200G" },
    { at_least: "150G", at_most: "300G" },
  ),
};
/** Up to two things that are said: more would leave no disk. */
const some: fc.Arbitrary<SomeDisks> = fc
  .tuple(fc.record(everySaying), fc.shuffledSubarray(Object.keys(everySaying), { maxLength: 2 }))
  .map(
    ([whole, keys]) =>
      Object.fromEntries(Object.entries(whole).filter(([key]) => keys.includes(key))) as SomeDisks,
  );
const match: fc.Arbitrary<DiskMatch> = fc
  .tuple(
    some,
    fc.option(fc.constantFrom("largest", "smallest"), { nil: undefined }),
    fc.option(fc.oneof(some, fc.array(some, { minLength: 1, maxLength: 2 })), { nil: undefined }),
  )
  .map(([plain, rank, not]) => ({
    ...plain,
    ...(rank === undefined ? {} : { size: rank as "largest" | "smallest" }),
    ...(not === undefined ? {} : { not }),
  }));

// The oracle: as plainly as it can be said, with nothing of the resolver.

/** What each text matches, spelt out: a table instead of a matcher. */
const table: Record<string, readonly string[]> = {
  S1: ["S1"],
  "S*": ["S1", "S2", "S10", "Slow"],
  "*1": ["S1", "M_S1", "X*1"],
  M_S1: ["M_S1"],
  "X[*]1": ["X*1"],
  "S?": ["S1", "S2"],
  "Fast One": ["Fast One", "Fast_One"],
  "Fast*": ["Fast One", "Fast_One"],
  Slow: ["Slow"],
  ATA: ["ATA"],
  "D*": ["DELL"],
  "/dev/sda": ["/dev/sda"],
  "/dev/sd[ab]": ["/dev/sda", "/dev/sdb"],
  "/dev/*": ["a", "b", "c", "d", "e", "f"].map((letter) => `/dev/sd${letter}`),
};
const ranges: Record<string, (gibs: number) => boolean> = {
  '{"at_least":"200G"}': (size) => size >= 200,
  '{"at_most":"200G"}': (size) => size <= 200,
  '{"at_least":"150G","at_most":"300G"}': (size) => size === 200,
};

/** True, false, or null where the facts do not say. */
function says(disk: DiskDoc, wanted: SomeDisks): boolean | null {
  const answers: (boolean | null)[] = [disk.size > 0];
  const among = (pattern: string, values: readonly (string | undefined)[]): boolean =>
    values.some((value) => value !== undefined && (table[pattern] as readonly string[]).includes(value));
  if (wanted.serial !== undefined) answers.push(among(wanted.serial, [disk.serial, disk.id_serial]));
  if (wanted.model !== undefined) answers.push(among(wanted.model, [disk.model]));
  if (wanted.vendor !== undefined) answers.push(among(wanted.vendor, [disk.vendor]));
  if (wanted.path !== undefined) answers.push(among(wanted.path, [disk.path]));
  if (wanted.wwn !== undefined)
    answers.push(
      (wanted.wwn === "5000c500a1b2c3d4" && disk.wwn === "0x5000C500A1B2C3D4") ||
        (wanted.wwn === "eui.0025385" && disk.wwn === "eui.0025385"),
    );
  if (typeof wanted.size === "object")
    answers.push((ranges[JSON.stringify(wanted.size)] as (gibs: number) => boolean)(disk.size / gib));
  if (wanted.ssd !== undefined) answers.push(disk.ssd === undefined ? null : disk.ssd === wanted.ssd);
  return answers.includes(false) ? false : answers.includes(null) ? null : true;
}

function oracle(all: readonly DiskDoc[], wanted: DiskMatch): DiskDoc | "refuse" {
  const left: DiskDoc[] = [];
  const excluded = wanted.not === undefined ? [] : [wanted.not].flat();
  for (const disk of all) {
    const answers = [says(disk, wanted), ...excluded.map((one) => says(disk, one as SomeDisks))];
    const yes = answers[0];
    const nos = answers.slice(1);
    if (yes === false || nos.includes(true)) continue;
    if (yes === null || nos.includes(null)) return "refuse";
    left.push(disk);
  }
  let rest = left;
  if (wanted.size === "largest") rest = left.filter((disk) => left.every((other) => other.size <= disk.size));
  if (wanted.size === "smallest")
    rest = left.filter((disk) => left.every((other) => other.size >= disk.size));
  const [only] = rest;
  return rest.length !== 1 || only === undefined || only.medium === true ? "refuse" : only;
}

suite("resolve/disks", (test) => {
  test("picks exactly the disk that a naive oracle picks, or refuses", () => {
    const seen = { picked: 0, refused: 0 };
    fc.assert(
      fc.property(disks, match, (all, wanted) => {
        const expected = oracle(all, wanted);
        const choice = chooseDisks(all, wanted, 1);
        if (expected === "refuse") {
          seen.refused += 1;
          assert.is.not(choice.kind, "chosen", JSON.stringify(choice));
        } else {
          seen.picked += 1;
          assert.equal(choice, { kind: "chosen", disks: [expected] });
        }
      }),
      { numRuns: 20_000 },
    );
    assert.ok(seen.picked > 2000 && seen.refused > 1000, JSON.stringify(seen));
  });

  test("what is asked of the installer fits the chosen disk and, where sure, no other", () => {
    fc.assert(
      fc.property(disks, fc.nat(5), (all, index) => {
        const disk = all[index];
        if (disk === undefined) return;
        const { match: asked, sure } = askFor(disk, all, true);
        // As the installer would: udev's ID_SERIAL where it is known, else what it is made of.
        const has = (one: DiskDoc, pattern: string): boolean =>
          [one.id_serial, one.serial].some((serial) => serial !== undefined && globs(pattern, serial));
        if (asked.serial !== undefined) {
          assert.ok(has(disk, asked.serial));
          assert.is(all.filter((one) => has(one, asked.serial as string)).length, 1);
        } else {
          assert.is(asked.path, disk.path);
          assert.not.ok(sure);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test("several disks: as many as are asked for, or all", () => {
    const all: DiskDoc[] = ["a", "b", "c"].map((letter) => ({
      path: `/dev/sd${letter}`,
      size: gib,
      model: "M",
    }));
    assert.is(chooseDisks(all, { model: "M" }, 2).kind, "several");
    assert.is(chooseDisks(all, { model: "M", not: { path: "/dev/sda" } }, 2).kind, "chosen");
    assert.is(chooseDisks(all, { path: "/dev/sda" }, 2).kind, "none");
    assert.equal(chooseDisks(all, {}, null), { kind: "chosen", disks: all });
    assert.is(chooseDisks([], {}, null).kind, "none");
  });

  test("a disk is known by what udev calls it", () => {
    const disk = (more: Partial<DiskDoc>): DiskDoc => ({ path: "/dev/sda", size: gib, ...more });
    const ask = (one: DiskDoc, knows = true) => askFor(one, [one], knows);
    assert.equal(ask(disk({ id_serial: "Model_[1]_ABC123" })), {
      match: { serial: "Model_[[]1]_ABC123" },
      sure: true,
    });
    assert.equal(ask(disk({ id_serial: "A400 NVMe_17187742_1", serial: "17187742" })), {
      match: { serial: "*17187742*" },
      sure: true,
    });
    assert.equal(ask(disk({ id_serial: "35000c500a1b2c3d4", serial: "ZA1000AA" })), {
      match: { serial: "35000c500a1b2c3d4" },
      sure: true,
    });
    assert.ok(globs(literally("Model_[1]_ABC*?"), "Model_[1]_ABC*?"));
    assert.equal(ask(disk({ serial: "ABC123" })), { match: { serial: "*ABC123*" }, sure: true });
    assert.equal(ask(disk({ serial: "A1" })).sure, false);
    assert.equal(ask(disk({ serial: "Z", wwn: "0x5000C500A1B2C3D4", bus: "sas" })), {
      match: { serial: "*5000c500a1b2c3d4*" },
      sure: true,
    });
    assert.equal(ask(disk({ id_path: "pci-0000:00:04.0" })), {
      match: { id_path: "pci-0000:00:04.0" },
      sure: false,
    });
    assert.equal(ask(disk({ id_path: "pci-0000:00:04.0" }), false), {
      match: { path: "/dev/sda" },
      sure: false,
    });
  });

  test("a serial that is part of another disk's is not used", () => {
    const all: DiskDoc[] = [
      { path: "/dev/sda", size: gib, serial: "QM0000" },
      { path: "/dev/sdb", size: gib, serial: "QM00001" },
    ];
    assert.equal(askFor(all[0] as DiskDoc, all, true), { match: { path: "/dev/sda" }, sure: false });
    assert.equal(askFor(all[1] as DiskDoc, all, true).sure, true);
  });

  test("without facts the installer is asked what it understands", () => {
    assert.equal(askWithoutFacts({ serial: "ABC123" }), {
      asked: { match: { serial: "*ABC123*" }, sure: true },
    });
    assert.equal(askWithoutFacts({ serial: "ABC*", ssd: true, size: "largest" }), {
      asked: { match: { serial: "ABC*", ssd: true, size: "largest" }, sure: false },
    });
    assert.equal(askWithoutFacts({ model: "Samsung SSD*" }), {
      asked: { match: { model: "Samsung?SSD*" }, sure: false },
    });
    assert.equal(askWithoutFacts({ wwn: "0x1" }), { cannot: "wwn" });
    assert.equal(askWithoutFacts({ not: { path: "/dev/sda" } }), { cannot: "not" });
    assert.equal(askWithoutFacts({ size: { at_most: "1T" } }), { cannot: "size" });
  });

  test("globs are the shell's", () => {
    const rows: readonly (readonly [string, string, boolean])[] = [
      ["a.c", "abc", false],
      ["a*c", "a\nc", true],
      ["[ab]1", "b1", true],
      ["[!ab]1", "b1", false],
      ["[!ab]1", "c1", true],
      ["[", "[", true],
      ["[]a]", "]", true],
      ["A", "a", false],
      ["(a|b)+", "(a|b)+", true],
    ];
    for (const [pattern, text, expected] of rows)
      assert.is(globs(pattern, text), expected, `${pattern} ${text}`);
  });

  test("a disk in words", () => {
    assert.is(fits({ path: "/dev/sda", size: 0 }, {}), "no");
    assert.is(
      describeDisk({ path: "/dev/sda", size: 480103981056, model: "Samsung SSD", serial: "S1", ssd: true }),
      "/dev/sda Samsung SSD, serial S1, 447.1G SSD",
    );
    assert.is(describeDisk({ path: "/dev/vda", size: 10 * gib }), "/dev/vda, no serial, 10G");
    assert.is(formatSize(512), "512B");
    assert.is(formatSize(1536), "1.5K");
  });
});

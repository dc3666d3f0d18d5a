import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { bootId, processName } from "../../src/lab/host.ts";
import { destroyFolder, keptFiles, Ledger, ledgerFile, type Made } from "../../src/lab/ledger.ts";
import { abandoned, findLabs, type LabState, readState, stands, writeState } from "../../src/lab/state.ts";
import { suite } from "../support/suite.ts";

const folderOf = (path: string): Made => ({ kind: "folder", path });

suite("ledger", (test) => {
  let home = "";
  let lab = "";
  test.before.each(() => {
    home = mkdtempSync(join(tmpdir(), "seedsmith-ledger-"));
    lab = join(home, "lab");
  });
  test.after.each(() => rmSync(home, { recursive: true, force: true }));

  test("notes and strikes, whoever writes them, and begins only once", () => {
    const ledger = Ledger.begin("abc", lab);
    ledger.note(folderOf("/a"));
    Ledger.open(lab).note(folderOf("/b"));
    ledger.note(folderOf("/b"));
    ledger.strike(folderOf("/a"));
    assert.equal(ledger.made, [folderOf("/b")]);
    assert.is(statSync(join(lab, ledgerFile)).mode & 0o777, 0o600);
    assert.throws(() => Ledger.begin("def", lab), /a lab stands in/);
  });

  test("a line that a kill tore spoils no other", () => {
    const ledger = Ledger.begin("abc", lab);
    ledger.note(folderOf("/a"));
    appendFileSync(join(lab, ledgerFile), '{"note":{"kind":"fol');
    ledger.note(folderOf("/b"));
    assert.equal(ledger.made, [folderOf("/a"), folderOf("/b")]);
  });

  test("a lab that is taken down takes no more notes", async () => {
    const ledger = Ledger.begin("abc", lab);
    await destroyFolder(lab);
    assert.not.ok(existsSync(lab));
    assert.throws(() => ledger.note(folderOf("/a")), /was taken down meanwhile/);
    assert.not.ok(existsSync(lab), "nor is it made anew by that");
    assert.ok(ledger.closing);
    await destroyFolder(lab);
  });

  test("what it lists is undone, what a person was told to look at stays", async () => {
    const ledger = Ledger.begin("abc", lab);
    const made = join(home, "made");
    ledger.note(folderOf(made));
    mkdirSync(made);
    writeFileSync(join(made, "file"), "");
    writeFileSync(join(lab, "failed-one.tar.gz"), "");
    writeFileSync(join(lab, "state.json"), "{}");
    await destroyFolder(lab, keptFiles);
    assert.not.ok(existsSync(made));
    assert.ok(existsSync(join(lab, "failed-one.tar.gz")));
    assert.not.ok(stands(lab));
  });

  test("processes of an earlier boot of the host are left alone", async () => {
    const ledger = Ledger.begin("abc", lab);
    const self = processName(process.pid);
    assert.ok(self);
    ledger.note({ kind: "process", process: self! });
    const path = join(lab, ledgerFile);
    writeFileSync(path, readFileSync(path, "utf8").replace(bootId(), "another boot"));
    await destroyFolder(lab);
    assert.not.ok(existsSync(lab), "and this process lives");
  });
});

suite("state of a lab", (test) => {
  let home = "";
  test.before(() => {
    home = mkdtempSync(join(tmpdir(), "seedsmith-state-"));
  });
  test.after(() => rmSync(home, { recursive: true, force: true }));

  const state = (more: Partial<LabState> = {}): LabState => ({
    format: 1,
    lab: {
      ...{
        id: "abc",
        driver: "nspawn",
        site: "one",
        folder: join(home, "one", "lab"),
        cache: "/nonexistent",
      },
      ...{ networks: [], targets: [], hidden: [], machines: [] },
    },
    ...{ siteFile: null, how: "", slowness: 1, notices: [], differences: [], began: 0 },
    boot: bootId(),
    owner: processName(process.pid),
    phase: "making",
    ...more,
  });

  test("is written for its owner alone, and found", () => {
    writeState(state());
    assert.equal(readState(join(home, "one", "lab")), state());
    assert.is(statSync(join(home, "one", "lab", "state.json")).mode & 0o777, 0o600);
    assert.is(statSync(join(home, "one", "lab")).mode & 0o777, 0o700);
    mkdirSync(join(home, "two", "con01"), { recursive: true });
    assert.equal(findLabs(home), [join(home, "one", "lab")]);
    assert.equal(findLabs(join(home, "nowhere")), []);
  });

  test("a damaged one is an error that tells what to do", () => {
    const folder = join(home, "three", "lab");
    mkdirSync(folder, { recursive: true });
    assert.is(readState(folder), null);
    writeFileSync(join(folder, "state.json"), "{");
    assert.throws(() => readState(folder), /is damaged, or of another version/);
  });

  test("a lab is abandoned when its command is gone or the host was booted", () => {
    assert.is(abandoned(state()), null);
    assert.is(abandoned(state({ owner: null })), null);
    const gone = { pid: process.pid, start: "never" };
    assert.match(String(abandoned(state({ owner: gone }))), "which was making it, is gone");
    assert.match(String(abandoned(state({ owner: gone, phase: "up" }))), "which was waiting for it, is gone");
    assert.match(String(abandoned(state({ boot: "another" }))), "the host was booted since");
  });
});

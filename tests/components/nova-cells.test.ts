/** nova's cells, with stand-ins for its database and for nova-manage, which takes the encoding out of cell0's URL. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";
import { absent, type Outcome, python, run } from "./scripts.ts";

/** A table of cells in a file, and a connection that knows the two statements. */
const pymysql = `import json, os
class MySQLError(Exception): pass
class Cursor:
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def __init__(self): self.rows = json.load(open(os.environ["CELLS"]))
    def execute(self, text, values=None):
        if text.startswith("SELECT uuid, name, transport_url, database_connection FROM cell_mappings"): return
        assert text == "UPDATE cell_mappings SET database_connection = %s WHERE uuid = %s", text
        for row in self.rows:
            if row[0] == values[1]: row[3] = values[0]
        json.dump(self.rows, open(os.environ["CELLS"], "w"))
    def fetchall(self): return self.rows
class Connection:
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def cursor(self): return Cursor()
    def commit(self): pass
def connect(**how):
    if how["password"] != "pa%ss@": raise MySQLError("1045, Access denied")
    return Connection()
`;

const novaManage = `import json, os, sys, urllib.parse
rows = json.load(open(os.environ["CELLS"]))
if sys.argv[1:] == ["cell_v2", "map_cell0"]:
    rows.append(["0" * 8 + "-0000-0000-0000-" + "0" * 12, "cell0", "none:///", urllib.parse.unquote(os.environ["CELL0"])])
elif sys.argv[1:] == ["cell_v2", "create_cell", "--name=cell1"]:
    rows.append(["u1", "cell1", os.environ["BROKER"], os.environ["CELL1"]])
else:
    sys.exit("unknown: %s" % sys.argv)
json.dump(rows, open(os.environ["CELLS"], "w"))
`;

suite("nova's cells", (test) => {
  const url = (name: string): string => `mysql+pymysql://nova:pa%25ss%40@con01/${name}`;

  const withCells = async (
    rows: readonly (readonly string[])[],
    use: (cells: (...args: string[]) => Promise<Outcome>, now: () => unknown) => Promise<void>,
  ): Promise<void> => {
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-cells-"));
    try {
      writeFileSync(join(folder, "pymysql.py"), pymysql);
      writeFileSync(join(folder, "nova-manage"), `#!${python}\n${novaManage}`);
      chmodSync(join(folder, "nova-manage"), 0o755);
      const table = join(folder, "cells.json");
      writeFileSync(table, JSON.stringify(rows));
      const env = {
        PATH: `${folder}:${process.env.PATH ?? ""}`,
        PYTHONPATH: folder,
        CELLS: table,
        API_DATABASE: url("nova_api"),
        CELL0: url("nova_cell0"),
        CELL1: url("nova"),
        BROKER: "rabbit://openstack:pa%25@con01:5672/",
      };
      await use(
        (...args) => run("nova-controller/cells.py", { args, env }),
        () => JSON.parse(readFileSync(table, "utf8")),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  };
  const nobody = "00000000-0000-0000-0000-000000000000";
  const made = [
    [nobody, "cell0", "none:///", url("nova_cell0")],
    ["u1", "cell1", "rabbit://openstack:pa%25@con01:5672/", url("nova")],
  ];

  test("are made with the URLs of nova.conf, encoded as they are there", async () => {
    if (absent) return;
    await withCells([], async (cells, now) => {
      const before = await cells("check");
      assert.is(before.code, 1);
      assert.match(before.error, "missing, or with other URLs than nova.conf: cell0, cell1");
      const done = await cells();
      assert.is(done.code, 0, done.error);
      assert.equal(now(), made);
      assert.is((await cells("check")).code, 0);
    });
  });

  test("that are there with another database are left alone, and said", async () => {
    if (absent) return;
    const other = [[nobody, "cell0", "none:///", "mysql+pymysql://nova:x@db/other"], made[1] as string[]];
    await withCells(other, async (cells, now) => {
      const done = await cells();
      assert.is(done.code, 1);
      assert.match(done.error, "cell0 is mapped to another database");
      assert.equal(now(), other);
    });
  });
});

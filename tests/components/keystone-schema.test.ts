/** keystone's schema step, with stand-ins for keystone and alembic that behave as theirs do with percent signs. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { suite } from "../support/suite.ts";
import { absent, type Outcome, run } from "./scripts.ts";

/** Alembic's configuration: a ConfigParser, which interpolates. */
const config = `import configparser
class Config:
    def __init__(self):
        self.file_config = configparser.ConfigParser({"here": "x"})
        self.file_config.add_section("alembic")
    def set_main_option(self, name, value):
        self.file_config.set("alembic", name, value)
    def get_main_option(self, name):
        return self.file_config.get("alembic", name)
`;

/** keystone's entry point: it hands over the URL as it stands. */
const manage = `import os, sys
from alembic.config import Config
def main():
    if os.environ["URL"] == "refused":
        raise RuntimeError("Access denied for user 'keystone'")
    config = Config()
    config.set_main_option("sqlalchemy.url", os.environ["URL"])
    config.set_main_option("version_locations", "%(here)s/a %(here)s/b")
    print(" ".join(sys.argv), config.get_main_option("sqlalchemy.url"), config.get_main_option("version_locations"))
`;

suite("keystone's schema step", (test) => {
  const schema = async (url: string): Promise<Outcome> => {
    const folder = mkdtempSync(join(tmpdir(), "seedsmith-schema-"));
    try {
      for (const [path, text] of Object.entries({
        "alembic/config.py": config,
        "keystone/cmd/manage.py": manage,
      })) {
        mkdirSync(join(folder, path, ".."), { recursive: true });
        writeFileSync(join(folder, path), text);
      }
      return await run("keystone/schema.py", { env: { PYTHONPATH: folder, URL: url } });
    } finally {
      rmSync(folder, { recursive: true });
    }
  };

  test("hands over a URL as it is, with percent signs and without", async () => {
    if (absent) return;
    for (const url of [
      "mysql+pymysql://k:plain@con01/keystone",
      "mysql+pymysql://k:%27%25%40%2F@con01/keystone",
    ])
      assert.equal(await schema(url), {
        code: 0,
        out: `keystone-manage db_sync ${url} x/a x/b\n`,
        error: "",
      });
  });

  test("says what went wrong, and ends", async () => {
    if (absent) return;
    assert.equal(await schema("refused"), {
      code: 1,
      out: "",
      error: "RuntimeError: Access denied for user 'keystone'\n",
    });
  });
});

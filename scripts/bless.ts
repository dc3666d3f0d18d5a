/**
 * `npm run bless`: renders every golden anew and says which changed. What changed belongs into review: the diff of
 * tests/golden is what machines will do differently.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { golden, goldens, listFiles, readGolden } from "../tests/support/build-site.ts";

const wanted = await goldens();
let count = 0;
const say = (what: string, path: string): void => {
  count += 1;
  console.log(`${what} tests/golden/${path}`);
};
for (const [path, text] of wanted) {
  const before = readGolden(path);
  if (before === text) continue;
  mkdirSync(dirname(join(golden, path)), { recursive: true });
  writeFileSync(join(golden, path), text);
  say(before === null ? "created" : "changed", path);
}
for (const path of listFiles(golden)) {
  if (wanted.has(path) || !/^(plans|sites|example|install|networks|netboot)\//.test(path)) continue;
  rmSync(join(golden, path));
  say("removed", path);
}
console.log(count === 0 ? "no golden changed" : `${count} changed: review the diff of tests/golden`);

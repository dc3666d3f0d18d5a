/** `npm run schemas`: writes schemas/*.json, which editors use, from src/validate/schema.ts. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { kinds } from "../src/validate/schema.ts";

const folder = join(dirname(fileURLToPath(import.meta.url)), "..", "schemas");

/** The text of every schema file, by its name. */
export function schemaFiles(): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(kinds).map(([kind, schema]) => [
      `${kind}.json`,
      `${JSON.stringify({ $schema: "http://json-schema.org/draft-07/schema#", title: `seedsmith ${kind}`, ...schema }, null, 2)}\n`,
    ]),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of schemaFiles()) {
    writeFileSync(join(folder, name), text);
    console.log(`schemas/${name}`);
  }
}

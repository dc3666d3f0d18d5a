/** The schemas of documents as code, for the package's build: compiling them takes longer than a small site's check. */
import { Ajv } from "ajv";
import standalone from "ajv/dist/standalone/index.js";
import { kinds } from "./schema.ts";
import { vocabulary, withDefinitions } from "./validate.ts";

/**
 * The source of a module of CommonJS that exports a function for each kind of document: whether a value is one. It needs
 * the run-time part of the ajv library.
 */
export function readyMadeSource(): string {
  const compiler = new Ajv({
    allowUnionTypes: true,
    strictRequired: false,
    // Only whether: what is wrong is told by who finds it.
    messages: false,
    inlineRefs: false,
    code: { source: true },
    validateSchema: false,
    meta: false,
  });
  compiler.addVocabulary(vocabulary);
  const names: Record<string, string> = {};
  for (const [kind, schema] of Object.entries(kinds)) {
    compiler.addSchema(withDefinitions(schema), kind);
    names[kind] = kind;
  }
  const write = standalone as unknown as (ajv: Ajv, names: Record<string, string>) => string;
  return write(compiler, names);
}

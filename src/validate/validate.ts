import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";
import type { Problem, Problems } from "../core/problem.ts";
import { suggest } from "../core/suggest.ts";
import { type Loaded, type Path, positionOf } from "../load/marks.ts";
import { type Kind, kinds, type Schema, withParts } from "./schema.ts";

/** What the describing of a mistake reads, beside what the library knows. */
export const vocabulary: string[] = ["since", "secret"];

const compiled = new Map<Schema, ValidateFunction>();
let compiler: Ajv | undefined;

function validator(schema: Schema): ValidateFunction {
  let found = compiled.get(schema);
  if (found === undefined) {
    if (compiler === undefined) {
      compiler = new Ajv({
        allErrors: true,
        verbose: true,
        allowUnionTypes: true,
        strictRequired: false,
        // A schema is used a few times in a run: making its function better takes longer than it saves.
        code: { optimize: false },
        validateSchema: false,
        meta: false,
        inlineRefs: false,
      });
      compiler.addVocabulary(vocabulary);
    }
    found = compiler.compile(withDefinitions(schema));
    compiled.set(schema, found);
  }
  return found;
}

/**
 * The same schema, in which a part that stands at several places (one object: `schema.ts` names them) is a definition
 * that those places refer to. Compiling writes code for each place otherwise: for a site five times as much, which
 * took longer than all else that a small site's check does. Errors are the same: what they name as the schema is the
 * part, wherever it stands. Names of properties are left as they are, as errors in them know the name only there.
 */
export function withDefinitions(schema: Schema): Schema {
  const places = new Map<Schema, number>();
  const count = (part: Schema): Schema => {
    const before = places.get(part) ?? 0;
    places.set(part, before + 1);
    return before === 0 ? withParts(part, count) : part;
  };
  count(schema);
  const definitions: Record<string, Schema> = {};
  const references = new Map<Schema, Schema>();
  const replace = (part: Schema): Schema => {
    if ((places.get(part) ?? 0) < 2) return withParts(part, replace);
    let reference = references.get(part);
    if (reference === undefined) {
      const name = `part${references.size}`;
      reference = { $ref: `#/$defs/${name}` };
      references.set(part, reference);
      definitions[name] = withParts(part, replace);
    }
    return reference;
  };
  const whole = withParts(schema, replace);
  return references.size === 0 ? schema : { ...whole, $defs: definitions };
}

/**
 * Checks the shape of one document against the schema of its kind.
 * @returns whether the document can be used: its shape is right, or only has keys too many, so that what else is
 * wrong can be found in the same run; every mistake is added to `problems` with its place.
 */
export function validate(kind: Kind, doc: Loaded, problems: Problems): boolean {
  return validateBy(kinds[kind], doc, problems);
}

/**
 * Checks the shape of a document, or of a part of one, against a schema.
 * @param schema one object a schema: it is compiled once
 * @param installer who reads it, for what it is said to lack
 * @returns as `validate` does
 */
export function validateBy(schema: Schema, doc: Loaded, problems: Problems, installer?: string): boolean {
  const check = validator(schema);
  if (check(doc.value)) return true;
  const seen = new Set<string>();
  let usable = true;
  for (const error of check.errors ?? []) {
    const problem = describe(error, doc, installer);
    if (problem === null) continue;
    const key = `${problem.at?.line}:${problem.at?.column}:${problem.message}`;
    if (!seen.has(key)) problems.add(problem);
    seen.add(key);
    if (problem.code !== "unknown-key") usable = false;
  }
  return usable;
}

function describe(error: ErrorObject, doc: Loaded, installer: string | undefined): Problem | null {
  const path = pointer(error.instancePath, doc);
  const where = path.length === 0 ? "the file" : `"${path.at(-1)}"`;
  const parent = error.parentSchema as Schema & {
    properties?: Record<string, unknown>;
    description?: string;
    since?: string;
    secret?: string;
  };
  switch (error.keyword) {
    case "not":
      if (parent.since === undefined) break;
      return {
        code: "installer-lacks",
        at: positionOf(doc, path, "key"),
        message: `the installer of this medium (${installer ?? "an older one"}) does not know ${where}`,
        hint: `it came with ${parent.since}: name a newer medium in install: { medium: ... }, or leave it out`,
      };
    case "additionalProperties": {
      const key = (error.params as { additionalProperty: string }).additionalProperty;
      return {
        code: "unknown-key",
        at: positionOf(doc, [...path, key], "key"),
        message: `unknown key "${key}"`,
        ...hint(suggest(key, Object.keys(parent.properties ?? {}))),
      };
    }
    case "required": {
      const key = (error.params as { missingProperty: string }).missingProperty;
      return {
        code: "missing-key",
        at: positionOf(doc, path, path.length > 0 && typeof path.at(-1) === "string" ? "key" : "value"),
        message: `${where} lacks the key "${key}"`,
        hint: `add ${key}:`,
      };
    }
    case "type": {
      const wanted = [(error.params as { type: string | string[] }).type].flat().map(articled);
      const found = typeName(error.data);
      return {
        code: "wrong-type",
        at: positionOf(doc, path),
        message: `${where} must be ${wanted.join(" or ")}, and is ${articled(found)}`,
        ...hint(
          wanted.includes("a string") && found !== "array" && found !== "object"
            ? `write it in quotes${parent.description === undefined ? "" : `: ${parent.description}`}`
            : parent.description,
        ),
      };
    }
    case "enum": {
      const allowed = (error.params as { allowedValues: unknown[] }).allowedValues.map(String);
      if (error.data !== null && typeof error.data === "object")
        return {
          code: "wrong-type",
          at: positionOf(doc, path),
          message: `${where} must be one word, and is ${articled(typeName(error.data))}`,
          hint: `one of: ${allowed.join(", ")}`,
        };
      return {
        code: "wrong-value",
        at: positionOf(doc, path),
        message: `${where} may not be "${String(error.data)}"`,
        hint: suggest(String(error.data), allowed) ?? `one of: ${allowed.join(", ")}`,
      };
    }
    case "propertyNames": {
      const key = (error.params as { propertyName: string }).propertyName;
      return {
        code: "bad-name",
        at: positionOf(doc, [...path, key], "key"),
        message: `"${key}" is not a valid name here`,
        hint:
          (parent["propertyNames"] as { description?: string } | undefined)?.description ===
          "an interface name"
            ? "use letters, digits, dots, dashes and underscores, beginning with a letter, at most 15"
            : "use lower-case letters, digits and underscores, beginning with a letter",
      };
    }
    case "pattern":
      if (error.propertyName !== undefined) return null;
      if (parent.secret !== undefined)
        return {
          code: "wrong-value",
          at: positionOf(doc, path),
          message: `${where} must be ${parent.description}`,
          hint: parent.secret,
          secret: true,
        };
      return {
        code: parent.description?.startsWith("a duration ")
          ? "bad-duration"
          : parent.description?.startsWith("a size ")
            ? "bad-size"
            : "wrong-value",
        at: positionOf(doc, path),
        message: `${where} must be ${parent.description ?? `of the form ${(error.params as { pattern: string }).pattern}`}`,
        hint: `it is ${JSON.stringify(error.data)}`,
      };
    case "maxProperties":
      return {
        code: "wrong-value",
        at: positionOf(doc, path),
        message: `${where} may have only ${(error.params as { limit: number }).limit} of its keys`,
        hint: `choose of: ${Object.keys(parent.properties ?? {}).join(", ")}`,
      };
    case "minLength":
    case "minItems":
    case "minProperties":
      return {
        code: "wrong-value",
        at: positionOf(doc, path),
        message: `${where} is empty`,
        hint: "fill it in or delete it",
      };
  }
  return {
    code: "wrong-value",
    at: positionOf(doc, path),
    message: `${where} ${error.message ?? "is not valid"}`,
  };
}

function hint(text: string | undefined): { hint?: string } {
  return text === undefined ? {} : { hint: text };
}

/** The path of a JSON pointer; a number is a list's index only where the document has a list. */
function pointer(text: string, doc: Loaded): Path {
  const path: (string | number)[] = [];
  let value: unknown = doc.value;
  for (const raw of text.split("/").slice(1)) {
    const step = raw.replaceAll("~1", "/").replaceAll("~0", "~");
    const next = Array.isArray(value) ? Number(step) : step;
    path.push(next);
    value = (value as Record<string | number, unknown> | null)?.[next];
  }
  return path;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number" && Number.isInteger(value) ? "integer" : typeof value;
}

function articled(type: string): string {
  const words: Record<string, string> = {
    array: "a list",
    object: "a map",
    string: "a string",
    integer: "a whole number",
    number: "a number",
    boolean: "true or false",
    null: "empty",
  };
  return words[type] ?? type;
}

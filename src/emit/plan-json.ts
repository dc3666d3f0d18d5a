import { longPosition, type Position } from "../core/position.ts";
import { type Filled, redacted, Text } from "../core/text.ts";
import type { NodePlan } from "../plan/model.ts";
import type { Install } from "../resolve/model.ts";
import { Lines } from "./lines.ts";
import { kindOf, Made } from "./made.ts";

/** The plan for people and other programs: readable JSON, positions as `file:line:column`, secrets by name only. */
export function planJson(plan: NodePlan, made: Made = new Made()): Lines {
  return new Lines().add(`${json(plan, "", `plan ${kindOf(plan)}`, made)}\n`, plan.from);
}

/**
 * What JSON.stringify makes of a value with `readable` and an indentation of two, but for the items of lists that
 * were written before: what is readable of an item depends on nothing around it.
 * @param place where the value stands
 */
function json(value: unknown, indent: string, place: string, made: Made): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return made.list(
      place,
      value as readonly unknown[],
      (raw, index) => json(readable.call(value, String(index), raw), inner, `${place}/${index}`, made),
      (items) => `[\n${inner}${items.join(`,\n${inner}`)}\n${indent}]`,
    );
  }
  const fields: string[] = [];
  for (const [key, raw] of Object.entries(value)) {
    const item = readable.call(value, key, raw);
    if (item !== undefined)
      fields.push(`${JSON.stringify(key)}: ${json(item, inner, `${place}/${key}`, made)}`);
  }
  return fields.length === 0 ? "{}" : `{\n${inner}${fields.join(`,\n${inner}`)}\n${indent}}`;
}

/** For JSON.stringify: positions as text, secrets by name, and nothing that stands elsewhere. */
export function readable(this: unknown, key: string, value: unknown): unknown {
  if (value instanceof Text) return redacted(value as Filled);
  if (key === "from" && value !== null && typeof value === "object") return longPosition(value as Position);
  // What came from which line stands in origins.json; the texts of scripts stand in user-data.
  if (key === "lines") return undefined;
  // A person's own keys for the installer may hold tokens, hashes and passphrases.
  if (key === "keys" && isMap(this) && "installer" in this)
    return (value as Install["keys"]).map(({ key: name, from }) => ({ key: name, from }));
  if (isMap(this) && this["type"] === "dm_crypt" && key === "key") return "<secret>";
  return value;
}

function isMap(value: unknown): value is { readonly [key: string]: unknown } {
  return value !== null && typeof value === "object";
}

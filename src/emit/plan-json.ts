import { longPosition, type Position } from "../core/position.ts";
import { type Filled, redacted, Text } from "../core/text.ts";
import type { NodePlan } from "../plan/model.ts";
import type { Install } from "../resolve/model.ts";
import { Lines } from "./lines.ts";

/** The plan for people and other programs: readable JSON, positions as `file:line:column`, secrets by name only. */
export function planJson(plan: NodePlan): Lines {
  const text = JSON.stringify(plan, readable, 2);
  return new Lines().add(`${text}\n`, plan.from);
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

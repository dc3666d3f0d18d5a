import { longPosition, type Position } from "../core/position.ts";
import { type Filled, redacted, Text } from "../core/text.ts";
import type { NodePlan } from "../plan/model.ts";
import { Lines } from "./lines.ts";

/** The plan for people and other programs: readable JSON, positions as `file:line:column`, secrets by name only. */
export function planJson(plan: NodePlan): Lines {
  const text = JSON.stringify(
    plan,
    (key, value: unknown) => {
      if (value instanceof Text) return redacted(value as Filled);
      if (key === "from" && value !== null && typeof value === "object")
        return longPosition(value as Position);
      // What came from which line stands in origins.json; the texts of scripts stand in user-data.
      if (key === "lines") return undefined;
      return value;
    },
    2,
  );
  return new Lines().add(`${text}\n`, plan.from);
}

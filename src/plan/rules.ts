/** What a component says must be so on a node: rules about options and networks, and how much of the machine it takes. */
import { bytes } from "../core/duration.ts";
import type { Position } from "../core/position.ts";
import { redacted } from "../core/text.ts";
import { type Path, positionOf } from "../load/marks.ts";
import { type Family, parseIp, parsePool, parseRange } from "../resolve/address.ts";
import type { Node, Site } from "../resolve/model.ts";
import { evaluateText, holds, type Rendering, type Scope } from "../resolve/template.ts";
import type { OptionValues, RuleDoc } from "../validate/documents.ts";
import type { Owner } from "./needs.ts";

/** The kinds of rules; each has exactly one. */
const kinds = ["given", "inside", "apart", "at_most"] as const;

interface Span {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

/** An address, a network, or the first and last of some addresses; null when the text is none of these. */
function spanOf(text: string): Span | null {
  const ip = parseIp(text);
  if (ip !== null) return { family: ip.family, first: ip.value, last: ip.value };
  const pool = parsePool(text);
  if (pool !== null) return { family: pool.first.family, first: pool.first.value, last: pool.last.value };
  return parseRange(text)?.range ?? null;
}

/** Reports each rule of the node's components that does not hold, at the option or the node that it is about. */
export function checkRules(
  node: Node,
  site: Site,
  owners: readonly Owner[],
  scopeOf: (owner: Owner) => Scope,
  rendering: Rendering,
): void {
  for (const owner of owners) {
    for (const [index, rule] of (owner.component?.doc.rules ?? []).entries()) {
      const path: Path = ["rules", index];
      const scope = scopeOf(owner);
      if (!holds(rule.when, scope, owner.loaded, path, rendering)) continue;
      const said = kinds.filter((kind) => rule[kind] !== undefined);
      if (said.length !== 1) {
        rendering.problems.add({
          code: said.length === 0 ? "missing-key" : "clash",
          at: positionOf(owner.loaded, path),
          message: `a rule needs exactly one of ${kinds.join(", ")}`,
          hint: "write several rules for several things",
        });
        continue;
      }
      const text = (value: unknown, ...at: Path): string =>
        redacted(evaluateText(value, scope, owner.loaded, [...path, ...at], rendering)).trim();
      const before = rendering.problems.reports;
      const good = ruleHolds(rule, text);
      if (good || rendering.problems.reports > before) continue;
      rendering.problems.add({
        code: "rule",
        at: placeOf(node, site, owner, rule.option),
        message: `${text(rule.message, "message")} (node "${node.name}")`,
        ...(rule.hint === undefined ? {} : { hint: text(rule.hint, "hint") }),
        also: [{ at: positionOf(owner.loaded, path), label: `the rule of "${owner.title}"` }],
      });
    }
  }
  checkSize(node, site, owners, rendering);
}

function ruleHolds(rule: RuleDoc, text: (value: unknown, ...at: Path) => string): boolean {
  if (rule.given !== undefined) return text(rule.given, "given") !== "";
  if (rule.at_most !== undefined) {
    const { value, limit, less = 0 } = rule.at_most;
    return Number(text(value, "at_most", "value")) <= Number(text(limit, "at_most", "limit")) - less;
  }
  const { value, of } = (rule.inside ?? rule.apart) as { readonly value: string; readonly of: string };
  const kind = rule.inside === undefined ? "apart" : "inside";
  const [one, other] = [spanOf(text(value, kind, "value")), spanOf(text(of, kind, "of"))];
  // What is no address is somebody else's to report, and nothing lies in what is not there.
  if (one === null || other === null) return rule.inside === undefined;
  const same = one.family === other.family;
  return rule.inside === undefined
    ? !same || one.last < other.first || one.first > other.last
    : same && one.first >= other.first && one.last <= other.last;
}

/** Where an option got its value, by the strongest layer that sets it; the node where none does. */
function placeOf(node: Node, site: Site, owner: Owner, option: string | undefined): Position {
  const { name } = owner.component ?? { name: "" };
  const sets = (values: OptionValues | undefined): boolean =>
    option !== undefined && values?.[name] !== undefined && Object.hasOwn(values[name], option);
  const at = [name, option ?? ""];
  if (sets(node.doc.options)) return positionOf(site.loaded, [...node.path, "options", ...at]);
  if (sets(site.doc.options)) return positionOf(site.loaded, ["options", ...at]);
  for (const { doc, loaded } of [...node.profiles].reverse()) {
    if (sets(doc.options)) return positionOf(loaded, ["options", ...at]);
    const index = (doc.components ?? []).findIndex(
      (one) =>
        typeof one !== "string" && one.use === name && option !== undefined && option in (one.with ?? {}),
    );
    if (index >= 0) return positionOf(loaded, ["components", index, "with", option ?? ""]);
  }
  return positionOf(site.loaded, node.path, "key");
}

const mebibyte = 2 ** 20;

/** Compares what the components take with what the site says of the node, as far as it says anything. */
function checkSize(node: Node, site: Site, owners: readonly Owner[], rendering: Rendering): void {
  const size = node.doc.size ?? {};
  const takers = owners.flatMap((owner) =>
    owner.component?.doc.takes === undefined ? [] : [{ owner, takes: owner.component.doc.takes }],
  );
  for (const what of ["memory", "disk"] as const) {
    const has = size[what] === undefined ? null : bytes(size[what]);
    if (has === null) continue;
    const parts = takers
      .map(({ owner, takes }) => ({ owner, bytes: bytes(takes[what] ?? "0M") ?? 0 }))
      .filter((part) => part.bytes > 0)
      .sort((a, b) => b.bytes - a.bytes);
    const sum = parts.reduce((total, part) => total + part.bytes, 0);
    if (sum <= has) continue;
    const mib = (value: number): string => `${Math.ceil(value / mebibyte)} MiB`;
    rendering.problems.add({
      code: "too-small",
      at: positionOf(site.loaded, [...node.path, "size", what]),
      message: `node "${node.name}" has ${mib(has)} of ${what}, and what it runs takes ${mib(sum)}`,
      hint: `give it more, or take something from it; the largest: ${parts
        .slice(0, 3)
        .map((part) => `${part.owner.title} ${mib(part.bytes)}`)
        .join(", ")}`,
    });
  }
  const cpus = Math.max(1, ...takers.map(({ takes }) => takes.cpus ?? 1));
  if (size.cpus !== undefined && size.cpus < cpus)
    rendering.problems.add({
      code: "too-small",
      at: positionOf(site.loaded, [...node.path, "size", "cpus"]),
      message: `node "${node.name}" has ${size.cpus} CPU, and what it runs takes ${cpus}`,
      hint: "give it more",
    });
}

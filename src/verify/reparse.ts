/** Reads back what was emitted, with other readers than those that wrote it. */
import { CORE_SCHEMA, load, YAML11_SCHEMA } from "js-yaml";
import type { Artifact } from "../emit/lines.ts";
import { seedFiles, seedLabel } from "../emit/node.ts";
import { isoDifferences } from "./iso-reader.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Verifies one node's artifacts in process: each YAML file must read the same as YAML 1.1 and as 1.2, user-data
 * must carry its header, and the image must hold exactly the files.
 * @returns what is wrong, empty when nothing is
 */
export function verifyNode(artifacts: readonly Artifact[]): string[] {
  const wrong: string[] = [];
  for (const { name, bytes } of artifacts) {
    if (!seedFiles.includes(name)) continue;
    const text = decoder.decode(bytes);
    if (name === "user-data" && !text.startsWith("#cloud-config\n"))
      wrong.push("user-data does not begin with #cloud-config");
    try {
      const old = load(text, { schema: YAML11_SCHEMA });
      const core = load(text, { schema: CORE_SCHEMA });
      if (!same(old, core)) wrong.push(`${name} reads differently as YAML 1.1 and as YAML 1.2`);
    } catch (error) {
      wrong.push(`${name} cannot be read back: ${(error as Error).message.split("\n")[0]}`);
    }
  }
  const image = artifacts.find(({ name }) => name === "seed.iso");
  if (image !== undefined) {
    const files = artifacts.filter(({ name }) => seedFiles.includes(name));
    wrong.push(
      ...isoDifferences(image.bytes, seedLabel, files).map((difference) => `seed.iso: ${difference}`),
    );
  }
  return wrong;
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
  if (Array.isArray(a) !== Array.isArray(b) || a instanceof Date || b instanceof Date) return false;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => same((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
  );
}

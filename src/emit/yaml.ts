/** Values to YAML that 1.1 readers (PyYAML, so cloud-init and netplan) and 1.2 readers agree on. */
import { Document, Scalar, visit } from "yaml";

/**
 * Writes a value as block YAML. Strings that YAML 1.1 would read as something else are quoted, as are those that
 * 1.2 would; long lines are never folded; texts of several lines are literal blocks.
 * @returns text that ends with a line break
 */
export function toYaml(value: unknown): string {
  const document = new Document(value, {
    version: "1.2",
    schema: "core",
    compat: "yaml-1.1",
    aliasDuplicateObjects: false,
  });
  visit(document, {
    Scalar(key, node) {
      if (typeof node.value !== "string") return;
      if (key !== "key" && node.value.includes("\n") && !node.value.startsWith(" "))
        node.type = Scalar.BLOCK_LITERAL;
      else if (ambiguous(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return document.toString({
    lineWidth: 0,
    blockQuote: "literal",
    indentSeq: false,
    flowCollectionPadding: true,
  });
}

/** What the two versions, or their readers, disagree on beyond what the writer's schemas know. */
function ambiguous(text: string): boolean {
  return (
    /^[-+.]?\d/.test(text) || // numbers of all bases, sexagesimals, dates, MAC addresses
    /^(y|n|yes|no|on|off|true|false|null|~|=|<<|)$/i.test(text) ||
    /^[-+]?\.(inf|nan)$/i.test(text)
  );
}

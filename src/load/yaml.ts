/**
 * YAML text to values with positions. The only module that reads YAML; knows nothing of what the values mean.
 */
import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  Parser,
} from "yaml";
import type { Position } from "../core/position.ts";
import type { Problems } from "../core/problem.ts";
import type { Data, Loaded, Mark, Marks } from "./marks.ts";

/** More nodes than this behind aliases is taken for an attack or an accident. */
const aliasLimit = 10_000;

/**
 * Reads one YAML 1.2 document.
 * @param file the path as problems will show it
 * @returns the document, or null when problems were found (all of them are added).
 */
export function loadYaml(file: string, textIn: string, problems: Problems): Loaded | null {
  let failed = false;
  const lineCounter = new LineCounter();
  const at = (offset: number, length = 1): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col), length };
  };
  const fail = (problem: Parameters<Problems["add"]>[0]): void => {
    failed = true;
    problems.add(problem);
  };

  const text = textIn;
  if (text.startsWith("\uFEFF")) {
    fail({
      code: "yaml-bom",
      at: { file, line: 1, column: 1 },
      message: "the file begins with a byte order mark",
      hint: "save it as UTF-8 without BOM",
    });
    return null;
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  const control = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F\u0080-\u0084\u0086-\u009F\uFFFE\uFFFF]/g;
  let line = 1;
  let lineStart = 0;
  let scanned = 0;
  for (const found of text.matchAll(control)) {
    for (; scanned < found.index; scanned++) {
      if (text.charCodeAt(scanned) === 10) {
        line += 1;
        lineStart = scanned + 1;
      }
    }
    const code = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    fail({
      code: "yaml-control-character",
      at: { file, line, column: found.index - lineStart + 1 },
      message: `the control character U+${code} may not stand here`,
      hint: "delete it, or write it as an escape in a double-quoted string",
    });
  }
  if (failed) return null;

  const parser = new Parser(lineCounter.addNewLine);
  const composer = new Composer({
    version: "1.2",
    lineCounter,
    keepSourceTokens: false,
    // The library compares every key with every other: of ten thousand nodes in a site that takes seconds.
    uniqueKeys: false,
    strict: true,
    stringKeys: true,
  });
  const documents: Document.Parsed[] = [...composer.compose(parser.parse(text))] as Document.Parsed[];
  const document = documents[0];
  for (const doc of documents) {
    for (const error of [...doc.errors, ...doc.warnings]) {
      if (/call stack/i.test(error.message)) {
        // How deep is too deep depends on the machine, so the column is no use.
        fail({
          code: "yaml-syntax",
          at: { ...at(error.pos[0]), column: 1 },
          message: "values are nested too deeply",
          hint: "nothing that seedsmith reads has more than a few levels",
        });
        continue;
      }
      const tab = error.code === "TAB_AS_INDENT" || /\ttab|tabs?\b/i.test(error.message);
      fail({
        code: tab ? "yaml-tab" : "yaml-syntax",
        at: at(error.pos[0]),
        message: lowerFirst(firstLine(error.message)),
        hint: tab ? "indent with blanks" : "check quotes, colons and indentation here and on the line above",
      });
    }
  }
  if (documents.length > 1) {
    fail({
      code: "yaml-syntax",
      at: at(documents[1]?.range?.[0] ?? 0),
      message: "the file holds more than one document",
      hint: "keep one; --- starts another",
    });
  }
  if (failed) return null;
  if (document === undefined || document.contents === null) {
    return { file, value: null, marks: { v: [1, 1, 1] } };
  }

  const mark = (node: Node): Mark => {
    const range = node.range ?? [0, 1, 1];
    const { line: l, col } = lineCounter.linePos(range[0]);
    const block = isScalar(node) && (node.type === "BLOCK_LITERAL" || node.type === "BLOCK_FOLDED");
    const end = text.indexOf("\n", range[0]);
    const length = Math.max(1, Math.min(range[1], end < 0 ? text.length : end) - range[0]);
    return block ? [l, col, 1, 1] : [l, col, length];
  };

  let expanded = 0;
  const open = new Set<Node>();
  const convert = (
    node: Node | null,
    key: Mark | undefined,
    fallback: Mark,
    inAlias: boolean,
  ): [Data, Marks] => {
    const place = (v: Mark, c?: Marks["c"]): Marks => ({
      ...(key === undefined ? {} : { k: key }),
      v,
      ...(c === undefined ? {} : { c }),
    });
    if (node === null) return [null, place(fallback)];
    const v = mark(node);
    if (inAlias && ++expanded > aliasLimit) {
      if (expanded === aliasLimit + 1) {
        fail({
          code: "yaml-alias",
          at: { file, line: v[0], column: v[1] },
          message: `aliases expand to more than ${aliasLimit} values`,
          hint: "write the values out",
        });
      }
      return [null, place(v)];
    }
    if (isAlias(node)) {
      const target = node.resolve(document) as Node | undefined;
      if (target === undefined || open.has(target)) {
        fail({
          code: "yaml-alias",
          at: { file, line: v[0], column: v[1], length: v[2] },
          message:
            target === undefined
              ? `nothing has the anchor &${node.source}`
              : `*${node.source} stands inside itself`,
          hint: "write the value out",
        });
        return [null, place(v)];
      }
      const [value, marks] = convert(target, key, v, true);
      return [value, { ...marks, ...(key === undefined ? {} : { k: key }) }];
    }
    if (isScalar(node)) {
      const value = node.value;
      if (value === null || typeof value === "string" || typeof value === "boolean")
        return [value as Data, place(v)];
      if (typeof value === "number" && Number.isFinite(value)) return [value, place(v)];
      return [String(node.source ?? value), place(v)];
    }
    open.add(node);
    try {
      if (isSeq(node)) {
        const values: Data[] = [];
        const children: Marks[] = [];
        for (const item of node.items as Node[]) {
          const [value, marks] = convert(item, undefined, v, inAlias);
          values.push(value);
          children.push(marks);
        }
        return [values, place(v, children)];
      }
      if (isMap(node)) {
        const values: Record<string, Data> = {};
        const children: Record<string, Marks> = {};
        for (const pair of node.items as Pair<Node, Node | null>[]) {
          const keyMark = mark(pair.key);
          const name = isScalar(pair.key) ? String(pair.key.source ?? pair.key.value) : "";
          if (name === "<<") {
            fail({
              code: "yaml-merge-key",
              at: { file, line: keyMark[0], column: keyMark[1], length: 2 },
              message: "the merge key << is YAML 1.1 and not read here",
              hint: "write the keys out, or use a profile",
            });
            continue;
          }
          if (Object.hasOwn(values, name))
            fail({
              code: "yaml-duplicate-key",
              at: { file, line: keyMark[0], column: keyMark[1], length: 1 },
              message: "this key stands twice in the same mapping",
              hint: "keep one of them; YAML readers silently take the last",
            });
          const [value, marks] = convert(pair.value, keyMark, keyMark, inAlias);
          // defineProperty, so that a key named __proto__ is data like any other
          Object.defineProperty(values, name, {
            value,
            enumerable: true,
            configurable: true,
            writable: true,
          });
          Object.defineProperty(children, name, {
            value: marks,
            enumerable: true,
            configurable: true,
            writable: true,
          });
        }
        return [values, place(v, children)];
      }
    } finally {
      open.delete(node);
    }
    return [null, place(v)];
  };
  const [value, marks] = convert(document.contents as Node, undefined, [1, 1, 1], false);
  return failed ? null : { file, value, marks };
}

function firstLine(text: string): string {
  return (text.split("\n")[0] ?? "").replace(/ at line \d+, column \d+:?$/, "");
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

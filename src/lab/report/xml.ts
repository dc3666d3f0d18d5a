/**
 * XML from values. Two dozen lines of our own, as the libraries that were tried let through what no XML document may
 * hold: control characters, and `]]>` in a text.
 */

/** An element or a text, ready to be written. */
export interface Xml {
  readonly xml: string;
  readonly isText?: true;
}

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "\t": "&#9;",
  "\n": "&#10;",
  "\r": "&#13;",
};

/**
 * A text that an XML 1.0 document may hold: control characters, lone surrogates and the two noncharacters are
 * replaced, as even an escape of them makes a document that no reader takes. Colours of terminals go without trace.
 */
function legal(value: string): string {
  return (
    value
      // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
      .replace(/\x1b\[[0-?]*[ -/]*[@-~]/g, "")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
      .replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]|\p{Surrogate}/gu, "\ufffd")
  );
}

/** A text. */
export function text(value: string): Xml {
  return { xml: legal(value).replace(/[&<>\r]/g, (char) => escapes[char]!), isText: true };
}

/** An element; attributes that are null are left out. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | number | null>>,
  children: readonly Xml[] = [],
): Xml {
  const written = Object.entries(attributes).flatMap(([key, value]) =>
    value === null
      ? []
      : [` ${key}="${legal(String(value)).replace(/[&<>"\t\n\r]/g, (char) => escapes[char]!)}"`],
  );
  const open = `<${name}${written.join("")}`;
  if (children.length === 0) return { xml: `${open}/>` };
  // A line for each child, for people; where there is text, white space would be part of it.
  const between = children.some(({ isText }) => isText === true) ? "" : "\n";
  return { xml: [`${open}>`, ...children.map(({ xml }) => xml), `</${name}>`].join(between) };
}

/** A document with this root. */
export function xmlDocument(root: Xml): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${root.xml}\n`;
}

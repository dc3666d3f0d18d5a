/** A timeline as a picture: one SVG without scripts or outside fonts, for light and dark pages. */

import {
  kindTitles,
  type NodeTimeline,
  type Span,
  type SpanKind,
  spanKinds,
  type Timeline,
} from "./timeline.ts";
import { tickEvery, took } from "./timeline-text.ts";
import { element, text, type Xml, xmlDocument } from "./xml.ts";

/** Fills on which black text can be read, and that stand out from white and from black. */
const colours: Readonly<Record<SpanKind, string>> = {
  boot: "#9aa5b1",
  "cloud-init": "#f2b263",
  download: "#7cc4e8",
  unpack: "#4a9fd8",
  configure: "#f5d04e",
  packages: "#b9d7ea",
  files: "#d9c7a0",
  step: "#7cc576",
  unit: "#4db89e",
  ready: "#b5e08c",
  check: "#c3aef0",
  wait: "url(#waiting)",
  reboot: "#ee8a80",
};

const style = `
text { font-family: system-ui, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; font-size: 12px; fill: #1f2328 }
.page { fill: #ffffff }
.title { font-size: 16px; font-weight: 600 }
.dim { fill: #57606a }
.inside { font-size: 11px; fill: #101418; pointer-events: none }
.grid { stroke: #d0d7de; stroke-width: 1 }
.back { fill: #f3f5f7 }
.bad { fill: #c9252d; font-weight: 600 }
.good { fill: #1a7f37; font-weight: 600 }
.failed { stroke: #c9252d; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .page { fill: #0d1117 }
  .dim { fill: #9198a1 }
  .inside { fill: #101418 }
  .grid { stroke: #30363d }
  .back { fill: #161b22 }
  .bad { fill: #ff7b72 }
  .good { fill: #56d364 }
  .failed { stroke: #ff7b72 }
}`;

const width = 1280;
const laneHeight = 20;
const rowGap = 10;
/** Columns of pixels that a character takes, generously: fonts differ. */
const charWidth = 7.2;
const smallCharWidth = 6.4;

const round = (value: number): number => Math.round(value * 10) / 10;

/** Cuts a text to what fits into so many pixels. */
function cut(value: string, pixels: number, perChar: number): string {
  const room = Math.floor(pixels / perChar);
  return value.length <= room ? value : room < 3 ? "" : `${value.slice(0, room - 1)}…`;
}

/** Spans side by side get a lane each, as few lanes as they need. */
function lanesOf(spans: readonly Span[]): { readonly span: Span; readonly lane: number }[] {
  const ends: number[] = [];
  return spans.map((span) => {
    // Times are rounded to milliseconds: what ends when the next begins is not beside it.
    let lane = ends.findIndex((end) => end <= span.start + 0.002);
    if (lane < 0) lane = ends.length;
    ends[lane] = span.end;
    return { span, lane };
  });
}

function label(span: Span): string {
  const name = span.kind === "wait" ? span.name.replace(/^waits for /, "wait: ") : span.name;
  return name;
}

function drawNode(
  node: NodeTimeline,
  top: number,
  left: number,
  scale: number,
  end: number,
): { parts: Xml[]; height: number } {
  const placed = lanesOf(node.spans);
  const lanes = Math.max(1, ...placed.map(({ lane }) => lane + 1));
  const height = lanes * laneHeight;
  const parts: Xml[] = [
    element("rect", { class: "back", x: left, y: top, width: round(end - left), height }),
    element("text", { x: left - 10, y: top + height / 2 + 4, "text-anchor": "end" }, [
      element("title", {}, [text(node.node)]),
      text(cut(node.node, left - 20, charWidth)),
    ]),
  ];
  for (const { span, lane } of placed) {
    const from = left + span.start * scale;
    // A second of an hour must still be seen.
    const wide = Math.max(1, (span.end - span.start) * scale);
    const y = top + lane * laneHeight;
    const said = `${label(span)}\n${kindTitles[span.kind]}, ${took(span.end - span.start)}, from ${took(span.start)} on${span.from === null ? "" : `\n${span.from}`}${span.result === "ok" ? "" : `\n${span.result}`}`;
    parts.push(
      element("g", {}, [
        element("title", {}, [text(said)]),
        element("rect", {
          x: round(from),
          y: y + 1,
          // A gap, so that of two steps one after the other nobody takes two for one.
          width: round(wide > 3 ? wide - 1 : wide),
          height: laneHeight - 2,
          fill: colours[span.kind],
          class: span.result === "failed" ? "failed" : null,
        }),
      ]),
    );
    const words = cut(`${label(span)} ${took(span.end - span.start)}`, wide - 8, smallCharWidth);
    // A stump of a word says nothing.
    if (words.length >= 10 || (words.length > 0 && !words.endsWith("…")))
      parts.push(element("text", { class: "inside", x: round(from + 4), y: y + 14 }, [text(words)]));
  }
  const at = round(left + node.end * scale + 6);
  const verdict = { ready: "READY", failed: "FAILED", unfinished: "not READY" }[node.verdict];
  parts.push(
    element(
      "text",
      {
        x: at,
        y: top + height / 2 + 4,
        class: node.verdict === "ready" ? "good" : node.verdict === "failed" ? "bad" : "dim",
      },
      [text(`${verdict} ${took(node.end - node.start)}`)],
    ),
  );
  return { parts, height };
}

/**
 * The picture.
 * @param title what it shows, such as the site's name
 */
export function timelineSvg(found: Timeline, title: string): string {
  const longestName = Math.max(0, ...found.nodes.map(({ node }) => node.length));
  const left = Math.min(260, Math.max(80, longestName * charWidth + 24));
  // Room for the verdict behind the last bar.
  const right = 150;
  const end = width - right;
  const scale = found.length === 0 ? 0 : (end - left) / found.length;
  const parts: Xml[] = [];
  const axisTop = 62;
  let top = axisTop + 12;
  const rows: Xml[] = [];
  for (const node of found.nodes) {
    const { parts: drawn, height } = drawNode(node, top, left, scale, end);
    rows.push(...drawn);
    top += height + rowGap;
  }
  const every = tickEvery(found.length, 10);
  for (let tick = 0; tick <= found.length && found.length > 0; tick += every) {
    const x = round(left + tick * scale);
    parts.push(
      element("line", { class: "grid", x1: x, y1: axisTop + 2, x2: x, y2: top - rowGap + 4 }),
      element("text", { class: "dim", x, y: axisTop - 4, "text-anchor": "middle" }, [
        text(
          tick === 0
            ? "0"
            : took(tick)
                .replace(/(?<=\d[mh])00[sm]$/, "")
                .replace(".0s", "s"),
        ),
      ]),
    );
  }
  parts.push(...rows);

  // The legend: only what there is, with how long it took on all nodes.
  let x = left;
  top += 14;
  for (const kind of spanKinds.toReversed()) {
    const seconds = found.nodes.reduce((sum, { spent }) => sum + spent[kind], 0);
    if (seconds < 0.05) continue;
    const words = `${kindTitles[kind]} ${took(seconds)}`;
    const wide = 20 + words.length * charWidth + 14;
    if (x + wide > width - 10 && x > left) {
      x = left;
      top += 22;
    }
    parts.push(
      element("rect", { x: round(x), y: top - 11, width: 14, height: 14, fill: colours[kind] }),
      element("text", { x: round(x + 20), y: top }, [text(words)]),
    );
    x += wide;
  }

  // What is too small to carry a label stands here.
  top += 34;
  parts.push(element("text", { x: left, y: top, class: "dim" }, [text("The longest items")]));
  for (const [index, item] of found.longest.slice(0, 8).entries()) {
    top += 19;
    const words = `${index + 1}. ${took(item.seconds)}  ${item.node}: ${item.name}${item.from === null ? "" : `  (${item.from})`}`;
    parts.push(
      element("rect", { x: left, y: top - 10, width: 10, height: 10, fill: colours[item.kind] }),
      element("text", { x: left + 18, y: top }, [text(cut(words, width - left - 30, charWidth))]),
    );
  }
  const height = top + 24;
  const ready = found.nodes.filter(({ verdict }) => verdict === "ready").length;
  const summary = `${found.nodes.length} ${found.nodes.length === 1 ? "node" : "nodes"}, ${ready} READY, ${took(found.length)}, from ${new Date(found.zero).toISOString().slice(0, 19)}Z on`;
  const pattern = element(
    "pattern",
    { id: "waiting", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    [
      element("rect", { width: 8, height: 8, fill: "#d5dae0" }),
      element("rect", { width: 3, height: 8, fill: "#b4bcc6" }),
    ],
  );
  return xmlDocument(
    element(
      "svg",
      {
        xmlns: "http://www.w3.org/2000/svg",
        width,
        height,
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        "aria-label": `${title}: ${summary}`,
      },
      [
        element("style", {}, [text(style)]),
        element("defs", {}, [pattern]),
        element("rect", { class: "page", width, height }),
        element("text", { class: "title", x: 16, y: 24 }, [text(title)]),
        element("text", { class: "dim", x: 16, y: 42 }, [text(summary)]),
        ...parts,
      ],
    ),
  );
}

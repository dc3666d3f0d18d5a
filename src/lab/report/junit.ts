/**
 * A lab's verdicts as JUnit XML, the form that CI servers read: a suite a node, a case a step and check, and one for
 * the verdict itself. Only what Ant's original format has, which every reader takes.
 */

import type { NodeChecks } from "../check.ts";
import type { RunnerEvent } from "../events.ts";
import { tailOf, timeOf } from "../watch/progress.ts";
import { oneLine, type SourceLine } from "../watch/words.ts";
import type { BootRecord } from "./boot-record.ts";
import { element, text, type Xml, xmlDocument } from "./xml.ts";

interface Case {
  readonly name: string;
  readonly seconds: number;
  readonly result: "passed" | "failure" | "error" | "skipped";
  /** Why, on one line; empty where it passed. */
  readonly message: string;
  /** More of why, in lines. */
  readonly details: readonly string[];
}

function placeLines(from: string | null | undefined, source: SourceLine): string[] {
  if (from === null || from === undefined || from === "-") return [];
  const line = source(from);
  return [
    `asked for by ${from}`,
    ...(line === null ? [] : [`  ${from.split(":").at(-1)} | ${oneLine(line)}`]),
  ];
}

/** The last that is known of each step, in the order in which they were first begun. */
function stepCases(record: BootRecord, source: SourceLine): Case[] {
  const begun = new Map<string, { readonly event: RunnerEvent; readonly at: number }>();
  const ended = new Map<string, RunnerEvent>();
  for (const event of record.events) {
    if (event.step === undefined || event.event === "failed" || event.event === "step-retry") continue;
    if (event.event === "step-start") {
      // Of a step that a later run did again, the later one counts, in the earlier one's place.
      begun.set(event.step, { event, at: timeOf(event) ?? 0 });
      ended.delete(event.step);
    } else ended.set(event.step, event);
  }
  const named = ({ name, step }: RunnerEvent): string => oneLine(name ?? step ?? "");
  const cases: Case[] = [];
  for (const [id, { event, at }] of begun) {
    const name = `${named(event)} [${id}]`;
    const end = ended.get(id);
    if (end === undefined) {
      const last = record.ended ?? record.gathered;
      cases.push({
        name,
        seconds: Math.max(0, (last - at) / 1000),
        result: "error",
        message: "begun and not ended",
        details: placeLines(event.from, source),
      });
      continue;
    }
    const seconds = end.seconds ?? Math.max(0, ((timeOf(end) ?? at) - at) / 1000);
    if (end.event === "step-fail" || end.event === "check-fail") {
      const details = [
        ...placeLines(end.from ?? event.from, source),
        ...tailOf(end).map((line) => `| ${line}`),
      ];
      cases.push({ name, seconds, result: "failure", message: oneLine(end.message ?? "failed"), details });
    } else if (end.event === "step-stop") {
      cases.push({
        name,
        seconds,
        result: "skipped",
        message: "given up, as another step had failed",
        details: [],
      });
    } else cases.push({ name, seconds, result: "passed", message: "", details: [] });
  }
  for (const [id, { name, from }] of Object.entries(record.actions)) {
    if (begun.has(id)) continue;
    const details = placeLines(from, source);
    cases.push({
      name: `${oneLine(name)} [${id}]`,
      seconds: 0,
      result: "skipped",
      message: "not reached",
      details,
    });
  }
  return cases;
}

/** The node's verdict as a case, so that a node is never green by its steps alone. */
function verdictCase(record: BootRecord, source: SourceLine): Case {
  const first = record.poweredOn ?? (record.events[0] === undefined ? null : timeOf(record.events[0]));
  const seconds = first === null ? 0 : Math.max(0, ((record.ended ?? record.gathered) - first) / 1000);
  if (record.phase === "ready") return { name: "READY", seconds, result: "passed", message: "", details: [] };
  const { failure } = record;
  if (failure === null) {
    return {
      name: "READY",
      seconds,
      result: "failure",
      message: `not READY in time (${record.phase})`,
      details: [],
    };
  }
  const details = [
    ...(failure.step === null ? [] : [`at ${oneLine(failure.name ?? failure.step)} [${failure.step}]`]),
    ...placeLines(failure.from, source),
    ...failure.tail.map((line) => `| ${line}`),
  ];
  return { name: "READY", seconds, result: "failure", message: oneLine(failure.message), details };
}

/** What came of running all checks again: also that they could not be run is a failure. */
function againCase({ ok, checks, message }: NodeChecks): Case {
  return {
    name: "all checks hold again",
    seconds: checks.reduce((sum, check) => sum + (check.seconds ?? 0), 0),
    result: ok ? "passed" : "failure",
    message: ok ? "" : oneLine(message),
    details: checks
      .filter((check) => !check.ok)
      .map(({ name, from, message: why }) => oneLine(`${name} (${from ?? "-"}): ${why ?? "failed"}`)),
  };
}

/** More that a report tells. */
export interface ReportExtras {
  /** What the nodes' checks said when they were run again. */
  readonly checks?: readonly NodeChecks[];
  /** What a person must know to read the verdict rightly. */
  readonly notices?: readonly string[];
}

const fixed = (seconds: number): string => seconds.toFixed(3);

function suite(
  site: string,
  record: BootRecord,
  index: number,
  source: SourceLine,
  extras: ReportExtras,
): { xml: Xml; cases: Case[] } {
  const again = extras.checks?.find(({ node }) => node === record.node);
  const verdict = verdictCase(record, source);
  const cases = [...stepCases(record, source), ...(again === undefined ? [] : [againCase(again)]), verdict];
  const of = (result: Case["result"]): number => cases.filter((one) => one.result === result).length;
  const properties = [
    ["driver", record.driver],
    ["target", record.target],
    ...(extras.notices ?? []).map((notice) => ["notice", notice]),
    ...record.differences.map((difference) => ["differs from production", difference]),
  ] as [string, string][];
  const total = cases.at(-1)!.seconds;
  const xml = element(
    "testsuite",
    {
      name: record.node,
      package: site,
      id: index,
      tests: cases.length,
      failures: of("failure"),
      errors: of("error"),
      skipped: of("skipped"),
      time: fixed(total),
      timestamp: new Date(record.poweredOn ?? record.gathered).toISOString().slice(0, 19),
      hostname: record.node,
    },
    [
      element(
        "properties",
        {},
        properties.map(([name, value]) => element("property", { name, value })),
      ),
      ...cases.map(({ name, seconds, result, message, details }) =>
        element(
          "testcase",
          { name, classname: `${site}.${record.node}`, time: fixed(seconds) },
          result === "passed"
            ? []
            : result === "skipped"
              ? [element("skipped", { message })]
              : [element(result, { message, type: result }, [text([message, ...details].join("\n"))])],
        ),
      ),
    ],
  );
  return { xml, cases };
}

/**
 * The report of a lab.
 * @param site the site's name
 * @param records of every node that was to come up, in the order of the site
 * @param source reads the line that a failure is blamed on
 */
export function junitXml(
  site: string,
  records: readonly BootRecord[],
  source: SourceLine = () => null,
  extras: ReportExtras = {},
): string {
  const suites = records.map((record, index) => suite(site, record, index, source, extras));
  const cases = suites.flatMap((one) => one.cases);
  const of = (result: Case["result"]): number => cases.filter((one) => one.result === result).length;
  const begin = Math.min(...records.map(({ poweredOn, gathered }) => poweredOn ?? gathered));
  const end = Math.max(...records.map(({ ended, gathered }) => ended ?? gathered));
  return xmlDocument(
    element(
      "testsuites",
      {
        name: `seedsmith ${site}`,
        tests: cases.length,
        failures: of("failure"),
        errors: of("error"),
        time: fixed(records.length === 0 ? 0 : Math.max(0, end - begin) / 1000),
      },
      suites.map(({ xml }) => xml),
    ),
  );
}

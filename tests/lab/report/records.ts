/** Records of boots that no machine made, for the tests of reports. */
import type { RunnerEvent } from "../../../src/lab/events.ts";
import type { BootRecord } from "../../../src/lab/report/boot-record.ts";
import { event, start } from "../watch/fake-lab.ts";

/** Ms since 1970, so many seconds after the start. */
export const at = (seconds: number): number => start + seconds * 1000;

/** A record; what is not said is empty, and READY at the last event. */
export function record(
  node: string,
  events: readonly RunnerEvent[],
  more: Partial<BootRecord> = {},
): BootRecord {
  const last = events.at(-1);
  const ended = last === undefined ? null : Date.parse(String(last.time));
  return {
    format: 1,
    site: "test",
    siteFile: null,
    node,
    place: 0,
    target: "debian-12",
    driver: "fake",
    poweredOn: start,
    gathered: (ended ?? start) + 1000,
    phase: last?.event === "ready" ? "ready" : last?.event === "failed" ? "failed" : "running",
    ended: last?.event === "ready" || last?.event === "failed" ? ended : null,
    failure: null,
    events,
    actions: {},
    cloudInit: [],
    dpkg: [],
    differences: [],
    ...more,
  };
}

/** The events of a step from one second to another. */
export function ran(
  node: string,
  step: string,
  from: number,
  to: number,
  end: RunnerEvent["event"] = "step-ok",
  more: Partial<RunnerEvent> = {},
): RunnerEvent[] {
  const about = { step, name: `name of ${step}`, n: 1, m: 9, ...more };
  return [event(node, from, "step-start", about), event(node, to, end, { ...about, seconds: to - from })];
}

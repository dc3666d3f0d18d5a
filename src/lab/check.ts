/** Running a node's checks again, as its own runner does. */
import { LabError, poll } from "./command.ts";
import type { Driver, LabDescription } from "./driver.ts";
import type { RunnerEvent } from "./events.ts";

/** One check of a node, as it was run again. */
export interface CheckResult {
  readonly step: string;
  readonly name: string;
  /** `file:line` of what asked for it. */
  readonly from: string | null;
  readonly ok: boolean;
  readonly seconds: number | null;
  /** What it found, or why it is red. */
  readonly message: string | null;
  /** The last lines that it printed. */
  readonly tail: readonly string[];
}

/** What the checks of a node said. */
export interface NodeChecks {
  readonly node: string;
  readonly ok: boolean;
  readonly checks: readonly CheckResult[];
  /** Why there are none, or what the runner said at the end; empty when all is well. */
  readonly message: string;
}

/** Seconds that a red check of a node that is up is given to become green. */
const patience = 60;
/** Seconds for all checks of a node. */
const longest = 1800;

/** Seconds for the last check, m of m, to arrive; where the runner failed it may be that there is none. */
const late = 120;
const lateRed = 15;

/** The events that end a check. */
const results: readonly string[] = ["check-ok", "check-skip", "check-fail"];

function result(event: RunnerEvent): CheckResult {
  const { step = "", name = "", from, seconds, message, tail = [] } = event;
  return {
    step,
    name,
    from: from ?? null,
    ok: event.event !== "check-fail",
    seconds: seconds ?? null,
    message: message ?? null,
    tail: typeof tail === "string" ? tail.split("\n").filter((line) => line !== "") : tail,
  };
}

/**
 * Runs `seedsmith-node check` on a node and reads from its event log what came of each check.
 * @returns red, with the reason, when it cannot be run at all
 */
export async function checkNode(driver: Driver, lab: LabDescription, node: string): Promise<NodeChecks> {
  const red = (message: string): NodeChecks => ({ node, ok: false, checks: [], message });
  try {
    const before = (await driver.events(lab, node, 0)).bytes;
    const argv = ["seedsmith-node", "check", "--within", String(patience)];
    const done = await driver.exec(lab, node, argv, { timeout: longest });
    // A driver that follows the log may have it a moment later than the command's end.
    const told: RunnerEvent[] = [];
    let offset = before;
    const whole = async (): Promise<true | null> => {
      const found = await driver.events(lab, node, offset);
      offset += found.bytes;
      told.push(...found.events.filter(({ event }) => results.includes(event)));
      return told.some(({ n, m }) => n !== undefined && n === m) ? true : null;
    };
    await poll(done.status === 0 ? late : lateRed, whole);
    const checks = told.map(result);
    const last = [done.stdout, done.stderr].join("\n").trim().split("\n").at(-1) ?? "";
    // Green is what was said to be green: no checks at all is none.
    if (checks.length === 0) return red(last === "" ? "no check was run" : last);
    const ok = done.status === 0 && checks.every((check) => check.ok);
    return { node, ok, checks, message: ok ? "" : last };
  } catch (error) {
    if (!(error instanceof LabError)) throw error;
    return red(error.message);
  }
}

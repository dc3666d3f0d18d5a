/** What is known of each node, folded from what it asked for and what it reported. */
import { afterEvent, beginning, type NodeProgress } from "../lab/watch/progress.ts";
import { eventLine } from "../lab/watch/words.ts";
import type { Report } from "./report.ts";

/** How far a node is. */
export type Stage =
  | "waiting"
  | "netboot"
  | "installing"
  | "installed"
  | "booting"
  | "running"
  | "rebooting"
  | "ready"
  | "failed";

/** What a node's boot loader is told. */
export type Boot = "install" | "local";

/** One thing that happened, for the timeline. */
export interface Entry {
  /** When the server knew it, in ms since 1970. */
  readonly time: number;
  readonly by: "server" | "installer" | "cloud-init" | "runner";
  readonly text: string;
  readonly bad?: true;
}

/** One thing that happened, as it stands in the journal. Times are ms since 1970 by this host's clock. */
export type Happening =
  /** From now on the node's seed may be fetched. */
  | { readonly time: number; readonly node: string; readonly kind: "offered" }
  | {
      readonly time: number;
      readonly node: string;
      readonly kind: "entry";
      readonly boot: Boot;
      readonly loader: string;
      readonly address: string;
    }
  | { readonly time: number; readonly node: string; readonly kind: "seed"; readonly address: string }
  | { readonly time: number; readonly node: string; readonly kind: "report"; readonly report: Report }
  | { readonly time: number; readonly node: string; readonly kind: "reinstall" };

export interface NodeState {
  readonly node: string;
  readonly stage: Stage;
  /** When it came to this stage. */
  readonly since: number;
  /** When anything was last heard of it; null before. */
  readonly heard: number | null;
  readonly boot: Boot;
  /** Since when its seed may be fetched; null before that. */
  readonly offered: number | null;
  /** When it said that it is installed, or READY; null before. */
  readonly installed: number | null;
  readonly ready: number | null;
  /** How often an installation has begun since it was last asked for. */
  readonly attempts: number;
  /** An entry to install was given, and the seed has not been fetched since. */
  readonly told: boolean;
  /** What it does now, in a few words; empty where the stage says it all. */
  readonly doing: string;
  readonly lastLine: string;
  /** Its runner's first boot. */
  readonly progress: NodeProgress;
  /** How far its runner's log is known. */
  readonly log: { readonly id: string; readonly at: number } | null;
  /** What its installer said of its failure; a runner's failure is in `progress`. */
  readonly failure: string | null;
  /** The stages that it went through since it was last asked to be installed, oldest first. */
  readonly stages: readonly { readonly stage: Stage; readonly since: number }[];
  /** The latest entries, oldest first. */
  readonly timeline: readonly Entry[];
}

/** Entries that are kept of a node. */
const timelineLength = 120;
const stagesLength = 40;

/**
 * Installations that may begin without one that reports its end. Then the node is left alone, as something is wrong
 * that another one would not mend: this is what ends a loop of installations whose reports never arrive.
 */
export const attemptLimit = 3;

/** A node of which nothing has been heard. */
export function unheard(node: string, now: number): NodeState {
  return {
    node,
    stage: "waiting",
    since: now,
    heard: null,
    boot: "install",
    offered: null,
    installed: null,
    ready: null,
    attempts: 0,
    told: false,
    doing: "",
    lastLine: "",
    progress: beginning(node, now),
    log: null,
    failure: null,
    stages: [],
    timeline: [],
  };
}

function noted(state: NodeState, entry: Entry): NodeState {
  return { ...state, timeline: [...state.timeline, entry].slice(-timelineLength) };
}

function staged(state: NodeState, stage: Stage, now: number): NodeState {
  if (state.stage === stage) return state;
  return {
    ...state,
    stage,
    since: now,
    stages: [...state.stages, { stage, since: now }].slice(-stagesLength),
  };
}

/** The system is on the disk: from now on it boots from there. */
function settled(state: NodeState, now: number): NodeState {
  return { ...state, boot: "local", installed: state.installed ?? now, told: false, failure: null };
}

function afterReport(state: NodeState, report: Report, now: number): NodeState {
  if (report.by === "runner") return afterRunner(state, report, now);
  if ("message" in report) return afterInstaller(state, report.type, report.message, now);
  const { by, type, name, description, result } = report;
  const what = description === "" ? name : description;
  const bad = result === "FAIL";
  const text = type === "start" ? what : `${result ?? "done"}: ${what}`;
  const entry: Entry = { time: now, by, text, ...(bad ? { bad: true } : {}) };
  if (by === "cloud-init") {
    // Its verdict is the runner's to give; a stage of a READY node's later boot changes nothing.
    const stage = ["running", "rebooting", "ready", "failed"].includes(state.stage) ? state.stage : "booting";
    return noted({ ...staged(state, stage, now), doing: what, lastLine: text }, entry);
  }
  // Of an installer that goes on after it has said that it is done, only the words are taken.
  if (state.boot === "local" && state.installed !== null) return noted({ ...state, lastLine: text }, entry);
  // Curtin's name for all that it does; its end is that of the installation.
  if (name === "cmd-install" && type === "finish" && result === "SUCCESS")
    return noted({ ...staged(settled(state, now), "installed", now), doing: "", lastLine: "" }, entry);
  const next = bad
    ? { ...staged(state, "failed", now), failure: text, doing: what }
    : { ...staged(state, "installing", now), failure: null, doing: what };
  return noted({ ...next, lastLine: text }, entry);
}

function afterInstaller(
  state: NodeState,
  word: "started" | "installed" | "failed",
  message: string,
  now: number,
): NodeState {
  const by = "installer";
  if (word === "installed") {
    const next = { ...staged(settled(state, now), "installed", now), doing: "", lastLine: message };
    return noted(next, { time: now, by, text: "installed: from now on it boots from its disk" });
  }
  const text = message === "" ? `the installation ${word}` : message;
  if (word === "started")
    return noted(
      { ...staged(state, "installing", now), failure: null, doing: "", lastLine: text },
      { time: now, by, text },
    );
  return noted(
    { ...staged(state, "failed", now), failure: text, doing: "installation", lastLine: text },
    { time: now, by, text, bad: true },
  );
}

function afterRunner(state: NodeState, report: Report & { by: "runner" }, now: number): NodeState {
  const { event, log, at } = report;
  if (log !== null && at !== null) {
    if (state.log !== null && state.log.id === log && at <= state.log.at) return state;
    state = { ...state, log: { id: log, at } };
  }
  // A runner runs from the disk, whether or not the installer's last word arrived.
  state = settled(state, now);
  const progress = afterEvent(
    event.event === "run-start" && state.progress.of === null ? beginning(state.node, now) : state.progress,
    event,
  );
  const stage = progress.phase;
  state = {
    ...staged(state, stage, now),
    progress,
    ready: stage === "ready" ? (state.ready ?? now) : state.ready,
    doing: "",
    lastLine: progress.lastLine,
  };
  // The step that failed has just said why.
  const last = state.timeline.at(-1);
  const said = last?.bad === true && event.message !== undefined && last.text.endsWith(event.message);
  const line = event.event === "failed" && said ? "FAILED" : eventLine(event);
  if (line === null) return state;
  const bad = event.event === "failed" || event.event === "step-fail" || event.event === "check-fail";
  return noted(state, { time: now, by: "runner", text: line, ...(bad ? { bad: true } : {}) });
}

/** The state after something has happened. */
export function after(state: NodeState, happening: Happening): NodeState {
  const { time } = happening;
  switch (happening.kind) {
    case "offered":
      return { ...state, offered: time };
    case "entry": {
      const { boot, loader, address } = happening;
      const heard = { ...state, heard: time };
      const entry: Entry = {
        time,
        by: "server",
        text:
          boot === "install"
            ? `${loader} at ${address} was told to install`
            : `${loader} at ${address} was told to boot the disk`,
      };
      if (boot === "local") {
        const spent = state.boot === "install" && state.attempts >= attemptLimit;
        const text = `${attemptLimit} installations began, and none reported its end: it is left alone`;
        return noted(spent ? { ...staged(heard, "failed", time), failure: text } : heard, entry);
      }
      return noted({ ...staged(heard, "netboot", time), told: true, doing: "", lastLine: "" }, entry);
    }
    case "seed": {
      const entry: Entry = { time, by: "server", text: `the seed went to ${happening.address}` };
      return noted(
        {
          ...state,
          heard: time,
          told: false,
          attempts: state.attempts + (state.told ? 1 : 0),
        },
        entry,
      );
    }
    case "report":
      return { ...afterReport(state, happening.report, time), heard: time };
    case "reinstall":
      return noted(
        { ...unheard(state.node, time), offered: time, timeline: state.timeline, log: state.log },
        { time, by: "server", text: "reinstall was asked for: its next boot from the network installs it" },
      );
  }
}

/** What a node's boot loader is to be told now. */
export function bootOf(state: NodeState): Boot {
  return state.attempts >= attemptLimit ? "local" : state.boot;
}

/**
 * Why a node's seed is not given any more, or null while it is.
 * @param installs whether an installer puts the whole first boot onto the disk, so that no seed is read after it
 * @param within seconds since it was offered
 */
export function whyClosed(
  state: NodeState,
  { installs, within }: { readonly installs: boolean; readonly within: number },
  now: number,
): string | null {
  if (state.ready !== null) return "the node is READY";
  if (installs && state.installed !== null) return "the node is installed";
  if (state.offered !== null && now - state.offered > within * 1000) return "its time is over";
  return null;
}

/** Waits until all nodes of a lab are READY, or one of them is not going to be. */
import { setMaxListeners } from "node:events";
import { setTimeout as timeout } from "node:timers/promises";
import { consoleTail } from "../console.ts";
import type { Driver, LabDescription } from "../driver.ts";
import { afterEvent, afterLook, beginning, type NodeProgress, tailLines } from "./progress.ts";
import { silenced } from "./silence.ts";
import type { View, WatchResult } from "./view.ts";

/** Time, so that tests need none. */
export interface Clock {
  /** Ms since 1970. */
  now(): number;
  /** Resolves after `ms`, or as soon as `signal` fires. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const realClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) => timeout(ms, undefined, { signal }).catch(() => undefined),
};

export interface WaitOptions {
  readonly driver: Driver;
  readonly lab: LabDescription;
  /** Names of the machines to wait for. */
  readonly machines: readonly string[];
  readonly view: View;
  /** Seconds from now for all of them together. */
  readonly timeout: number;
  /** When each machine was switched on, in ms since 1970; now for those that are missing. */
  readonly since?: Readonly<Record<string, number>>;
  /** Ends the wait as interrupted. */
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
}

/** Ms between two looks at a machine: far below the 5 s in which a verdict must be seen. */
const lookEvery = 1000;
/** Ms between two questions whether anything is to be expected of a node that says nothing. */
const askEvery = 5000;
/** Ms between two drawings. */
const drawEvery = 250;

/**
 * Follows the nodes' events and machines and shows them. Each machine is looked at on its own, so one whose driver
 * is slow to answer delays no other's verdict.
 * @returns as soon as all are READY, one has failed, time is up, or `signal` fires; it throws for none of these
 */
export async function waitForNodes(options: WaitOptions): Promise<WatchResult> {
  const { driver, lab, machines, view, signal } = options;
  const clock = options.clock ?? realClock;
  const begin = clock.now();
  const progress = new Map(machines.map((name) => [name, beginning(name, options.since?.[name] ?? begin)]));
  const nodes = (): NodeProgress[] => [...progress.values()];
  const heard = new Map<string, number>();
  const over = new AbortController();
  // One listener for each node that sleeps: as many as there are is no leak.
  setMaxListeners(0, over.signal);

  return await new Promise<WatchResult>((resolve) => {
    const end = (outcome: WatchResult["outcome"], failed: WatchResult["failed"] = null): void => {
      if (over.signal.aborted) return;
      over.abort();
      const result = { outcome, nodes: nodes(), failed };
      view.close(result, clock.now());
      resolve(result);
    };
    const settle = (state: NodeProgress): void => {
      progress.set(state.node, state);
      if (state.failure !== null && state.phase === "failed") {
        const tail = consoleTail(driver.console(lab, state.node), tailLines);
        const failure = state.failure.tail.length > 0 ? state.failure : { ...state.failure, tail };
        progress.set(state.node, { ...state, failure });
        end("failed", { node: state.node, failure });
      } else if (nodes().every(({ phase }) => phase === "ready")) end("ready");
    };
    const follow = async (name: string): Promise<void> => {
      for (let offset = 0; !over.signal.aborted; await clock.sleep(lookEvery, over.signal)) {
        let state = progress.get(name)!;
        try {
          const found = await driver.events(lab, name, offset, over.signal);
          if (over.signal.aborted) return;
          offset += found.bytes;
          heard.set(name, offset);
          for (const event of found.events) {
            state = afterEvent(state, event);
            view.event(event, state, clock.now());
          }
        } catch {
          // Not reachable, as in every boot for a while; the look at the machine tells whether for good.
        }
        // A verdict in the log counts more than a machine that is gone a moment later.
        if (state.phase !== "failed") {
          try {
            const power = await driver.state(lab, name);
            if (over.signal.aborted) return;
            state = afterLook(state, power, consoleTail(driver.console(lab, name), tailLines), clock.now());
          } catch {
            // A driver that cannot tell just now is asked again.
          }
        }
        if (!over.signal.aborted) settle(state);
      }
    };
    const ask = async (name: string): Promise<void> => {
      for (let before = -1, why: string | null = null; !over.signal.aborted; ) {
        await clock.sleep(askEvery, over.signal);
        const state = progress.get(name)!;
        if (over.signal.aborted || state.phase === "ready") return;
        // Its last word may come just after the end of its runner: so it is believed when asked a second time.
        const bytes = heard.get(name) ?? 0;
        const now = bytes === before || before === -1 ? await silenced(driver, lab, name) : null;
        if (now !== null && now === why && (heard.get(name) ?? 0) === before && !over.signal.aborted) {
          const at = state.running.at(-1);
          const place = { step: at?.step ?? null, name: at?.name ?? null, from: at?.from ?? null };
          const failure = { ...place, message: now, tail: [] };
          settle({ ...state, phase: "failed", ended: clock.now(), running: [], failure });
        }
        why = now;
        before = bytes;
      }
    };
    const draw = async (): Promise<void> => {
      for (; !over.signal.aborted; await clock.sleep(drawEvery, over.signal)) view.draw(nodes(), clock.now());
    };
    for (const name of machines) {
      void follow(name);
      void ask(name);
    }
    void draw();
    void clock.sleep(options.timeout * 1000, over.signal).then(() => end("timeout"));
    if (signal?.aborted === true || machines.length === 0)
      end(machines.length === 0 ? "ready" : "interrupted");
    signal?.addEventListener("abort", () => end("interrupted"), { once: true });
  });
}

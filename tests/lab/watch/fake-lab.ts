/** A lab without machines: a driver that plays a script, and a clock that a test turns. */
import type { Driver, LabDescription, MachineState } from "../../../src/lab/driver.ts";
import type { RunnerEvent } from "../../../src/lab/events.ts";
import type { NodeProgress } from "../../../src/lab/watch/progress.ts";
import type { View, WatchResult } from "../../../src/lab/watch/view.ts";
import type { Clock } from "../../../src/lab/watch/wait.ts";

/** A moment of 2026 at which all scripts begin. */
export const start: number = Date.UTC(2026, 0, 1);

/** Time that only passes when somebody waits, so that an hour takes no time and the order is always the same. */
export class VirtualClock implements Clock {
  #now = start;
  #sleepers: { readonly at: number; readonly wake: () => void }[] = [];
  #turning = false;

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const abort = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        resolve();
      };
      const wake = () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      const sleeper = { at: this.#now + ms, wake };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", abort);
      void this.#turn();
    });
  }

  async #turn(): Promise<void> {
    if (this.#turning) return;
    this.#turning = true;
    while (this.#sleepers.length > 0) {
      // Everything that is awake does what it can first.
      await new Promise((resolve) => setImmediate(resolve));
      this.#sleepers.sort((a, b) => a.at - b.at);
      const next = this.#sleepers.shift();
      if (next === undefined) break;
      this.#now = Math.max(this.#now, next.at);
      next.wake();
    }
    this.#turning = false;
  }
}

/** An event of a node's runner, `at` seconds after the start. */
export function event(
  node: string,
  at: number,
  kind: RunnerEvent["event"],
  more: Partial<RunnerEvent> = {},
): RunnerEvent {
  return { time: new Date(start + at * 1000).toISOString(), event: kind, node, generation: 1, ...more };
}

export interface Script {
  readonly events?: readonly RunnerEvent[];
  /** What the driver sees, from a second on. */
  readonly power?: readonly (readonly [second: number, state: MachineState])[];
  /** Until this second the machine cannot be reached. */
  readonly unreachableUntil?: number;
  /** Its driver never answers. */
  readonly hangs?: boolean;
}

/** A driver that tells of each machine what its script says has happened by now. */
export function fakeDriver(clock: Clock, scripts: Readonly<Record<string, Script>>): Driver {
  const unused = (): never => {
    throw new Error("not part of a wait");
  };
  const seconds = (): number => (clock.now() - start) / 1000;
  return {
    name: "fake",
    summary: "plays a script",
    inspect: unused,
    obtainable: unused,
    lacks: unused,
    memory: unused,
    reachesHidden: false,
    differences: () => [],
    create: unused,
    start: unused,
    async state(_lab, machine) {
      const found = scripts[machine]?.power?.findLast(([second]) => second <= seconds());
      return found?.[1] ?? { power: "running", reason: "" };
    },
    async events(_lab, machine, offset) {
      const script = scripts[machine] ?? {};
      if (script.hangs === true) return await new Promise(() => undefined);
      if (seconds() < (script.unreachableUntil ?? 0)) throw new Error("not reachable");
      // An event takes one byte here.
      const past = (script.events ?? []).filter(
        ({ time }) => Date.parse(String(time)) <= start + seconds() * 1000,
      );
      return { events: past.slice(offset), bytes: past.length - Math.min(offset, past.length) };
    },
    console: () => "/nonexistent",
    exec: unused,
    entering: unused,
    login: () => [],
    powerOff: unused,
    kill: unused,
    destroy: unused,
  };
}

export const lab: LabDescription = {
  id: "test",
  driver: "fake",
  site: "test",
  folder: "/nonexistent",
  cache: "/nonexistent",
  networks: [],
  targets: [],
  hidden: [],
  machines: [],
};

/** A view that remembers what it was told. */
export class RecordingView implements View {
  readonly told: string[] = [];
  drawn = 0;
  result: WatchResult | null = null;
  closedAt = 0;

  event({ event: kind }: RunnerEvent, { node }: NodeProgress): void {
    this.told.push(`${node} ${kind}`);
  }
  draw(): void {
    this.drawn += 1;
  }
  note(line: string): void {
    this.told.push(line);
  }
  close(result: WatchResult, now: number): void {
    this.result = result;
    this.closedAt = now;
  }
}

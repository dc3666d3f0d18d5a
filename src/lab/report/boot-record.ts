/**
 * What is kept of a node's first boot: enough for its timeline, its junit report and a look back after the machine
 * is gone.
 */
import type { RunnerEvent } from "../events.ts";
import type { NodeFailure, Phase } from "../watch/progress.ts";

/** A stretch of time, in ms since 1970. */
export interface Stretch {
  readonly name: string;
  readonly start: number;
  /** Null when it had not ended by then. */
  readonly end: number | null;
}

/** What dpkg did, as its log tells. */
export interface DpkgWork {
  readonly kind: "unpack" | "configure" | "triggers" | "remove";
  readonly package: string;
  readonly start: number;
  readonly end: number;
}

export interface BootRecord {
  readonly format: 1;
  readonly node: string;
  readonly target: string;
  readonly driver: string;
  /** When it was switched on, in ms since 1970; null when nobody noted it. */
  readonly poweredOn: number | null;
  /** When this was gathered, in ms since 1970. */
  readonly gathered: number;
  readonly phase: Phase;
  readonly failure: NodeFailure | null;
  readonly events: readonly RunnerEvent[];
  /** Stages and modules of cloud-init, of all boots; empty where its log could not be had. */
  readonly cloudInit: readonly Stretch[];
  readonly dpkg: readonly DpkgWork[];
  /** In which bytes it differs from production. */
  readonly differences: readonly string[];
}

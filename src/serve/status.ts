/** How the nodes do, for the page, for `watch` and for other programs. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { SourceLine } from "../lab/watch/words.ts";
import type { Boot, Entry, Happening, NodeState, Stage } from "./node-state.ts";
import { type Asked, answer, type BootServer, type ServedNode } from "./server.ts";
import type { States } from "./states.ts";

/** A failure with what a person needs to find its cause. */
export interface StatusFailure {
  readonly step: string | null;
  readonly name: string | null;
  /** `file:line` of what asked for the step, and the text of that line. */
  readonly from: string | null;
  readonly source: string | null;
  readonly message: string;
  readonly tail: readonly string[];
}

/** How one node does. Times are ms since 1970. */
export interface NodeStatus {
  readonly node: string;
  readonly stage: Stage;
  readonly since: number;
  readonly heard: number | null;
  readonly boot: Boot;
  readonly installable: boolean;
  readonly address: string | null;
  readonly macs: readonly string[];
  /** Until when its seed is given, or null and why it is not given any more. */
  readonly seedUntil: number | null;
  readonly seedClosed: string | null;
  /** Its runner's place; null before it runs. */
  readonly step: number | null;
  readonly steps: number | null;
  readonly doing: string;
  readonly from: string | null;
  readonly lastLine: string;
  readonly failures: readonly StatusFailure[];
  readonly stages: readonly { readonly stage: Stage; readonly since: number }[];
}

/** One node, with what happened to it. */
export interface NodeDetails extends NodeStatus {
  readonly timeline: readonly Entry[];
}

/** A machine that asked and is no node. */
export interface Stranger {
  readonly machine: string;
  readonly address: string;
  readonly count: number;
  readonly last: number;
}

export interface SiteStatus {
  readonly site: string;
  readonly now: number;
  readonly started: number;
  /** How the DHCP server beside it does; null where none was asked for. */
  readonly dhcp: string | null;
  readonly nodes: readonly NodeStatus[];
  readonly strangers: readonly Stranger[];
}

const strangersKept = 50;
/** Browsers and `watch`es that are told at once. */
const listenersAtOnce = 64;
/** Bytes that may wait for a listener before it is let go; it comes again and begins anew. */
const backlog = 1 << 20;

export interface StatusOptions {
  readonly site: string;
  readonly states: States;
  readonly server: () => BootServer;
  readonly nodes: readonly ServedNode[];
  readonly seedSeconds: number;
  readonly source: SourceLine;
  readonly dhcp: () => string | null;
  readonly now?: () => number;
}

/** Answers `/status.json` and `/events`. */
export class Status {
  readonly #options: StatusOptions;
  readonly #started: number;
  readonly #strangers = new Map<string, Stranger>();
  readonly #listeners = new Set<ServerResponse>();
  readonly #changed = new Set<string>();
  #news: string[] = [];
  #timer: NodeJS.Timeout | null = null;
  readonly #beat: NodeJS.Timeout;

  constructor(options: StatusOptions) {
    this.#options = options;
    this.#started = this.#now();
    options.states.listen((state, happening) => this.#happened(state, happening));
    // Shows a listener that the server lives, and shows the server which listeners are gone.
    this.#beat = setInterval(() => this.#tell(`event: beat\ndata: ${this.#now()}\n\n`), 5000);
    this.#beat.unref();
  }

  close(): void {
    clearInterval(this.#beat);
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (const listener of this.#listeners) listener.destroy();
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  /** Notes a machine that is no node. */
  stranger(asked: Asked, address: string): void {
    const machine = [asked.mac, asked.serial && `serial ${asked.serial}`, asked.uuid]
      .filter((part) => part !== undefined && part !== "")
      .join(", ");
    const known = this.#strangers.get(machine);
    this.#strangers.delete(machine);
    this.#strangers.set(machine, {
      machine: machine === "" ? "a machine that does not name itself" : machine,
      address,
      count: (known?.count ?? 0) + 1,
      last: this.#now(),
    });
    for (const oldest of this.#strangers.keys()) {
      if (this.#strangers.size <= strangersKept) break;
      this.#strangers.delete(oldest);
    }
    this.#soon();
  }

  site(): SiteStatus {
    return {
      site: this.#options.site,
      now: this.#now(),
      started: this.#started,
      dhcp: this.#options.dhcp(),
      nodes: this.#options.nodes.map((node) => this.node(node)),
      strangers: [...this.#strangers.values()].reverse(),
    };
  }

  node(node: ServedNode): NodeStatus {
    const { states, seedSeconds, source } = this.#options;
    const state = states.get(node.name);
    const { progress } = state;
    const closed = this.#options.server().whyClosed(node);
    const running = progress.running.at(-1);
    const others = progress.running.length > 1 ? ` (and ${progress.running.length - 1} more)` : "";
    const own =
      progress.failedChecks.length > 0
        ? progress.failedChecks
        : progress.failure === null
          ? []
          : [progress.failure];
    const failures: StatusFailure[] = own.map((one) => ({
      ...one,
      source: one.from === null ? null : source(one.from),
    }));
    if (state.failure !== null)
      failures.push({
        step: null,
        name: state.doing === "" ? null : state.doing,
        from: null,
        source: null,
        message: state.failure,
        tail: [],
      });
    return {
      node: node.name,
      stage: state.stage,
      since: state.since,
      heard: state.heard,
      boot: this.#options.server().boot(node),
      installable: node.installable,
      address: node.addresses[0] ?? null,
      macs: node.macs,
      seedUntil: closed !== null || state.offered === null ? null : state.offered + seedSeconds * 1000,
      seedClosed: closed,
      step: progress.of === null ? null : progress.done + (running === undefined ? 0 : 1),
      steps: progress.of,
      doing: running === undefined ? state.doing : running.name + others,
      from: running?.from ?? null,
      lastLine: state.lastLine,
      failures,
      stages: state.stages,
    };
  }

  /** Answers what it has an answer for. */
  handle(request: IncomingMessage, response: ServerResponse, path: string): boolean {
    if (request.method !== "GET" && request.method !== "HEAD") return false;
    const json = { "Content-Type": "application/json; charset=utf-8" };
    if (path === "/status.json") {
      answer(request, response, 200, `${JSON.stringify(this.site())}\n`, json);
      return true;
    }
    if (path.startsWith("/status/nodes/") && path.endsWith(".json")) {
      const node = this.#options.server().node(path.slice("/status/nodes/".length, -".json".length));
      if (node === null) return false;
      const details: NodeDetails = {
        ...this.node(node),
        timeline: this.#options.states.get(node.name).timeline,
      };
      answer(request, response, 200, `${JSON.stringify(details)}\n`, json);
      return true;
    }
    if (path !== "/events" || request.method !== "GET") return false;
    if (this.#listeners.size >= listenersAtOnce) {
      answer(request, response, 503, "too many are watching\n", { "Retry-After": "10" });
      return true;
    }
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
    });
    this.#listeners.add(response);
    response.on("close", () => this.#listeners.delete(response));
    response.write(`event: site\ndata: ${JSON.stringify(this.site())}\n\n`);
    return true;
  }

  #happened(state: NodeState, happening: Happening): void {
    if (this.#listeners.size === 0) return;
    this.#changed.add(state.node);
    // What a runner says word for word, for those who write it down.
    if (this.#news.length < 2000)
      this.#news.push(
        `event: happening\ndata: ${JSON.stringify({ happening, entry: state.timeline.at(-1) ?? null })}\n\n`,
      );
    this.#soon();
  }

  /** What changes many times a second is told some times a second. */
  #soon(): void {
    if (this.#listeners.size === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      const nodes = [...this.#changed].flatMap((name) => {
        const node = this.#options.server().node(name);
        return node === null ? [] : [this.node(node)];
      });
      this.#changed.clear();
      const news = this.#news;
      this.#news = [];
      const { site: _site, nodes: _nodes, ...rest } = this.#head();
      this.#tell(`${news.join("")}event: nodes\ndata: ${JSON.stringify({ ...rest, nodes })}\n\n`);
    }, 200);
  }

  #head(): SiteStatus {
    return {
      site: this.#options.site,
      now: this.#now(),
      started: this.#started,
      dhcp: this.#options.dhcp(),
      nodes: [],
      strangers: [...this.#strangers.values()].reverse(),
    };
  }

  /** Tells all listeners; one that does not read is let go. */
  #tell(text: string): void {
    for (const listener of this.#listeners) {
      if (listener.writableLength > backlog) listener.destroy();
      else listener.write(text);
    }
  }

  /** Says that something other than a node has changed. */
  changed(): void {
    this.#soon();
  }
}

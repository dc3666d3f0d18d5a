/** The boot server: answers machines that boot from the network, hears their reports, and shows how they do. */
import { realpathSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type Identity, plainAddress, Token, tokenOf, whyStranger } from "./admission.ts";
import { giveFile, giveKept, isPlainPath, type Sending, SmallFiles } from "./files.ts";
import type { Neighbours } from "./neighbours.ts";
import { type Boot, bootOf, type Happening, whyClosed } from "./node-state.ts";
import { readReport } from "./report.ts";
import type { States } from "./states.ts";

export type Loader = "ipxe" | "grub" | "pxelinux";

/** By what a machine names itself. */
export interface Asked {
  /** Lower case, colons. */
  readonly mac?: string;
  readonly serial?: string;
  readonly uuid?: string;
}

/** A node as the server knows it. */
export interface ServedNode extends Identity {
  /** Whether its installer puts the whole first boot onto the disk, so that no seed is read after it. */
  readonly installs: boolean;
  /** Whether anything is known that would install it; without, it is only ever told to boot its disk. */
  readonly installable: boolean;
}

/** What a machine's loader is answered. */
export interface BootAnswer {
  /** Null for a machine that is no node. */
  readonly node: string | null;
  /** @param token of the node where its seed is asked for by that, else null */
  readonly text: (boot: Boot, token: string | null) => string;
}

/** What is served, without how. */
export interface Served {
  readonly site: string;
  readonly nodes: readonly ServedNode[];
  /** The folder with a folder of each node's seed. */
  readonly seeds: string;
  /** The folders below which files are without secrets, by the first part of their URL. */
  readonly open: { readonly [prefix: string]: string };
  /** Which machine it is that asks. */
  readonly match: (loader: Loader, asked: Asked) => BootAnswer;
  /** Seconds after which a seed is not given any more. */
  readonly seedSeconds: number;
  /** Whether boot entries name the seed with its token, as addresses tell nothing here. */
  readonly tokens: boolean;
}

/** Bounds against what machines, broken or not ours, may do. */
export interface Limits {
  readonly connections: number;
  readonly connectionsOfOne: number;
  /** Bytes of a report. */
  readonly report: number;
  /** Bytes of all reports that are being received. */
  readonly reports: number;
  /** Records that may wait for the disk. */
  readonly waiting: number;
  /** Reports of one node: so many at once, and so many a second after that. */
  readonly burst: number;
  readonly rate: number;
  /** Ms in which a request's head, and all of it, must have come. */
  readonly head: number;
  readonly request: number;
  /** Ms in which a body that goes out must get on by 64 KiB. */
  readonly reader: number;
}

export const limits: Limits = {
  connections: 4096,
  connectionsOfOne: 128,
  report: 256 << 10,
  reports: 32 << 20,
  waiting: 20_000,
  burst: 600,
  rate: 60,
  head: 10_000,
  request: 30_000,
  reader: 60_000,
};

export interface BootServerOptions {
  readonly served: Served;
  readonly states: States;
  readonly neighbours: Neighbours;
  /** For tokens. */
  readonly key: Buffer;
  readonly limits?: Partial<Limits>;
  /** Further paths: the page, its data and what controls the server. Gives whether it has answered. */
  readonly others?: (request: IncomingMessage, response: ServerResponse, path: string) => boolean;
  /** Told of what an operator should see. */
  readonly note: (line: string) => void;
  /** Told of a machine that is no node. */
  readonly stranger?: (asked: Asked, address: string) => void;
  readonly now?: () => number;
}

/** The four files of NoCloud; the last is not asked for by every version, and costs retries where it is missing. */
const seedFiles = ["user-data", "meta-data", "vendor-data", "network-config"];
const seedImages = ["seed.iso", "seed.img", "config-drive.img", "config-drive.b64", "user-data.gz"];
/** What stands for a file that a seed does not have. */
const absent: Readonly<Record<string, string>> = {
  "vendor-data": "#cloud-config\n{}\n",
  "network-config": "",
};

const plain = "text/plain; charset=utf-8";

/** What an answer still waits for; nothing when it has been given. */
type Later = Promise<void> | undefined;

/** An answer that its asker gives up is an error of nobody; of a request Node says so only to who listens. */
function heedless(): void {}

/** Answers with a short text. */
export function answer(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  text: string,
  headers: { readonly [name: string]: string } = {},
): undefined {
  const bytes = Buffer.from(text);
  response.writeHead(status, {
    "Content-Type": plain,
    "Content-Length": bytes.length,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    ...headers,
  });
  response.end(request.method === "HEAD" ? undefined : bytes);
}

/** A MAC address in whatever case and with colons, dashes, or the colons encoded; null for what is none. */
export function macIn(text: string): string | null {
  const mac = text.replace(/%3a|-/gi, ":").toLowerCase();
  return /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/.test(mac) ? mac : null;
}

/** A body of at most `limit` bytes; what is longer, or ends too early, is null. */
function bodyOf(
  request: IncomingMessage,
  limit: number,
  more: (bytes: number) => boolean,
): Promise<Buffer | null> {
  return new Promise((done) => {
    const parts: Buffer[] = [];
    let size = 0;
    const end = (body: Buffer | null): void => {
      if (body === null) request.pause();
      done(body);
    };
    request.on("data", (part: Buffer) => {
      size += part.length;
      if (size > limit || !more(part.length)) {
        request.removeAllListeners("data");
        end(null);
      } else parts.push(part);
    });
    request.on("end", () => end(Buffer.concat(parts)));
    request.on("error", () => end(null));
    request.on("close", () => end(null));
  });
}

export class BootServer {
  readonly #served: Served;
  readonly #nodes: ReadonlyMap<string, ServedNode>;
  readonly #options: BootServerOptions;
  readonly #limits: Limits;
  readonly #server: Server;
  readonly #small = new SmallFiles();
  readonly #roots: ReadonlyMap<string, string>;
  readonly #seeds: string;
  readonly #ofOne = new Map<string, number>();
  readonly #budgets = new Map<string, { left: number; at: number }>();
  readonly #sendings = new Map<Sending, { bytes: number; at: number }>();
  readonly #lastEntry = new Map<string, { readonly boot: Boot; readonly at: number }>();
  readonly #tokens = new Map<string, Token>();
  #receiving = 0;
  readonly #sweep: NodeJS.Timeout;

  constructor(options: BootServerOptions) {
    const { served } = options;
    this.#options = options;
    this.#served = served;
    this.#limits = { ...limits, ...options.limits };
    this.#nodes = new Map(served.nodes.map((node) => [node.name, node]));
    const real = (folder: string): string | null => {
      try {
        return realpathSync(folder);
      } catch {
        return null;
      }
    };
    this.#seeds = real(served.seeds) ?? served.seeds;
    this.#roots = new Map(
      Object.entries(served.open).map(([prefix, folder]) => [prefix, real(folder) ?? folder]),
    );
    this.#server = createServer(
      {
        headersTimeout: this.#limits.head,
        requestTimeout: this.#limits.request,
        // An idle connection ends with the server's own timeout below: one timer for it, not two that take turns.
        keepAliveTimeout: 0,
        connectionsCheckingInterval: Math.min(2000, this.#limits.head),
        maxHeaderSize: 8 << 10,
        // A user-data of tens of kilobytes goes out whole, without a wait in between.
        highWaterMark: 64 << 10,
        insecureHTTPParser: false,
      },
      (request, response) => this.#handle(request, response),
    );
    this.#server.maxConnections = this.#limits.connections;
    // Nothing may stand still for longer, whatever it is.
    this.#server.timeout = 2 * this.#limits.reader;
    this.#server.on("connection", (socket) => this.#admit(socket));
    this.#server.on("clientError", (_error, socket) => socket.destroy());
    this.#sweep = setInterval(() => this.#endSlowReaders(), Math.max(50, this.#limits.reader / 4));
    this.#sweep.unref();
  }

  /** The address and port that it listens at. */
  get address(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  /** How many bodies are going out from files now. */
  get sending(): number {
    return this.#sendings.size;
  }

  listen(port: number, host: string): Promise<void> {
    return new Promise((done, failed) => {
      this.#server.once("error", failed);
      this.#server.listen({ port, host, backlog: 1024 }, () => {
        this.#server.removeListener("error", failed);
        this.#server.on("error", (error) => this.#options.note(`the server: ${error.message}`));
        done();
      });
    });
  }

  close(): Promise<void> {
    clearInterval(this.#sweep);
    return new Promise((done) => {
      this.#server.close(() => done());
      this.#server.closeAllConnections();
    });
  }

  /** The node of a name, or null. */
  node(name: string): ServedNode | null {
    return this.#nodes.get(name) ?? null;
  }

  /** Why a node's seed is not given any more, or null while it is. */
  whyClosed(node: ServedNode): string | null {
    return whyClosed(
      this.#options.states.get(node.name),
      { installs: node.installs, within: this.#served.seedSeconds },
      this.#now(),
    );
  }

  /** What a node's loader is told now. */
  boot(node: ServedNode): Boot {
    return node.installable ? bootOf(this.#options.states.get(node.name)) : "local";
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  #admit(socket: Socket): void {
    const address = plainAddress(socket.remoteAddress ?? "");
    const count = (this.#ofOne.get(address) ?? 0) + 1;
    if (count > this.#limits.connectionsOfOne) {
      socket.destroy();
      return;
    }
    this.#ofOne.set(address, count);
    socket.once("close", () => {
      const left = (this.#ofOne.get(address) ?? 1) - 1;
      if (left === 0) this.#ofOne.delete(address);
      else this.#ofOne.set(address, left);
    });
  }

  #endSlowReaders(): void {
    const now = performance.now();
    for (const [sending, mark] of this.#sendings) {
      const bytes = sending.stream.bytesRead;
      if (bytes - mark.bytes >= 64 << 10) this.#sendings.set(sending, { bytes, at: now });
      else if (now - mark.at > this.#limits.reader) sending.response.destroy();
    }
  }

  /** What is answered at once makes no promise: small files are, and a rack asks for thousands of them a second. */
  #handle(request: IncomingMessage, response: ServerResponse): void {
    try {
      const later = this.#route(request, response);
      if (later === undefined) return;
      response.on("error", heedless);
      later.catch((error: unknown) => this.#failed(request, response, error));
    } catch (error) {
      this.#failed(request, response, error);
    }
  }

  #failed(request: IncomingMessage, response: ServerResponse, error: unknown): void {
    this.#options.note(`an answer failed: ${error instanceof Error ? error.message : String(error)}`);
    if (response.headersSent) response.destroy();
    else answer(request, response, 500, "this server failed; its log says why\n", { Connection: "close" });
  }

  /** @returns what is still to be done, or nothing when it has answered */
  #route(request: IncomingMessage, response: ServerResponse): Later {
    const url = request.url ?? "";
    const mark = url.indexOf("?");
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = mark < 0 ? "" : url.slice(mark + 1);
    const method = request.method ?? "";
    const parts = path.split("/");
    const [, first = "", second = ""] = parts;
    if (first === "report") {
      if (method !== "POST") return answer(request, response, 405, "reports are posted\n", { Allow: "POST" });
      return this.#report(request, response, second, parts.slice(3));
    }
    const known =
      first === "seed" ||
      first === "ipxe" ||
      first === "grub" ||
      first === "pxelinux" ||
      this.#roots.has(first);
    if (!known && this.#options.others !== undefined) {
      response.on("error", heedless);
      if (this.#options.others(request, response, path)) return undefined;
    }
    if (method !== "GET" && method !== "HEAD")
      return answer(request, response, 405, "only GET and HEAD\n", {
        Allow: "GET, HEAD",
        Connection: "close",
      });
    switch (first) {
      case "seed":
        return this.#seed(request, response, second, parts.slice(3));
      case "ipxe": {
        if (parts.length !== 3) break;
        return this.#entry(request, response, "ipxe", askedIn(second, query));
      }
      case "grub": {
        if (parts.length !== 3) break;
        if (second === "grub.cfg") return this.#file(request, response, "loaders", "grub/grub.cfg", plain);
        const mac = macIn(second);
        if (mac === null) break;
        return this.#entry(request, response, "grub", { mac });
      }
      case "pxelinux": {
        if (second !== "pxelinux.cfg")
          return this.#file(request, response, "loaders", parts.slice(2).join("/"), null);
        const name = parts.length === 4 ? (parts[3] ?? "") : "";
        const asked = pxelinuxAsked(name);
        if (asked === null) break;
        const found = this.#served.match("pxelinux", asked);
        // It goes on to ask for its card, and in the end for `default`.
        if (found.node === null && name !== "default" && asked.mac === undefined) break;
        return this.#entry(request, response, "pxelinux", asked, found);
      }
      default: {
        if (!this.#roots.has(first)) break;
        return this.#file(request, response, first, parts.slice(2).join("/"), null);
      }
    }
    return answer(request, response, 404, "there is nothing here\n");
  }

  #file(
    request: IncomingMessage,
    response: ServerResponse,
    prefix: string,
    path: string,
    type: string | null,
  ): Later {
    const root = this.#roots.get(prefix);
    if (root === undefined || !isPlainPath(path))
      return answer(request, response, 404, "there is nothing here\n");
    return this.#give(request, response, root, path, type, () =>
      answer(request, response, 404, "there is no such file\n"),
    );
  }

  /** @param missing answers where there is no such file */
  #give(
    request: IncomingMessage,
    response: ServerResponse,
    root: string,
    path: string,
    type: string | null,
    missing: () => void,
  ): Later {
    if (giveKept(request, response, root, path, type, this.#small)) return undefined;
    return giveFile(request, response, root, path, type, this.#small, (sending) => {
      this.#sendings.set(sending, { bytes: 0, at: performance.now() });
      response.once("close", () => this.#sendings.delete(sending));
    }).then((status) => {
      if (status === null) missing();
    });
  }

  async #entry(
    request: IncomingMessage,
    response: ServerResponse,
    loader: Loader,
    asked: Asked,
    found: BootAnswer = this.#served.match(loader, asked),
  ): Promise<void> {
    const address = plainAddress(request.socket.remoteAddress ?? "");
    const node = found.node === null ? undefined : this.#nodes.get(found.node);
    if (node === undefined) {
      this.#options.stranger?.(asked, address);
      return answer(request, response, 200, found.text("local", null));
    }
    const boot = this.boot(node);
    const token = this.#served.tokens ? this.#token(node).word : null;
    if (request.method === "GET") {
      // A loader that asks again and again must not fill the disk.
      const now = this.#now();
      const last = this.#lastEntry.get(node.name);
      if (last === undefined || last.boot !== boot || now - last.at > 10_000) {
        this.#lastEntry.set(node.name, { boot, at: now });
        await this.#happened({ time: now, node: node.name, kind: "entry", boot, loader, address });
      }
    }
    answer(request, response, 200, found.text(boot, token));
  }

  /** Records something that no machine waits for: a disk that refuses is said, and the machine still boots. */
  async #happened(happening: Happening): Promise<void> {
    try {
      await this.#options.states.happened(happening);
    } catch (error) {
      this.#options.note(`the state cannot be written: ${(error as Error).message}`);
    }
  }

  #token(node: ServedNode): Token {
    let token = this.#tokens.get(node.name);
    if (token === undefined) {
      token = new Token(tokenOf(this.#options.key, node.name));
      this.#tokens.set(node.name, token);
    }
    return token;
  }

  /** Whether the asker is the node: by its token, or by its address. Gives why not, or null, and what follows. */
  #whyRefused(
    request: IncomingMessage,
    node: ServedNode,
    rest: readonly string[],
  ): { readonly why: string | null; readonly rest: readonly string[] } {
    const [word = ""] = rest;
    if (/^[0-9a-f]{64}$/.test(word))
      return {
        why: this.#token(node).is(word) ? null : `this is not the token of ${node.name}`,
        rest: rest.slice(1),
      };
    return {
      why: whyStranger(node, plainAddress(request.socket.remoteAddress ?? ""), this.#options.neighbours),
      rest,
    };
  }

  #seed(request: IncomingMessage, response: ServerResponse, name: string, after: readonly string[]): Later {
    const node = this.#nodes.get(name);
    if (node === undefined) return answer(request, response, 404, "there is nothing here\n");
    const { why, rest } = this.#whyRefused(request, node, after);
    const address = plainAddress(request.socket.remoteAddress ?? "");
    if (why !== null) {
      this.#options.note(`${name}: its seed was refused: ${why}`);
      return answer(request, response, 403, `the seed of ${name} is not given: ${why}\n`);
    }
    const closed = this.whyClosed(node);
    if (closed !== null) {
      this.#options.note(`${name}: its seed was refused to ${address}: ${closed}`);
      return answer(
        request,
        response,
        403,
        `the seed of ${name} is not given any more: ${closed}; seedsmith reinstall ${name} opens it again\n`,
      );
    }
    const autoinstall = rest[0] === "autoinstall" ? "autoinstall/" : "";
    const file = autoinstall === "" ? rest[0] : rest[1];
    const deep = rest.length === (autoinstall === "" ? 1 : 2);
    if (file === undefined || !deep || !(seedFiles.includes(file) || seedImages.includes(file)))
      return answer(request, response, 404, "there is no such file in a seed\n");
    const give = (): Later =>
      this.#give(
        request,
        response,
        this.#seeds,
        `${name}/${autoinstall}${file}`,
        seedFiles.includes(file) ? plain : null,
        () => {
          const text = absent[file];
          if (text === undefined) answer(request, response, 404, `the seed of ${name} has no ${file}\n`);
          else answer(request, response, 200, text);
        },
      );
    if (file === "user-data" && request.method === "GET" && this.#options.states.get(name).told)
      return this.#happened({ time: this.#now(), node: name, kind: "seed", address }).then(give);
    return give();
  }

  async #report(
    request: IncomingMessage,
    response: ServerResponse,
    name: string,
    after: readonly string[],
  ): Promise<void> {
    const close = { Connection: "close" };
    const node = this.#nodes.get(name);
    if (node === undefined) return answer(request, response, 404, "there is no such node\n", close);
    const { why, rest } = this.#whyRefused(request, node, after);
    if (why !== null) {
      this.#options.note(`${name}: a report was refused: ${why}`);
      return answer(request, response, 403, `this report is not taken: ${why}\n`, close);
    }
    if (rest.length > 0) return answer(request, response, 404, "there is nothing here\n", close);
    if (request.headers["content-encoding"] !== undefined)
      return answer(request, response, 415, "reports are not compressed\n", close);
    if (Number(request.headers["content-length"] ?? 0) > this.#limits.report)
      return answer(request, response, 413, `a report has ${this.#limits.report} bytes at most\n`, close);
    if (!this.#mayReport(name))
      return answer(request, response, 429, "too many reports\n", { ...close, "Retry-After": "5" });
    let held = 0;
    let body: Buffer | null;
    try {
      body = await bodyOf(request, this.#limits.report, (bytes) => {
        held += bytes;
        this.#receiving += bytes;
        return this.#receiving <= this.#limits.reports;
      });
    } finally {
      this.#receiving -= held;
    }
    if (body === null) {
      if (!request.destroyed)
        answer(request, response, 413, "the report is too large, or too many come at once\n", close);
      return;
    }
    const reports = readReport(body.toString("utf8"), name);
    if (reports === null) return answer(request, response, 400, "this is no report that is known\n", close);
    const { states } = this.#options;
    if (states.waiting > this.#limits.waiting)
      return answer(request, response, 503, "the disk does not keep up\n", { ...close, "Retry-After": "5" });
    const time = this.#now();
    try {
      await Promise.all(
        reports.map((report) => states.happened({ time, node: name, kind: "report", report })),
      );
    } catch (error) {
      this.#options.note(`${name}: a report was lost: ${(error as Error).message}`);
      return answer(request, response, 503, "the report could not be written\n", {
        ...close,
        "Retry-After": "5",
      });
    }
    answer(request, response, 200, '{"ok":true}\n', { "Content-Type": "application/json" });
  }

  #mayReport(node: string): boolean {
    const { burst, rate } = this.#limits;
    const now = performance.now();
    const budget = this.#budgets.get(node) ?? { left: burst, at: now };
    const left = Math.min(burst, budget.left + ((now - budget.at) / 1000) * rate);
    this.#budgets.set(node, { left: Math.max(0, left - 1), at: now });
    return left >= 1;
  }
}

/** What an address of iPXE says of its machine. */
function askedIn(segment: string, query: string): Asked {
  const given = new URLSearchParams(query);
  const mac = macIn(segment) ?? macIn(given.get("mac") ?? "");
  const serial = (given.get("serial") ?? "").slice(0, 100);
  const uuid = (given.get("uuid") ?? "").toLowerCase().slice(0, 40);
  return {
    ...(mac === null ? {} : { mac }),
    ...(serial === "" ? {} : { serial }),
    ...(uuid === "" ? {} : { uuid }),
  };
}

/** The files that PXELINUX tries in turn: its machine's uuid, its card behind the number of Ethernet, its address, `default`. */
function pxelinuxAsked(name: string): Asked | null {
  if (name === "default") return {};
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(name)) return { uuid: name.toLowerCase() };
  const mac = name.startsWith("01-") ? macIn(name.slice(3)) : null;
  return mac === null ? null : { mac };
}

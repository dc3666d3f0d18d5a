/**
 * A network segment of its own: a namespace with a bridge, on which the boot server has its address and machines have
 * taps. Its only way out is a proxy for packages, through a socket in the file system, so that nothing of the host's
 * network is touched.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { join } from "node:path";
import { must, run } from "../../src/lab/command.ts";

/** Listens in the namespace and hands each connection to the proxy's socket. */
const relay = `
const net = require("node:net");
const [address, port, socket] = process.argv.slice(1);
net.createServer((client) => {
  const proxy = net.connect(socket);
  for (const [a, b] of [[client, proxy], [proxy, client]]) a.on("error", () => b.destroy()).pipe(b);
}).listen(Number(port), address);
`;

export class Segment {
  readonly namespace: string = `seedsmith-pxe-${randomBytes(3).toString("hex")}`;
  readonly #server: string;
  #proxy: Server | null = null;
  #relay: ChildProcess | null = null;
  #taps = 0;

  /** @param server the boot server's address, with its prefix */
  constructor(server: string) {
    this.#server = server;
  }

  async up(folder: string): Promise<void> {
    const { namespace } = this;
    await must(["ip", "netns", "add", namespace]);
    for (const command of [
      "link set lo up",
      "link add br0 type bridge",
      `addr add ${this.#server} dev br0`,
      "link set br0 up",
    ])
      await must(["ip", "-n", namespace, ...command.split(" ")]);
    const socket = join(folder, "packages.sock");
    this.#proxy = createServer(forward);
    await new Promise<void>((done) => this.#proxy?.listen(socket, done));
    const [address = ""] = this.#server.split("/");
    this.#relay = this.start([process.execPath, "-e", relay, address, "3142", socket]);
  }

  /** A tap of a machine, on the bridge. */
  async tap(): Promise<string> {
    const name = `tap${this.#taps++}`;
    const { namespace } = this;
    await must(["ip", "-n", namespace, "tuntap", "add", name, "mode", "tap"]);
    await must(["ip", "-n", namespace, "link", "set", name, "master", "br0", "up"]);
    return name;
  }

  /** Starts a program in the namespace. */
  start(
    argv: readonly string[],
    options: { readonly cwd?: string; readonly log?: number } = {},
  ): ChildProcess {
    const { cwd, log } = options;
    return spawn("ip", ["netns", "exec", this.namespace, ...argv], {
      stdio: log === undefined ? "ignore" : ["ignore", log, log],
      ...(cwd === undefined ? {} : { cwd }),
    });
  }

  /** Runs a program in the namespace to its end. */
  async run(argv: readonly string[]): Promise<string> {
    return await must(["ip", "netns", "exec", this.namespace, ...argv], { timeout: 60 });
  }

  /** Ends all that runs here, and the segment, without waiting for anything. */
  kill(): void {
    const pids = spawnSync("ip", ["netns", "pids", this.namespace], { encoding: "utf8" }).stdout.split("\n");
    for (const pid of pids.map(Number).filter((one) => one > 0)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
    spawnSync("ip", ["netns", "delete", this.namespace]);
  }

  async down(): Promise<void> {
    this.#relay?.kill("SIGKILL");
    this.#proxy?.closeAllConnections();
    this.#proxy?.close();
    await run(["ip", "netns", "delete", this.namespace]);
  }
}

/** Passes apt's requests on to the mirrors, as this host reaches them. */
function forward(asked: IncomingMessage, answer: ServerResponse): void {
  const fail = (error: Error): void => {
    if (!answer.headersSent) answer.writeHead(502);
    answer.end(`${error.message}\n`);
  };
  if (asked.url === undefined || !asked.url.startsWith("http://")) {
    answer.writeHead(400).end();
    return;
  }
  const way = request(asked.url, { method: asked.method ?? "GET", headers: asked.headers }, (given) => {
    answer.writeHead(given.statusCode ?? 502, given.headers);
    given.pipe(answer);
  });
  way.on("error", fail);
  asked.pipe(way);
}

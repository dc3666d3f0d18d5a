/** A boot server on loopback for tests: two nodes, seeds in a folder of its own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Neighbours } from "../../src/serve/neighbours.ts";
import { type Asked, BootServer, type BootServerOptions, type Limits } from "../../src/serve/server.ts";
import { keyOf, States } from "../../src/serve/states.ts";

/** The clients' addresses: whole 127.0.0.0/8 is loopback on Linux. */
export const con01 = "127.0.0.1";
export const stranger = "127.0.0.99";
export const macs: Readonly<Record<string, string>> = {
  con01: "52:54:00:00:00:01",
  com01: "52:54:00:00:00:02",
};

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface TestServer {
  readonly folder: string;
  readonly server: BootServer;
  readonly states: States;
  readonly port: number;
  readonly notes: readonly string[];
  /** Time as the server sees it, in ms. */
  readonly clock: { now: number };
  readonly neighbours: { learnt: Record<string, string>; leased: Record<string, string> };
  get(path: string, headers?: Record<string, string>, method?: string): Promise<Answer>;
  post(node: string, body: unknown, token?: string): Promise<Answer>;
  /** Ends the server and starts another on what it left. */
  again(): Promise<TestServer>;
  close(): Promise<void>;
}

export interface TestServerOptions {
  readonly folder?: string;
  readonly limits?: Partial<Limits>;
  readonly installs?: boolean;
  readonly tokens?: boolean;
  readonly seedSeconds?: number;
  /** The fixed address of con01; com01 has none that reaches the server. */
  readonly address?: string;
  readonly journalLimit?: number;
  readonly others?: (states: States, server: () => BootServer) => NonNullable<BootServerOptions["others"]>;
}

/** Asks a server; the path goes out as it is. */
export function ask(
  port: number,
  path: string,
  { method = "GET", headers = {}, body = null as string | Buffer | null } = {},
): Promise<Answer> {
  return new Promise((done, failed) => {
    const asked = httpRequest(
      { host: "127.0.0.1", port, path, method, headers, agent: false },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("error", failed);
        response.on("end", () =>
          done({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(parts).toString("latin1"),
          }),
        );
      },
    );
    asked.on("error", failed);
    asked.end(body ?? undefined);
  });
}

/** Bytes of the big file: more than are kept in memory. */
export const bigSize = (1 << 20) + 12345;
export const big: Buffer = Buffer.alloc(bigSize, "0123456789abcdef\n");

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-serve-"));
  for (const node of ["con01", "com01"]) {
    mkdirSync(join(folder, "seeds", node, "autoinstall"), { recursive: true });
    const write = (name: string, text: string | Buffer): void =>
      writeFileSync(join(folder, "seeds", node, name), text, { mode: 0o600 });
    write("user-data", `#cloud-config\nhostname: ${node}\n`);
    write("meta-data", `instance-id: x-${node}-1\n`);
    write("network-config", "version: 2\n");
    write("vendor-data", "#cloud-config\n{}\n");
    write("seed.iso", big);
    write("plan.json", "{}\n");
    write("autoinstall/user-data", `#cloud-config\nautoinstall: {version: 1}\n`);
    write("autoinstall/meta-data", `instance-id: x-${node}-1-install\n`);
  }
  mkdirSync(join(folder, "assets", "debian-12"), { recursive: true });
  writeFileSync(join(folder, "assets", "debian-12", "vmlinuz"), big);
  mkdirSync(join(folder, "loaders", "grub"), { recursive: true });
  writeFileSync(join(folder, "loaders", "boot.ipxe"), "#!ipxe\n");
  writeFileSync(join(folder, "loaders", "grub", "grub.cfg"), "# grub\n");
  return folder;
}

/** Starts a server; whoever starts it closes it. */
export async function testServer(options: TestServerOptions = {}): Promise<TestServer> {
  const folder = options.folder ?? makeFolder();
  const clock = { now: Date.parse("2026-01-01T00:00:00Z") };
  const learnt: Record<string, string> = {};
  const leased: Record<string, string> = {};
  const neighbours: Neighbours = {
    learnt: (address) => learnt[address] ?? null,
    leased: (address) => leased[address] ?? null,
  };
  const stateFolder = join(folder, "state");
  const { states } = await States.open(stateFolder, ["con01", "com01"], clock.now, options.journalLimit);
  const notes: string[] = [];
  const nodeOf = ({ mac }: Asked): string | null =>
    Object.keys(macs).find((name) => mac !== undefined && macs[name] === mac) ?? null;
  const server: BootServer = new BootServer({
    served: {
      site: "x",
      nodes: [
        {
          name: "con01",
          macs: [macs.con01 ?? ""],
          addresses: [options.address ?? con01],
          installs: options.installs ?? false,
          installable: true,
        },
        {
          name: "com01",
          macs: [macs.com01 ?? ""],
          addresses: ["10.0.0.2"],
          installs: false,
          installable: true,
        },
      ],
      seeds: join(folder, "seeds"),
      open: { assets: join(folder, "assets"), loaders: join(folder, "loaders") },
      match: (loader, asked) => {
        const node = nodeOf(asked);
        return {
          node,
          text: (boot, token) =>
            node === null
              ? `${loader} refused\n`
              : `${loader} ${boot} ${node}${token === null ? "" : ` ${token}`}\n`,
        };
      },
      seedSeconds: options.seedSeconds ?? 3600,
      tokens: options.tokens ?? false,
    },
    states,
    neighbours,
    key: keyOf(stateFolder),
    note: (line) => void notes.push(line),
    now: () => clock.now,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.others === undefined ? {} : { others: options.others(states, () => server) }),
  });
  await server.listen(0, "127.0.0.1");
  const { port } = server.address;
  const stop = async (): Promise<void> => {
    await server.close();
    await states.close();
  };
  return {
    folder,
    server,
    states,
    port,
    notes,
    clock,
    neighbours: { learnt, leased },
    get: (path, headers = {}, method = "GET") => ask(port, path, { method, headers }),
    post: (node, body, token) =>
      ask(port, `/report/${node}${token === undefined ? "" : `/${token}`}`, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    again: async () => {
      await stop();
      return await testServer({ ...options, folder });
    },
    close: async () => {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Runs a test against a server of its own. */
export function withServer(
  options: TestServerOptions,
  test: (server: TestServer) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const server = await testServer(options);
    try {
      await test(server);
    } finally {
      await server.close();
    }
  };
}

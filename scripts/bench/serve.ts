/**
 * The boot server and a thousand nodes, each at an address of its own on loopback: what it gives a second beside nginx,
 * and whether a single answer is wrong.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { tokenOf } from "../../src/serve/admission.ts";
import { cli, inFolder, isInstalled } from "./processes.ts";
import { atLeast, holds, median, type Row, skipped } from "./table.ts";

const nodeCount = 1000;
const server = "127.16.255.250";
const port = 18_099;
const nginxPort = 18_098;
const seedFiles = ["user-data", "meta-data", "network-config", "vendor-data"] as const;
/** Reports that a node posts, and events in each. */
const posts = 5;
const eventsOfPost = 4;
const rounds = 3;

interface Machine {
  readonly name: string;
  readonly mac: string;
  readonly address: string;
}

const machines: readonly Machine[] = Array.from({ length: nodeCount }, (_, index) => {
  const number = index + 1;
  const hex = number.toString(16).padStart(4, "0");
  return {
    name: `n${String(number).padStart(4, "0")}`,
    mac: `52:54:00:10:${hex.slice(0, 2)}:${hex.slice(2)}`,
    address: `127.16.${number >> 8}.${number & 255}`,
  };
});

function siteText(): string {
  const nodes = machines.map(
    ({ name, mac, address }) =>
      `  ${name}: { profile: base, interfaces: { management: { mac: "${mac}", address: ${address} } } }`,
  );
  return `site: rack
target: debian-12
networks: { management: { cidr: 127.16.0.0/16 } }
netboot:
  server: ${server}
  loaders: { uefi: ipxe }
  installers: { debian-12: { kernel: { file: vmlinuz }, initrd: { file: initrd } } }
access: { users: [{ name: ops, password: true }] }
nodes:
${nodes.join("\n")}
`;
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly ms: number;
}

function ask(agent: Agent, localAddress: string, path: string, body: string | null = null): Promise<Answer> {
  const begin = performance.now();
  return new Promise((done, failed) => {
    const asked = request(
      { host: server, port, path, agent, localAddress, method: body === null ? "GET" : "POST" },
      (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("error", failed);
        response.on("end", () =>
          done({
            status: response.statusCode ?? 0,
            body: Buffer.concat(parts),
            ms: performance.now() - begin,
          }),
        );
      },
    );
    asked.on("error", failed);
    asked.end(body ?? undefined);
  });
}

const sha = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

/** Starts the server; resolves when it answers. */
async function startServe(folder: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [cli, "serve", "--listen", `${server}:${port}`], {
    cwd: folder,
    stdio: ["ignore", "ignore", "inherit"],
  });
  const agent = new Agent();
  for (;;) {
    if (child.exitCode !== null) throw new Error(`seedsmith serve ended with ${child.exitCode}`);
    const answered = await ask(agent, server, "/loaders/script.ipxe").catch(() => null);
    if (answered !== null) return child;
    await new Promise((done) => setTimeout(done, 100));
  }
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) done();
    else child.once("exit", () => done());
  });

function peakMemory(child: ChildProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) / 1024;
}

interface Fleet {
  readonly wrong: readonly string[];
  readonly requests: number;
  readonly seconds: number;
  readonly times: readonly number[];
}

/** All nodes at once: six files each, their events, and one look at a neighbour's seed. */
async function fleet(built: string): Promise<Fleet> {
  const wrong: string[] = [];
  const times: number[] = [];
  const loader = readFileSync(join(built, "pxe", "loaders", "script.ipxe"));
  const begin = performance.now();
  await Promise.all(
    machines.map(async ({ name, mac, address }, index) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const expect = async (
        path: string,
        status: number,
        right: (body: Buffer) => boolean,
        body?: string,
      ): Promise<void> => {
        try {
          const answered = await ask(agent, address, path, body);
          times.push(answered.ms);
          if (answered.status !== status || !right(answered.body))
            wrong.push(`${name} ${path}: ${answered.status}`);
        } catch (error) {
          wrong.push(`${name} ${path}: ${(error as Error).message}`);
        }
      };
      await expect("/loaders/script.ipxe", 200, (got) => got.equals(loader));
      await expect(`/ipxe/${mac.replaceAll(":", "-")}`, 200, (got) =>
        got.toString().includes(`/seed/${name}/`),
      );
      for (const file of seedFiles) {
        const right = sha(readFileSync(join(built, name, file)));
        await expect(`/seed/${name}/${file}`, 200, (got) => sha(got) === right);
      }
      const neighbour = machines[(index + 1) % nodeCount]!.name;
      await expect(`/seed/${neighbour}/user-data`, 403, (got) => !got.includes("cloud-config"));
      for (let post = 0; post < posts; post++) {
        const events = Array.from({ length: eventsOfPost }, (_, place) => {
          const n = post * eventsOfPost + place;
          const step = { step: `s${n >> 1}`, name: `step ${n >> 1}`, n: (n >> 1) + 1, m: 20 };
          return {
            time: "2026-01-01T00:00:00.000Z",
            event: n % 2 === 0 ? "step-start" : "step-ok",
            at: n,
            ...step,
          };
        });
        await expect(`/report/${name}`, 200, () => true, JSON.stringify({ log: "one", events }));
      }
      agent.destroy();
    }),
  );
  return { wrong, requests: times.length, seconds: (performance.now() - begin) / 1000, times };
}

function percentile(times: readonly number[], share: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** Processor seconds of a process and of those that it started. */
function processorTime(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const own = (Number(fields[11]) + Number(fields[12])) / 100;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean);
  return children.reduce((sum, child) => sum + processorTime(Number(child)), own);
}

interface Measured {
  /** Ms of processor time of the server for a request. */
  readonly cost: number;
  readonly perSecond: number;
  readonly p99: number;
  readonly failed: number;
}

/** wrk with one thread: it is a program of C, so that what is measured is the server. */
function load(
  pid: number,
  url: string,
  script: string,
  paths: string,
  seconds: number,
  connections: number,
): Measured {
  const before = processorTime(pid);
  const done = spawnSync(
    "wrk",
    ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", "-s", script, url, "--", paths],
    { encoding: "utf8" },
  );
  if (done.status !== 0) throw new Error(`wrk: ${done.stderr}${done.stdout}`);
  const perSecond = Number(/^Requests\/sec:\s+([\d.]+)/m.exec(done.stdout)?.[1] ?? Number.NaN);
  const [, time = "0", unit = "ms"] = /^\s+99%\s+([\d.]+)(us|ms|s)/m.exec(done.stdout) ?? [];
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(done.stdout)?.[1] ?? 0);
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+)/.exec(done.stdout)?.slice(1) ?? [];
  const requests = Number(/^\s+(\d+) requests in/m.exec(done.stdout)?.[1] ?? Number.NaN);
  return {
    perSecond,
    cost: ((processorTime(pid) - before) * 1000) / requests,
    p99: Number(time) * ({ us: 0.001, ms: 1, s: 1000 }[unit] ?? 1),
    failed: bad + errors.reduce((sum, one) => sum + Number(one), 0),
  };
}

/** Each request is for the next of many files; the list is read once. */
const lua = `local paths, at = {}, 0
function init(args)
  for line in io.lines(args[1]) do paths[#paths + 1] = wrk.format("GET", line) end
end
function request()
  at = at % #paths + 1
  return paths[at]
end
`;

/** The same tree by nginx as Debian configures it: a worker for each CPU, sendfile. */
function nginxConf(folder: string, built: string): string {
  return `daemon off;
worker_processes auto;
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections 2048; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  default_type text/plain;
  client_body_temp_path ${folder}/t1; proxy_temp_path ${folder}/t2; fastcgi_temp_path ${folder}/t3;
  uwsgi_temp_path ${folder}/t4; scgi_temp_path ${folder}/t5;
  server {
    listen ${server}:${nginxPort};
    keepalive_requests 1000000000;
    location /seed/ { alias ${built}/; }
    location /loaders/ { alias ${built}/pxe/loaders/; }
    location /assets/ { alias ${built}/pxe/assets/; }
  }
}
`;
}

/** @param seconds of each of wrk's runs */
export async function bootServer(seconds: number): Promise<Row[]> {
  for (const tool of ["wrk", "nginx"])
    if (!isInstalled(tool)) return [skipped("the boot server beside nginx", "", `${tool} is not installed`)];
  return await inFolder(async (folder) => {
    // nginx's workers, where root starts it, are somebody else.
    chmodSync(folder, 0o755);
    writeFileSync(join(folder, "site.yaml"), siteText());
    for (const file of ["vmlinuz", "initrd"]) writeFileSync(join(folder, file), `${file}\n`);
    const rendered = spawnSync(process.execPath, [cli, "render"], { cwd: folder, encoding: "utf8" });
    if (rendered.status !== 0) throw new Error(`render: ${rendered.stderr}`);
    const built = join(folder, "build", "rack");
    mkdirSync(join(built, "pxe", "loaders"), { recursive: true });
    writeFileSync(join(built, "pxe", "loaders", "script.ipxe"), `#!ipxe\n# ${"x".repeat(300)}\n`);
    mkdirSync(join(built, "pxe", "assets", "debian-12"), { recursive: true });
    writeFileSync(join(built, "pxe", "assets", "debian-12", "image"), Buffer.alloc(4 << 20, "seedsmith"));
    const rows: Row[] = [];
    let serve = await startServe(folder);
    try {
      const own = await fleet(built);
      const memory = peakMemory(serve);
      rows.push(
        holds(
          `${nodeCount} nodes at once: ${own.requests} requests (6 files, a neighbour's seed, ${posts} reports each), wrong answers`,
          "none",
          own.wrong.length === 0 ? "0" : `${own.wrong.length}: ${own.wrong.slice(0, 3).join("; ")}`,
          own.wrong.length === 0 && own.requests === nodeCount * (7 + posts),
        ),
        holds(
          "the same: requests a second, p99 (load generator in Node, same cores)",
          "told",
          `${(own.requests / own.seconds).toFixed(0)}/s, ${percentile(own.times, 0.99).toFixed(0)} ms`,
          true,
        ),
        holds(
          "the same: peak memory of the server",
          "at most 400 MB",
          `${memory.toFixed(0)} MB`,
          memory <= 400,
        ),
      );
      // As by a power cut, but for the disk: what was acknowledged must be known to the next one.
      serve.kill("SIGKILL");
      await ended(serve);
      serve = await startServe(folder);
      const status = JSON.parse((await ask(new Agent(), server, "/status.json")).body.toString()) as {
        nodes: { node: string; stage: string; step: number | null }[];
      };
      const half = (posts * eventsOfPost) / 2;
      const lost = status.nodes.filter(({ stage, step }) => stage !== "running" || step !== half);
      rows.push(
        holds(
          `after kill -9 and a new start: nodes of which an acknowledged report is lost`,
          "none",
          String(lost.length + (status.nodes.length === nodeCount ? 0 : 1)),
          lost.length === 0 && status.nodes.length === nodeCount,
        ),
      );
      const key = readFileSync(join(folder, ".seedsmith", "rack.serve", "key"));
      const list = (tokens: boolean): string =>
        machines
          .flatMap(({ name }) => [
            "/loaders/script.ipxe",
            ...seedFiles.map((file) => `/seed/${name}/${tokens ? `${tokenOf(key, name)}/` : ""}${file}`),
          ])
          .join("\n");
      writeFileSync(join(folder, "load.lua"), lua);
      writeFileSync(join(folder, "serve.paths"), `${list(true)}\n`);
      writeFileSync(join(folder, "nginx.paths"), `${list(false)}\n`);
      writeFileSync(join(folder, "large.paths"), "/assets/debian-12/image\n");
      const conf = nginxConf(folder, built);
      writeFileSync(join(folder, "nginx.conf"), process.getuid?.() === 0 ? `user root;\n${conf}` : conf);
      const nginx = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf")], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      try {
        await new Promise((done) => setTimeout(done, 1000));
        for (const [what, ours, theirs, connections] of [
          ["small files", "serve.paths", "nginx.paths", 64],
          ["an image of 4 MiB", "large.paths", "large.paths", 16],
        ] as const) {
          const measured: { serve: Measured[]; nginx: Measured[] } = { serve: [], nginx: [] };
          for (let round = 0; round < rounds; round++) {
            const script = join(folder, "load.lua");
            measured.serve.push(
              load(serve.pid!, `http://${server}:${port}`, script, join(folder, ours), seconds, connections),
            );
            measured.nginx.push(
              load(
                nginx.pid!,
                `http://${server}:${nginxPort}`,
                script,
                join(folder, theirs),
                seconds,
                connections,
              ),
            );
          }
          const rate = (name: "serve" | "nginx"): number =>
            median(measured[name].map(({ perSecond }) => perSecond));
          const p99 = (name: "serve" | "nginx"): string =>
            median(measured[name].map((one) => one.p99)).toFixed(1);
          const cost = (name: "serve" | "nginx"): string =>
            median(measured[name].map((one) => one.cost)).toFixed(3);
          const failed = [...measured.serve, ...measured.nginx].reduce((sum, one) => sum + one.failed, 0);
          rows.push(
            atLeast(
              `${what}: requests a second, of nginx's`,
              0.5,
              "times",
              rate("serve") / rate("nginx"),
              `${rate("serve").toFixed(0)}/s and ${rate("nginx").toFixed(0)}/s; p99 ${p99("serve")} ms and ${p99("nginx")} ms`,
            ),
            holds(
              `${what}: processor time of the server for a request`,
              "told",
              `${cost("serve")} ms, nginx ${cost("nginx")} ms`,
              true,
            ),
            holds(`${what}: failed requests, of both`, "none", String(failed), failed === 0),
          );
        }
      } finally {
        nginx.kill("SIGTERM");
        await ended(nginx);
      }
    } finally {
      serve.kill("SIGTERM");
      await ended(serve);
    }
    return rows;
  });
}

/** `seedsmith serve` */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join, relative, resolve } from "node:path";
import { exit, Usage } from "../../core/exit.ts";
import { LabError, run } from "../../lab/command.ts";
import type { Netboot, Site } from "../../resolve/model.ts";
import { Supervised } from "../../serve/dhcp.ts";
import { JournalError } from "../../serve/journal.ts";
import { takeLock } from "../../serve/lock.ts";
import { hostNeighbours } from "../../serve/neighbours.ts";
import { pageAnswers } from "../../serve/page.ts";
import { answer, BootServer } from "../../serve/server.ts";
import { keyOf, States } from "../../serve/states.ts";
import { Status } from "../../serve/status.ts";
import { tftpRoot } from "../../serve/tftp-root.ts";
import { compile } from "../compile.ts";
import { missingAssets } from "../pxe/assets.ts";
import { sourceOf } from "../source-line.ts";
import { lineOf, Notes } from "./lines.ts";
import type { ServeRequest } from "./request.ts";
import { servedSite } from "./served.ts";
import { forgetControl, stateFolder, writeControl } from "./state-folder.ts";

interface Place {
  readonly host: string;
  readonly port: number;
}

/** Where to listen. @throws Usage for what is no address and port */
export function placeOf(listen: string | null, netboot: Netboot): Place {
  if (listen === null) return { host: netboot.server, port: netboot.port };
  const [, host = "", port = ""] = /^(.+):(\d{1,5})$/.exec(listen) ?? [];
  if (host === "" || Number(port) > 65_535)
    throw new Usage(`--listen is an address and a port, such as ${netboot.server}:8080, not "${listen}"`);
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
}

/** The nodes whose seeds are not there. */
function unrendered(site: Site, folder: string): readonly string[] {
  return site.nodes
    .filter((node) => {
      const part = node.install === null ? "" : "autoinstall";
      return ["user-data", "meta-data"].some((file) => !existsSync(join(folder, node.name, part, file)));
    })
    .map(({ name }) => name);
}

function few(names: readonly string[]): string {
  return names.length <= 8
    ? names.join(", ")
    : `${names.slice(0, 8).join(", ")} and ${names.length - 8} more`;
}

function cannotListen({ host, port }: Place, error: NodeJS.ErrnoException): LabError {
  const own = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ family }) => family === "IPv4")
    .map(({ address }) => address);
  const [why, hint] = {
    EADDRNOTAVAIL: [
      "this host does not have that address",
      `give it to the card on the management network; it has: ${own.join(", ")}`,
    ],
    EADDRINUSE: ["another program listens there", "end it, or choose another port in the site"],
    EACCES: ["that port is for root alone", "run it as root, or choose a port above 1023 in the site"],
  }[error.code ?? ""] ?? [error.message, null];
  return new LabError(`${host}:${port} cannot be served: ${why}`, hint ?? null);
}

/** What machines get addresses and loaders by. @throws LabError where that cannot be had */
async function checkDhcp(folder: string, cwd: string): Promise<void> {
  const conf = join(folder, "pxe", "dnsmasq.conf");
  if (!existsSync(conf)) throw new LabError(`there is no ${relative(cwd, conf)}`, "run seedsmith render");
  let tested: Awaited<ReturnType<typeof run>>;
  try {
    tested = await run(["dnsmasq", "--test", `--conf-file=${conf}`], { timeout: 60 });
  } catch (error) {
    throw new LabError((error as Error).message, "apt-get install dnsmasq-base");
  }
  if (tested.status !== 0)
    throw new LabError(`dnsmasq refuses its configuration: ${tested.stderr.trim()}`, null);
}

/** Serves a site until it is told to end. */
export async function serve(request: ServeRequest): Promise<number> {
  const { choice, format } = request;
  const compiled = await compile(choice);
  const { site, problems } = compiled;
  if (site === null || problems.failed)
    return request.problems(compiled, problems.list, { command: "serve" });
  const { netboot } = site;
  if (netboot === null)
    throw new LabError(
      `the site ${site.name} does not say where its boot server is`,
      "write netboot: { server: ADDRESS } into it: docs/pxe.md",
    );
  const place = placeOf(request.listen, netboot);
  const folder = join(resolve(choice.cwd, request.out), site.name);
  const missing = unrendered(site, folder);
  if (missing.length > 0)
    throw new LabError(
      `${relative(choice.cwd, folder) || "."} has no seeds of ${few(missing)}`,
      "run seedsmith render first, and again after each change of the site",
    );
  const lacking = missingAssets(site, folder);
  if (request.dhcp) {
    if (lacking.length > 0)
      throw new LabError(
        `missing in ${relative(choice.cwd, join(folder, "pxe"))}: ${few(lacking)}`,
        "seedsmith pxe assets brings it",
      );
    await checkDhcp(folder, choice.cwd);
  }
  const kept = stateFolder(compiled.workspace, site.name);
  mkdirSync(kept, { recursive: true, mode: 0o700 });
  const lock = takeLock(join(kept, "lock"));
  if ("holder" in lock)
    throw new LabError(
      `${relative(choice.cwd, kept)} is in use by ${lock.holder}`,
      "one server a site: end the other",
    );
  const json = format === "json";
  const stamp = (): string => new Date().toISOString();
  const print = (line: string): void => {
    process.stdout.write(
      json ? `${JSON.stringify({ time: stamp(), line })}\n` : `${stamp().slice(0, 19)}Z ${line}\n`,
    );
  };
  const notes = new Notes(print);
  let opened: Awaited<ReturnType<typeof States.open>>;
  try {
    opened = await States.open(
      kept,
      site.nodes.map(({ name }) => name),
      Date.now(),
    );
  } catch (error) {
    lock.free();
    if (!(error instanceof JournalError)) throw error;
    throw new LabError(
      `${error.message}, so nobody knows which nodes are installed`,
      "mend it or put a copy back; without it every node that boots from the network is installed again",
    );
  }
  const { states, fresh } = opened;
  const leases = join(kept, "leases");
  const tftp = request.dhcp ? tftpRoot(join(folder, "pxe", "loaders"), kept) : null;
  const dhcp = request.dhcp
    ? new Supervised({
        name: "dnsmasq",
        argv: [
          "dnsmasq",
          "--keep-in-foreground",
          "--log-facility=-",
          `--conf-file=${join(folder, "pxe", "dnsmasq.conf")}`,
          `--dhcp-leasefile=${leases}`,
          "--enable-tftp",
          `--tftp-root=${tftp?.folder ?? ""}`,
          "--pid-file",
        ],
        pidFile: join(kept, "dnsmasq.pid"),
        note: (line) => {
          print(line);
          status.changed();
        },
        line: (line) => notes.say(line),
      })
    : null;
  const token = randomBytes(24).toString("hex");
  const page = pageAnswers(join(choice.packageRoot, "templates", "status-page"));
  const served = servedSite(site, netboot, folder, request.tokens);
  const server: BootServer = new BootServer({
    served,
    states,
    neighbours: hostNeighbours(dhcp === null ? null : leases),
    key: keyOf(kept),
    note: (line) => notes.say(line),
    stranger: (asked, address) => {
      status.stranger(asked, address);
      notes.say(
        `${asked.mac ?? asked.serial ?? asked.uuid ?? "a machine"} at ${address} is no node of the site`,
      );
    },
    others: (asked, response, path) => {
      if (status.handle(asked, response, path) || page(asked, response, path)) return true;
      const node = /^\/control\/reinstall\/([^/]+)$/.exec(path)?.[1];
      if (node === undefined || asked.method !== "POST") return false;
      const given = Buffer.from(asked.headers.authorization ?? "");
      const right = Buffer.from(`Bearer ${token}`);
      if (given.length !== right.length || !timingSafeEqual(given, right))
        answer(asked, response, 403, "this is not the token of this server\n");
      else if (server.node(node) === null) answer(asked, response, 404, `there is no node ${node}\n`);
      else
        states.happened({ time: Date.now(), node, kind: "reinstall" }).then(
          () => answer(asked, response, 200, "ok\n"),
          (error: Error) => answer(asked, response, 503, `${error.message}\n`),
        );
      return true;
    },
  });
  const status = new Status({
    site: site.name,
    states,
    server: () => server,
    nodes: served.nodes,
    seedSeconds: served.seedSeconds,
    source: sourceOf(compiled),
    dhcp: () =>
      dhcp === null
        ? null
        : dhcp.health === "dead"
          ? `dnsmasq is dead: ${dhcp.why}`
          : `dnsmasq: ${dhcp.health}`,
  });
  const end = async (): Promise<void> => {
    status.close();
    notes.close();
    forgetControl(kept);
    await dhcp?.end();
    tftp?.remove();
    await server.close();
    await states.close();
    lock.free();
  };
  // Both are set up before anything is promised to a machine.
  const over = new Promise<string>((done) => {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => done(name));
  });
  const stages = new Map(site.nodes.map(({ name }) => [name, states.get(name).stage as string]));
  states.listen((state, happening) => {
    const line = lineOf(stages.get(state.node) ?? "", state, happening);
    stages.set(state.node, state.stage);
    if (line !== null) notes.say(line);
  });
  try {
    await server.listen(place.port, place.host);
  } catch (error) {
    await end();
    throw cannotListen(place, error as NodeJS.ErrnoException);
  }
  const { port } = server.address;
  const host = place.host.includes(":") ? `[${place.host}]` : place.host;
  const url = `http://${host}${port === 80 ? "" : `:${port}`}`;
  writeControl(kept, { url, token });
  dhcp?.start();
  print(`serving ${site.name} at ${url}/; the page of how its nodes do: ${url}/status`);
  if (place.host === "0.0.0.0" || place.host === "::")
    print("this is on every network of this host, as --listen asked for");
  print(
    "seeds hold secrets and go over plain HTTP: whoever listens on the management network while a node boots can read them",
  );
  if (lacking.length > 0)
    print(
      `missing, so machines that ask for it get nothing: ${few(lacking)}; seedsmith pxe assets brings it`,
    );
  const nameless = served.nodes.filter(({ macs }) => macs.length === 0).map(({ name }) => name);
  if (nameless.length > 0 && !request.tokens)
    print(
      `no MAC address is known of ${few(nameless)}: their seeds are given at their fixed addresses only, or with --tokens`,
    );
  const install = served.nodes.filter((node) => server.boot(node) === "install").map(({ name }) => name);
  if (fresh) print("nothing is known of these nodes yet");
  print(
    install.length === 0
      ? "no node is to be installed: all boot their disks"
      : `installed when they boot from the network, which wipes their disks: ${few(install)}`,
  );
  const why = await over;
  print(`ends (${why}); what is known of the nodes is kept in ${relative(choice.cwd, kept)}`);
  await end();
  return exit.fine;
}

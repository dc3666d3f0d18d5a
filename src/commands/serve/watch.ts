/** `seedsmith watch`: how the nodes of a boot server do, in the terminal. */
import { existsSync } from "node:fs";
import { exit } from "../../core/exit.ts";
import { suggest } from "../../core/suggest.ts";
import { LabError } from "../../lab/command.ts";
import { viewFor } from "../../lab/watch/choose-view.ts";
import type { NodeProgress } from "../../lab/watch/progress.ts";
import type { Outcome } from "../../lab/watch/view.ts";
import { listen, type Message } from "../../serve/listen.ts";
import type { Entry, Happening } from "../../serve/node-state.ts";
import type { NodeStatus, SiteStatus } from "../../serve/status.ts";
import { progressOf, runnerEventOf } from "../../serve/watched.ts";
import { compile } from "../compile.ts";
import type { ServeRequest } from "./request.ts";
import { readControl, stateFolder } from "./state-folder.ts";

/** Ms between two drawings, and between two attempts to reach a server that is gone. */
const drawEvery = 250;
const againEvery = 2000;

/** Where the server is: as the command line says, as the server that runs here wrote down, or as the site says. */
async function urlOf(request: ServeRequest): Promise<{ readonly url: string } | { readonly exit: number }> {
  if (request.url !== null) return { url: request.url.replace(/\/+(?:status)?$/, "") };
  const compiled = await compile({ ...request.choice, nodes: [] });
  const { site, problems } = compiled;
  if (site === null) return { exit: request.problems(compiled, problems.list, { command: "watch" }) };
  const folder = stateFolder(compiled.workspace, site.name);
  const running = existsSync(folder) ? readControl(folder) : null;
  const url = running?.url ?? site.netboot?.base;
  if (url === undefined)
    throw new LabError(
      `the site ${site.name} does not say where its boot server is`,
      "name it: --url http://ADDRESS",
    );
  return { url };
}

/**
 * Shows the nodes until each has a verdict, or Ctrl-C. A server that goes away is waited for.
 * @returns 0 when all are READY, 4 when one has failed
 */
export async function watch(request: ServeRequest): Promise<number> {
  const { choice, format } = request;
  const where = await urlOf(request);
  if ("exit" in where) return where.exit;
  const { url } = where;
  const nodes = new Map<string, NodeStatus>();
  const sources = new Map<string, string>();
  const view = await viewFor(format, (from) => sources.get(from) ?? null);
  const over = new AbortController();
  let outcome: Outcome = "interrupted";
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => over.abort());
  const chosen = (node: string): boolean => choice.nodes.length === 0 || choice.nodes.includes(node);
  const progress = (): NodeProgress[] => [...nodes.values()].map(progressOf);
  const take = (list: readonly NodeStatus[]): void => {
    for (const status of list) {
      if (!chosen(status.node)) continue;
      nodes.set(status.node, status);
      for (const { from, source } of status.failures)
        if (from !== null && source !== null) sources.set(from, source);
    }
    const all = [...nodes.values()];
    if (all.length === 0 || !all.every(({ stage }) => stage === "ready" || stage === "failed")) return;
    outcome = all.some(({ stage }) => stage === "failed") ? "failed" : "ready";
    over.abort();
  };
  let heard = false;
  let wrong: LabError | null = null;
  const hear = ({ kind, data }: Message): void => {
    if (kind === "site") {
      const site = data as SiteStatus;
      heard = true;
      const names = site.nodes.map(({ node }) => node);
      const unknown = choice.nodes.find((name) => !names.includes(name));
      if (unknown !== undefined) {
        wrong = new LabError(
          `the server has no node "${unknown}"`,
          suggest(unknown, names) ?? `it has: ${names.join(", ")}`,
        );
        over.abort();
        return;
      }
      nodes.clear();
      take(site.nodes);
    } else if (kind === "nodes") take((data as { nodes: readonly NodeStatus[] }).nodes);
    else if (kind === "happening") {
      const { happening, entry } = data as { happening: Happening; entry: Entry | null };
      const status = nodes.get(happening.node);
      if (status === undefined) return;
      const event = runnerEventOf(happening);
      if (event !== null) view.event(event, progressOf(status), Date.now());
      else if (entry !== null && happening.kind !== "offered") view.note(`${happening.node}: ${entry.text}`);
    }
  };
  const timer = setInterval(() => view.draw(progress(), Date.now()), drawEvery);
  try {
    for (let said = false; !over.signal.aborted; ) {
      heard = false;
      const why = await listen(url, hear, over.signal);
      if (over.signal.aborted) break;
      if (heard) said = false;
      if (!said && nodes.size === 0 && !heard)
        throw new LabError(
          `the boot server at ${url} cannot be watched: ${why}`,
          "start it with seedsmith serve, or name another: --url http://ADDRESS",
        );
      if (!said) view.note(`the server at ${url} is gone (${why}); waiting for it`);
      said = true;
      await new Promise<void>((done) => {
        const wait = setTimeout(done, againEvery);
        over.signal.addEventListener(
          "abort",
          () => {
            clearTimeout(wait);
            done();
          },
          { once: true },
        );
      });
    }
  } finally {
    clearInterval(timer);
  }
  if (wrong !== null) throw wrong;
  const ended = progress();
  const first = ended.find(({ failure }) => failure !== null);
  view.close(
    {
      outcome,
      nodes: ended,
      failed:
        first === undefined || first.failure === null ? null : { node: first.node, failure: first.failure },
    },
    Date.now(),
  );
  return { ready: exit.fine, failed: exit.node, timeout: exit.node, interrupted: 130 }[outcome];
}

// The status page: draws what the server tells, and goes on when the server comes back. What machines say is only ever
// put into text.
"use strict";

const words = {
  waiting: "waiting",
  netboot: "net boot",
  installing: "installing",
  installed: "installed",
  booting: "booting",
  running: "first boot",
  rebooting: "rebooting",
  ready: "READY",
  failed: "FAILED",
};
const by = (id) => document.getElementById(id);
const rows = new Map();
/** How far this machine's clock is ahead of the server's, in ms. */
let ahead = 0;
let show = "all";

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function put(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function span(ms) {
  const all = Math.max(0, Math.round(ms / 1000));
  const two = (value) => String(value).padStart(2, "0");
  if (all < 60) return `${all}s`;
  if (all < 3600) return `${Math.floor(all / 60)}m${two(all % 60)}s`;
  if (all < 86400) return `${Math.floor(all / 3600)}h${two(Math.floor((all % 3600) / 60))}m`;
  return `${Math.floor(all / 86400)}d${two(Math.floor((all % 86400) / 3600))}h`;
}

const serverNow = () => Date.now() - ahead;
const clock = (ms) => new Date(ms + ahead).toLocaleTimeString([], { hourCycle: "h23" });
const day = (ms) => new Date(ms + ahead).toLocaleString([], { hourCycle: "h23" });

function rowOf(name) {
  let row = rows.get(name);
  if (row === undefined) {
    const item = by("node").content.firstElementChild.cloneNode(true);
    const find = (selector) => item.querySelector(selector);
    row = { item, find, details: find("details"), status: null, loading: false, stale: false };
    put(find(".name"), name);
    find(".bar").setAttribute("aria-label", `Steps of ${name}`);
    item.id = `node-${name}`;
    row.details.addEventListener("toggle", () => {
      if (row.details.open) load(name);
    });
    rows.set(name, row);
    by("nodes").append(item);
  }
  return row;
}

function drawRow(status) {
  const row = rowOf(status.node);
  row.status = status;
  const { item, find } = row;
  item.dataset.stage = status.stage;
  put(find(".badge"), words[status.stage] ?? status.stage);
  const bar = find(".bar");
  const share = status.stage === "ready" ? 1 : status.steps ? Math.min(1, (status.step ?? 0) / status.steps) : 0;
  bar.value = share;
  bar.classList.toggle("none", status.steps === null);
  put(find(".count"), status.steps === null ? "" : `${status.stage === "ready" ? status.steps : status.step}/${status.steps}`);
  const [failure] = status.failures;
  put(
    find(".doing"),
    failure !== undefined && status.stage === "failed"
      ? [failure.name, failure.message].filter((part) => part).join(": ")
      : [status.doing, status.lastLine === status.doing ? "" : status.lastLine].filter((part) => part).join(": "),
  );
  drawTime(row);
  item.hidden = !isShown(status);
  if (row.details.open) load(status.node);
}

function drawTime({ find, status }) {
  if (status === null) return;
  const since = serverNow() - status.since;
  put(find(".time"), status.heard === null ? "not heard of yet" : `for ${span(since)}`);
}

function isShown({ stage }) {
  return show === "all" || (show === "failed" ? stage === "failed" : stage !== "ready");
}

/** Fetches what happened to a node that is open; once at a time, and again where it changed meanwhile. */
async function load(name) {
  const row = rowOf(name);
  row.stale = true;
  if (row.loading) return;
  row.loading = true;
  try {
    while (row.stale && row.details.open) {
      row.stale = false;
      const answer = await fetch(`/status/nodes/${encodeURIComponent(name)}.json`);
      if (answer.ok) drawMore(row, await answer.json());
    }
  } catch {
    // The server is gone; what was drawn stays, and the page says so.
  } finally {
    row.loading = false;
  }
}

function failureBox(failure) {
  const box = element("div", undefined, { class: "failure" });
  const head = element("p");
  head.append(element("strong", "Failed"), failure.name ? ` at ${failure.name}` : "", failure.step ? ` (${failure.step})` : "");
  box.append(head, element("p", failure.message));
  if (failure.from) {
    const place = element("p", "asked for by ");
    place.append(element("code", failure.from));
    box.append(place);
    if (failure.source !== null) box.append(element("pre", `${failure.from.split(":").at(-1)} | ${failure.source.trim()}`));
  }
  if (failure.tail.length > 0) {
    box.append(element("p", failure.tail.length === 1 ? "Its last line:" : `Its last ${failure.tail.length} lines:`));
    box.append(element("pre", failure.tail.join("\n")));
  }
  return box;
}

function drawMore({ find }, node) {
  find(".failures").replaceChildren(...node.failures.map(failureBox));
  const last = find(".last");
  last.hidden = node.lastLine === "" || node.stage === "failed";
  put(last, node.lastLine);
  const seed =
    node.seedClosed !== null
      ? `not given any more: ${node.seedClosed}`
      : node.seedUntil === null
        ? "not given yet"
        : `given to this machine until ${day(node.seedUntil)}`;
  const facts = [
    ["Address", node.address ?? "by DHCP"],
    ["Cards", node.macs.join(", ") || "none known"],
    ["Next network boot", node.boot === "install" ? "installs it, which wipes its disk" : node.installable ? "boots its disk" : "boots its disk: nothing is known that would install it"],
    ["Seed", seed],
    ["Last heard", node.heard === null ? "never" : day(node.heard)],
    ...(node.from ? [["Asked for by", node.from]] : []),
  ];
  find(".facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
  drawStages(find, node);
  find(".timeline").replaceChildren(
    ...node.timeline
      .map((entry) => {
        const item = element("li", undefined, entry.bad ? { class: "bad" } : {});
        item.append(
          element("time", clock(entry.time), { datetime: new Date(entry.time).toISOString() }),
          element("span", entry.by, { class: "by" }),
          element("span", entry.text, { class: "said" }),
        );
        return item;
      })
      .reverse(),
  );
}

function drawStages(find, { stages, stage }) {
  const over = stage === "ready" || stage === "failed";
  const parts = stages.map((part, index) => ({
    stage: part.stage,
    ms: (stages[index + 1]?.since ?? serverNow()) - part.since,
    last: index === stages.length - 1,
  }));
  // A verdict takes no time.
  const taking = parts.filter((part) => !(part.last && over));
  for (const place of [".stages-title", ".stages", ".stage-list"]) find(place).hidden = taking.length === 0;
  find(".stages").replaceChildren(
    ...taking.map((part) => {
      const bar = element("span", undefined, { "data-stage": part.stage });
      bar.style.flexGrow = String(Math.max(1, part.ms));
      return bar;
    }),
  );
  find(".stage-list").replaceChildren(
    ...taking.map((part) => element("li", `${words[part.stage] ?? part.stage} ${span(part.ms)}`, { "data-stage": part.stage })),
  );
}

function drawTally() {
  const all = [...rows.values()].map(({ status }) => status).filter((status) => status !== null);
  const count = (stage) => all.filter((status) => status.stage === stage).length;
  const failed = all.filter(({ stage }) => stage === "failed").map(({ node }) => node);
  const parts = [`${count("ready")} of ${all.length} READY`];
  const busy = all.filter(({ stage }) => !["ready", "failed", "waiting"].includes(stage)).length;
  if (busy > 0) parts.push(`${busy} under way`);
  if (count("waiting") > 0) parts.push(`${count("waiting")} not heard of yet`);
  if (failed.length > 0)
    parts.push(`${failed.length} FAILED: ${failed.slice(0, 5).join(", ")}${failed.length > 5 ? " ..." : ""}`);
  put(by("tally"), parts.join(", "));
  by("none").hidden = [...rows.values()].some(({ item }) => !item.hidden);
}

function drawStrangers(strangers) {
  by("others").hidden = strangers.length === 0;
  by("strangers").replaceChildren(
    ...strangers.map((one) => {
      const item = element("li");
      item.append(
        element("code", one.machine),
        ` at ${one.address}, ${one.count === 1 ? "once" : `${one.count} times`}, last at ${clock(one.last)}`,
      );
      return item;
    }),
  );
}

function drawServer({ now, dhcp, strangers }) {
  ahead = Date.now() - now;
  put(by("link"), dhcp === null || dhcp.includes("dead") ? "" : dhcp);
  by("dhcp").hidden = dhcp === null || !dhcp.includes("dead");
  put(by("dhcp"), dhcp === null ? "" : `Machines get no addresses: ${dhcp}`);
  drawStrangers(strangers);
}

function drawAll(site) {
  document.title = `${site.site}: seedsmith`;
  put(by("site"), site.site);
  drawServer(site);
  const names = new Set(site.nodes.map(({ node }) => node));
  for (const [name, { item }] of rows)
    if (!names.has(name)) {
      item.remove();
      rows.delete(name);
    }
  for (const status of site.nodes) drawRow(status);
  drawTally();
  by("gone").hidden = true;
  openNamed();
}

/** Opens the node that the address names, as /status#node-con01 does; once, so that it can be closed. */
let opened = "";
function openNamed() {
  const { hash } = window.location;
  if (hash === opened) return;
  const row = rows.get(decodeURIComponent(hash).replace(/^#node-/, ""));
  if (row === undefined) return;
  opened = hash;
  row.details.open = true;
  row.item.scrollIntoView();
}
window.addEventListener("hashchange", openNamed);

let lost = null;
function gone() {
  lost ??= Date.now();
  by("gone").hidden = false;
  put(by("gone"), `The server does not answer since ${new Date(lost).toLocaleTimeString()}. What you see is from before; this page goes on by itself when it is back.`);
}

function follow() {
  const events = new EventSource("/events");
  let heard = Date.now();
  const hear = (kind, take) =>
    events.addEventListener(kind, (message) => {
      heard = Date.now();
      lost = null;
      by("gone").hidden = true;
      take(JSON.parse(message.data));
    });
  hear("site", drawAll);
  hear("nodes", (news) => {
    drawServer(news);
    for (const status of news.nodes) drawRow(status);
    drawTally();
  });
  hear("beat", () => undefined);
  events.addEventListener("error", gone);
  const watch = setInterval(() => {
    // A connection that broke without a word, or that the browser gave up.
    if (Date.now() - heard < 20000 && events.readyState !== EventSource.CLOSED) return;
    gone();
    events.close();
    clearInterval(watch);
    follow();
  }, 5000);
}

for (const input of document.querySelectorAll("input[name=show]"))
  input.addEventListener("change", () => {
    show = input.value;
    for (const { item, status } of rows.values()) if (status !== null) item.hidden = !isShown(status);
    drawTally();
  });
setInterval(() => {
  for (const row of rows.values()) drawTime(row);
}, 1000);
follow();

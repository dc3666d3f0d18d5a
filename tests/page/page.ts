/** What the status page must be: readable at any width and in both schemes, usable without a mouse, and true. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pageAnswers } from "../../src/serve/page.ts";
import type { ServedNode } from "../../src/serve/server.ts";
import { Status } from "../../src/serve/status.ts";
import { testServer } from "../serve/boot-server.ts";
import { root } from "../support/build-site.ts";
import { type Browser, browser, type Page } from "./browser.ts";

/** Texts whose contrast with what is behind them is below what WCAG asks of text (4.5 to 1). */
const faint = `(() => {
  const light = (c) => { const v = c / 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || e.offsetParent === null || e.closest("noscript, template")) continue;
    const [a, b] = [luminance(parse(getComputedStyle(e).color)), luminance(behind(e))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) found.push(e.tagName + "." + e.className + " " + contrast.toFixed(2));
  }
  return found;
})()`;

interface Check {
  readonly name: string;
  readonly wrong: string | null;
}

async function shots(page: Page, url: string, folder: string): Promise<Check[]> {
  const checks: Check[] = [];
  const note = (name: string, wrong: string | null): void => void checks.push({ name, wrong });
  for (const [device, width, height, mobile] of [
    ["phone", 360, 780, true],
    ["desk", 1280, 900, false],
  ] as const)
    for (const scheme of ["light", "dark"] as const)
      for (const view of ["list", "node"] as const) {
        const name = `${device}-${scheme}-${view}`;
        await page.call("Emulation.setDeviceMetricsOverride", {
          width,
          height,
          deviceScaleFactor: 1,
          mobile,
        });
        await page.call("Emulation.setEmulatedMedia", {
          features: [{ name: "prefers-color-scheme", value: scheme }],
        });
        await page.call("Page.navigate", { url: "about:blank" });
        await page.call("Page.navigate", { url: `${url}/status${view === "node" ? "#node-con01" : ""}` });
        await page.until(`document.querySelectorAll(".node").length === 8`);
        if (view === "node")
          await page.until(`document.querySelectorAll("#node-con01 .timeline li").length > 5`);
        const { data } = (await page.call("Page.captureScreenshot", {
          captureBeyondViewport: view === "node",
          ...(view === "node"
            ? {
                clip: {
                  x: 0,
                  y: 0,
                  width,
                  height: Math.min(2000, await page.value<number>("document.documentElement.scrollHeight")),
                  scale: 1,
                },
              }
            : {}),
        })) as { data: string };
        writeFileSync(join(folder, `${name}.png`), Buffer.from(data, "base64"));
        const over = await page.value<number>(
          "document.documentElement.scrollWidth - document.documentElement.clientWidth",
        );
        note(`${name}: nothing is wider than the page`, over > 0 ? `${over} pixels` : null);
        const pale = await page.value<string[]>(faint);
        note(`${name}: every text has a contrast of 4.5 or more`, pale.length > 0 ? pale.join("; ") : null);
      }
  return checks;
}

async function keyboard(page: Page, url: string): Promise<Check[]> {
  const checks: Check[] = [];
  await page.call("Page.navigate", { url: "about:blank" });
  await page.call("Page.navigate", { url: `${url}/status` });
  await page.until(`document.querySelectorAll(".node").length === 8`);
  const focus = (): Promise<string> =>
    page.value("document.activeElement.closest('.node')?.id ?? document.activeElement.className ?? ''");
  const seen: string[] = [];
  for (let tab = 0; tab < 12; tab++) {
    await page.press("Tab");
    seen.push(await focus());
    if (seen.at(-1) === "node-com01") break;
  }
  checks.push({
    name: "keyboard: Tab comes to the second node",
    wrong: seen.at(-1) === "node-com01" ? null : seen.join(" "),
  });
  const outline = await page.value<string>("getComputedStyle(document.activeElement).outlineStyle");
  checks.push({ name: "keyboard: what has the focus is seen", wrong: outline === "none" ? outline : null });
  await page.press("Enter");
  await page.until(`document.querySelector("#node-com01 details").open`);
  await page.until(`document.querySelectorAll("#node-com01 .facts dt").length > 0`);
  checks.push({ name: "keyboard: Enter opens it", wrong: null });
  await page.value(`document.querySelector("input[value=all]").focus()`);
  await page.press("ArrowRight");
  await page.press("ArrowRight");
  const shown = await page.value<number>(`document.querySelectorAll(".node:not([hidden])").length`);
  checks.push({
    name: "keyboard: arrows choose what is shown",
    wrong: shown === 1 ? null : `${shown} nodes`,
  });
  const { nodes } = (await page.call("Accessibility.getFullAXTree")) as {
    nodes: { role?: { value: string }; name?: { value: string }; ignored: boolean }[];
  };
  const nameless = nodes.filter(
    ({ role, name, ignored }) =>
      !ignored &&
      ["button", "link", "radio", "progressbar", "DisclosureTriangle", "list", "heading"].includes(
        role?.value ?? "",
      ) &&
      role?.value !== "list" &&
      (name?.value ?? "") === "",
  );
  checks.push({
    name: "accessibility: whatever can be used has a name",
    wrong: nameless.length === 0 ? null : nameless.map(({ role }) => role?.value).join(", "),
  });
  const live = await page.value<string>(`document.querySelector("#tally").getAttribute("aria-live")`);
  checks.push({ name: "accessibility: verdicts are announced", wrong: live === "polite" ? null : live });
  return checks;
}

/** @param folder for the pictures @returns the exit code */
export async function testPage(folder: string): Promise<number> {
  mkdirSync(folder, { recursive: true });
  let status: Status | null = null;
  const page = pageAnswers(join(root, "templates", "status-page"));
  const names = ["con01", "com01", "com02", "com03", "blk01", "obj01", "obj02", "gw01"];
  const nodes: ServedNode[] = names.map((name, index) => ({
    name,
    macs: [`52:54:00:00:00:${String(index + 10)}`],
    addresses: [`10.0.0.${index + 1}`],
    installs: false,
    installable: true,
  }));
  const server = await testServer({
    others: (states, itself) => {
      status = new Status({
        site: "rack-7",
        states,
        server: () =>
          ({
            boot: () => "install",
            node: (name: string) => nodes.find((node) => node.name === name) ?? null,
            whyClosed: (node: ServedNode) =>
              states.get(node.name).stage === "ready" ? "the node is READY" : null,
          }) as unknown as ReturnType<typeof itself>,
        nodes,
        seedSeconds: 86_400,
        source: (from) =>
          from.startsWith("templates/")
            ? "    run: [nova-manage, api_db, sync]   # the schema of the API"
            : null,
        dhcp: () => "dnsmasq: running",
        now: () => Date.now(),
      });
      const own = status;
      return (request, response, path) =>
        own.handle(request, response, path) || page(request, response, path);
    },
  });
  let chromium: Browser | null = null;
  try {
    await tell(server.states, status!);
    const url = `http://127.0.0.1:${server.port}`;
    chromium = await browser();
    const checks = [...(await shots(chromium.page, url, folder)), ...(await keyboard(chromium.page, url))];
    checks.push({
      name: "the page reports no error of its own",
      wrong: chromium.errors.length === 0 ? null : chromium.errors.join("; "),
    });
    for (const { name, wrong } of checks)
      console.log(`${wrong === null ? "ok  " : "FAIL"} ${name}${wrong === null ? "" : `: ${wrong}`}`);
    console.log(`pictures: ${folder}`);
    return checks.every(({ wrong }) => wrong === null) ? 0 : 1;
  } finally {
    await chromium?.close();
    (status as Status | null)?.close();
    await server.close();
  }
}

/** Nodes at every stage, with words as long as they come. */
async function tell(states: Awaited<ReturnType<typeof testServer>>["states"], status: Status): Promise<void> {
  const start = Date.now() - 31 * 60_000;
  const minutes = (at: number): number => start + at * 60_000;
  const iso = (at: number): string => new Date(minutes(at)).toISOString();
  const entry = (node: string, at: number): Promise<void> =>
    states.happened({
      time: minutes(at),
      node,
      kind: "entry",
      boot: "install",
      loader: "ipxe",
      address: "10.0.0.7",
    });
  const seed = (node: string, at: number): Promise<void> =>
    states.happened({ time: minutes(at), node, kind: "seed", address: "10.0.0.7" });
  const installer = (node: string, at: number, type: "started" | "installed", message = ""): Promise<void> =>
    states.happened({ time: minutes(at), node, kind: "report", report: { by: "installer", type, message } });
  const subiquity = (node: string, at: number, name: string, description: string): Promise<void> =>
    states.happened({
      time: minutes(at),
      node,
      kind: "report",
      report: { by: "installer", type: "start", name, description, result: null },
    });
  const runner = (node: string, at: number, event: object): Promise<void> =>
    states.happened({
      time: minutes(at),
      node,
      kind: "report",
      report: {
        by: "runner",
        log: null,
        at: null,
        event: { time: iso(at), node, generation: 1, ...event } as never,
      },
    });
  const step = (n: number, name: string): object => ({
    step: `s${n}`,
    name,
    n,
    m: 87,
    from: "templates/components/nova-controller/component.yaml:41",
  });
  const upTo = async (node: string, last: number): Promise<void> => {
    await entry(node, 0);
    await seed(node, 1);
    await installer(node, 1.2, "started");
    await subiquity(node, 3, "subiquity/Install/install/curtin_install", "installing system");
    await installer(node, 11, "installed");
    await runner(node, 13, { event: "run-start" });
    for (let n = 1; n <= last; n++) {
      await runner(node, 13 + n / 6, { event: "step-start", ...step(n, `step ${n} of the first boot`) });
      await runner(node, 13 + n / 6 + 0.1, {
        event: "step-ok",
        seconds: 6,
        ...step(n, `step ${n} of the first boot`),
      });
    }
  };
  for (const node of ["con01", "com01", "com02", "com03", "blk01", "obj01", "obj02", "gw01"])
    await states.happened({ time: minutes(-1), node, kind: "offered" });
  await upTo("con01", 40);
  const failing = step(41, "database schema of the API");
  await runner("con01", 24, { event: "step-start", ...failing });
  const failure = {
    ...failing,
    message:
      "exit 1: ERROR: Could not connect to the database on con01 (hint: look at journalctl -u mariadb)",
    tail: [
      "2026-01-01 00:00:00.000 1234 INFO nova.db.main.api [-] applying migrations",
      "2026-01-01 00:00:01.000 1234 CRITICAL nova [-] Unhandled error: sqlalchemy.exc.OperationalError: (pymysql.err.OperationalError) (2003, \"Can't connect to MySQL server on 'con01'\")",
      "ERROR: Could not connect to the database on con01",
    ],
  };
  await runner("con01", 26, { event: "step-fail", ...failure });
  await runner("con01", 26, { event: "failed", ...failure });
  await upTo("com01", 55);
  await runner("com01", 30, { event: "step-start", ...step(56, "wait for database nova_api on con01") });
  await runner("com01", 30.5, {
    event: "step-retry",
    ...step(56, "wait for database nova_api on con01"),
    message: "connection refused at 10.0.0.1:3306",
  });
  await upTo("com02", 87);
  await runner("com02", 29, { event: "ready" });
  await entry("com03", 20);
  await seed("com03", 21);
  await installer("com03", 21.5, "started");
  await subiquity(
    "com03",
    24,
    "subiquity/Install/install/curtin_install/run_curtin_step",
    "executing curtin install extract step",
  );
  await upTo("blk01", 12);
  await runner("blk01", 28, { event: "reboot" });
  await entry("obj01", 30);
  await entry("obj02", 20);
  await seed("obj02", 21);
  await installer("obj02", 30, "installed");
  status.stranger({ mac: "52:54:00:99:00:01", serial: "CZ3212XYZ" }, "10.0.0.144");
  status.stranger({ mac: "52:54:00:99:00:01", serial: "CZ3212XYZ" }, "10.0.0.144");
}

/** The copy for a web server: its modes, and what real nginx, dnsmasq and Kea make of it. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import * as assert from "uvu/assert";
import type { Choice } from "../../src/commands/compile.ts";
import { publish } from "../../src/commands/publish.ts";
import { render } from "../../src/commands/render.ts";
import { LabError } from "../../src/lab/command.ts";
import { root } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const env = {
  ...process.env,
  LC_ALL: "C.UTF-8",
  PATH: [process.env["PATH"], "/usr/sbin", "/sbin"].join(delimiter),
};
const missing = (tool: string): string | null =>
  spawnSync(tool, ["-v"], { env }).error === undefined ? null : `${tool} is not installed`;
const noDnsmasq = missing("dnsmasq");
const noKea = missing("kea-dhcp4");
const noNginx = process.platform !== "linux" ? "nginx is tried on Linux" : missing("nginx");

/** A group that this process may give files to. */
function ownGroup(): string {
  const name = spawnSync("id", ["-gn"], { encoding: "utf8" }).stdout.trim();
  return name === "" ? "root" : name;
}

const loaders = [
  ...["undionly.kpxe", "bootx64.efi", "grubx64.efi", "grub/x86_64-efi/http.mod"],
  "grubhttpx64.efi",
];

const site = (address: string, port: number, dhcp = "full"): string => `site: x
target: debian-12
networks: { management: { cidr: ${address.replace(/\.\d+$/, ".0")}/24 } }
access: { users: [{ name: ops, password: true }] }
netboot:
  server: ${address}
  port: ${port}
  dhcp: ${dhcp}
  loaders: { bios: ipxe, uefi: grub }
  installers:
    debian-12: { kernel: { file: boot/vmlinuz }, initrd: { file: boot/initrd } }
nodes:
  one:
    profile: base
    interfaces: { management: { mac: "52:54:00:00:00:01", address: ${address.replace(/\.\d+$/, ".1")} } }
  two:
    profile: base
    interfaces: { management: { mac: "52:54:00:00:00:02", address: ${address.replace(/\.\d+$/, ".2")} } }
`;

interface Place {
  readonly folder: string;
  readonly choice: Choice;
}

/** A workspace with a rendered site, and loaders and installers that are only words. */
async function inWorkspace(text: string, use: (place: Place) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-publish-"));
  try {
    writeFileSync(join(folder, "site.yaml"), text);
    const choice = {
      packageRoot: root,
      cwd: folder,
      site: "site.yaml",
      target: null,
      profiles: [],
      nodes: [],
    };
    await render({ ...choice, out: "build", workerUrl: null });
    // A second time, as what is the site's and no node's must stay.
    const result = await render({ ...choice, out: "build", workerUrl: null });
    assert.not.ok(result.wrote);
    assert.equal(
      result.problems.filter(({ notice }) => notice !== true),
      [],
    );
    const put = (name: string, content: string): void => {
      const path = join(folder, "build", "x", "pxe", name);
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, content);
    };
    for (const name of loaders) put(`loaders/${name}`, name);
    for (const name of ["vmlinuz", "initrd"])
      put(`assets/debian-12/${name}`, `${name} ${"0123456789".repeat(100)}`);
    await use({ folder, choice });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const modeOf = (path: string): number => lstatSync(path).mode & 0o7777;

suite("publish", (test) => {
  test("the copy is for one group, and what is rendered stays its owner's alone", async () => {
    await inWorkspace(site("10.0.0.250", 80), async ({ folder, choice }) => {
      const { files } = await publish(choice, "build", "www", ownGroup());
      assert.ok(files > 20);
      for (const name of readdirSync(join(folder, "www"), { recursive: true, encoding: "utf8" })) {
        const path = join(folder, "www", name);
        assert.is(modeOf(path), lstatSync(path).isDirectory() ? 0o750 : 0o640, name);
      }
      assert.is(modeOf(join(folder, "www")), 0o750);
      assert.is(modeOf(join(folder, "build", "x", "one", "user-data")), 0o600);
      assert.equal(
        readFileSync(join(folder, "www", "www", "seed", "one", "user-data")),
        readFileSync(join(folder, "build", "x", "one", "user-data")),
      );
      // Again over its own copy, and never over other files.
      await publish(choice, "build", "www", ownGroup());
      mkdirSync(join(folder, "mine"));
      writeFileSync(join(folder, "mine", "letter"), "");
      for (const wrong of [
        () => publish(choice, "build", "mine", ownGroup()),
        () => publish(choice, "build", "www", "no-such-group"),
        () => publish(choice, "elsewhere", "www", ownGroup()),
      ]) {
        let error: unknown;
        await wrong().catch((one: unknown) => {
          error = one;
        });
        assert.instance(error, LabError);
      }
      assert.equal(readdirSync(join(folder, "mine")), ["letter"]);
      assert.equal(
        readdirSync(folder).filter((name) => name.startsWith(".www")),
        [],
      );
    });
  });

  test("a missing asset is named, and nothing is written", async () => {
    await inWorkspace(site("10.0.0.250", 80), async ({ folder, choice }) => {
      rmSync(join(folder, "build", "x", "pxe", "assets", "debian-12", "initrd"));
      rmSync(join(folder, "build", "x", "pxe", "loaders", "grubx64.efi"));
      let said = "";
      await publish(choice, "build", "www", ownGroup()).catch((error: Error) => {
        said = error.message;
      });
      assert.is(said, "missing in build/x/pxe: loaders/grubx64.efi, assets/debian-12/initrd");
      assert.not.ok(readdirSync(folder).includes("www"));
    });
  });

  (noDnsmasq === null && noKea === null ? test : test.skip)(
    "dnsmasq and Kea take their configurations",
    async () => {
      for (const dhcp of ["full", "proxy"])
        await inWorkspace(site("10.0.0.250", 80, dhcp), async ({ folder, choice }) => {
          await publish(choice, "build", "www", ownGroup());
          for (const path of ["www/dnsmasq.conf", "build/x/pxe/dnsmasq.conf"]) {
            const done = spawnSync("dnsmasq", ["--test", `--conf-file=${join(folder, path)}`], {
              env,
              encoding: "utf8",
            });
            assert.is(done.status, 0, done.stderr);
          }
          if (dhcp === "proxy") return;
          const done = spawnSync("kea-dhcp4", ["-t", join(folder, "www", "kea-dhcp4.conf")], {
            env,
            encoding: "utf8",
          });
          assert.is(done.status, 0, `${done.stdout}${done.stderr}`);
        });
    },
  );

  (noNginx === null ? test : test.skip)(
    "nginx serves the copy: seeds to their nodes alone, ranges of assets, a refusal to others",
    async () => {
      const port = await freePort();
      await inWorkspace(site("127.0.0.250", port), async ({ folder, choice }) => {
        await publish(choice, "build", "www", ownGroup());
        const server = await nginx(folder);
        try {
          const base = `http://127.0.0.250:${port}`;
          const get = (path: string, from: string, ...more: string[]) => {
            const done = spawnSync(
              "curl",
              ["-sS", "--interface", from, "-o", "-", "-w", "\n%{http_code}", ...more, `${base}${path}`],
              { encoding: "utf8", env },
            );
            const lines = done.stdout.split("\n");
            return { status: Number(lines.pop()), body: lines.join("\n") };
          };
          const seed = readFileSync(join(folder, "build", "x", "one", "user-data"), "utf8");
          assert.equal(get("/seed/one/user-data", "127.0.0.1"), { status: 200, body: seed });
          assert.is(get("/seed/one/vendor-data", "127.0.0.1").status, 200);
          assert.is(get("/seed/one/user-data", "127.0.0.2").status, 403);
          assert.is(get("/seed/one/user-data", "127.0.0.9").status, 403);
          assert.is(get("/seed/one/../one/user-data", "127.0.0.2", "--path-as-is").status, 403);
          assert.is(get("/loaders/..%2f..%2fnginx.conf", "127.0.0.1", "--path-as-is").status, 400);
          assert.is(get("/nginx.conf", "127.0.0.1").status, 404);
          assert.equal(get("/assets/debian-12/vmlinuz", "127.0.0.9", "-r", "8-17"), {
            status: 206,
            body: "0123456789",
          });
          assert.match(get("/ipxe/52-54-00-00-00-02", "127.0.0.2").body, /^#!ipxe\n(.*\n)*.*seed\/two\//);
          assert.match(get("/ipxe/52-54-00-00-00-99?uuid=x", "127.0.0.9").body, "is no node of the site x");
          assert.match(get("/grub/52:54:00:00:00:02", "127.0.0.2").body, /^linux /m);
          assert.match(get("/grub/52:54:00:00:00:99", "127.0.0.9").body, "is no node of the site x");
          assert.is(get("/grub/x86_64-efi/command.lst", "127.0.0.9").status, 404);
          assert.is(get("/grub/grub.cfg", "127.0.0.9").status, 200);
        } finally {
          await ended(server);
        }
      });
    },
  );
});

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** nginx with the rendered server block, in the foreground; resolves when it answers. */
async function nginx(folder: string): Promise<ChildProcess> {
  const state = join(folder, "nginx");
  mkdirSync(state);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (one) => `${one}_temp_path ${join(state, one)};`,
  );
  const user = process.getuid?.() === 0 ? "user root;\n" : "";
  writeFileSync(
    join(state, "nginx.conf"),
    `${user}pid ${join(state, "pid")};\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${temporary.join("\n")}\ninclude ${join(folder, "www", "nginx.conf")};\n}\n`,
  );
  const child = spawn("nginx", ["-c", join(state, "nginx.conf"), "-e", "stderr", "-g", "daemon off;"], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const url = /listen ([\d.:]+);/.exec(readFileSync(join(folder, "www", "nginx.conf"), "utf8"))?.[1];
  for (;;) {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${said}`);
    try {
      await fetch(`http://${url}/`);
      return child;
    } catch {
      await new Promise((done) => setTimeout(done, 50));
    }
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const over = new Promise((done) => child.once("close", done));
  child.kill("SIGTERM");
  await over;
}

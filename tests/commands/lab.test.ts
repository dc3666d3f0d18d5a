/** `lab doctor` and `lab images` as a process, with a cache, a PATH and a server of images of their own. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as assert from "uvu/assert";
import { bundled, type Outcome, outcomeOf, type Program } from "../support/program.ts";
import { suite } from "../support/suite.ts";

const root = join(import.meta.dirname, "..", "..");

/** The smallest image that qemu-img takes for one: a header, a table and a block of reference counts, an empty table. */
function emptyQcow2(): Buffer {
  const cluster = 2 ** 16;
  const image = Buffer.alloc(4 * cluster);
  image.write("QFI\xfb", 0, "latin1");
  image.writeUInt32BE(2, 4);
  image.writeUInt32BE(16, 20);
  image.writeBigUInt64BE(2n ** 20n, 24);
  image.writeUInt32BE(1, 36);
  image.writeBigUInt64BE(BigInt(3 * cluster), 40);
  image.writeBigUInt64BE(BigInt(cluster), 48);
  image.writeUInt32BE(1, 56);
  image.writeBigUInt64BE(BigInt(2 * cluster), cluster);
  for (let index = 0; index < 4; index += 1) image.writeUInt16BE(1, 2 * cluster + 2 * index);
  return image;
}

suite("lab doctor and lab images", (test) => {
  let cwd = "";
  let program: Program;
  test.before(async () => {
    program = await bundled("src/cli.ts");
    cwd = mkdtempSync(join(tmpdir(), "seedsmith-images-"));
    for (const name of ["targets", "cache", "bin"]) mkdirSync(join(cwd, name));
    writeFileSync(
      join(cwd, "site.yaml"),
      "site: lab\ntarget: debian-12\nnetworks: { management: { cidr: 10.0.0.0/24 } }\naccess: { users: [{ name: ops, password: true }] }\nnodes: { one: { profile: base, interfaces: { management: { mac: '52:54:00:00:00:01', address: 10.0.0.1 } } } }\n",
    );
  });
  test.after(() => {
    program.remove();
    rmSync(cwd, { recursive: true, force: true });
  });

  const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> =>
    outcomeOf(
      spawn(process.execPath, [program.path, ...args], {
        cwd,
        env: { ...process.env, SEEDSMITH_CACHE: join(cwd, "cache"), ...env },
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );

  test("doctor: what each driver lacks, with the package that brings it", async () => {
    const nothing = { PATH: join(cwd, "bin") };
    const [text, json] = await Promise.all([
      run(["lab", "doctor"], nothing),
      run(["lab", "doctor", "--format", "json"], nothing),
    ]);
    const { ok, cache, drivers } = JSON.parse(json.out) as {
      ok: boolean;
      cache: string;
      drivers: { name: string; obstacles: { message: string; hint: string }[] }[];
    };
    assert.equal(
      drivers.map(({ name }) => name),
      ["qemu", "nspawn", "multipass"],
    );
    assert.is(cache, join(cwd, "cache"));
    for (const { name, obstacles } of drivers) {
      assert.match(
        text.out,
        new RegExp(`^${name} +${obstacles.length === 0 ? "runs here: " : "cannot run here"}`, "m"),
      );
      for (const { message, hint } of obstacles) assert.match(text.out, `  ${message}\n    ${hint}\n`);
    }
    assert.is(
      ok,
      drivers.some(({ obstacles }) => obstacles.length === 0),
    );
    assert.is(text.code, ok ? 0 : 3);
    const said = (driver: string) =>
      drivers
        .find(({ name }) => name === driver)!
        .obstacles.map(({ message, hint }) => `${message}: ${hint}`)
        .join("\n");
    assert.match(said("multipass"), "multipass");
    if (process.platform !== "linux") return;
    assert.match(
      said("nspawn"),
      /not installed: systemd-nspawn, .*mmdebstrap.*apt-get install systemd-container/,
    );
    // Where programs for administrators lie with all others, they are found although PATH has neither.
    if (realpathSync("/usr/sbin") === realpathSync("/usr/bin")) return;
    assert.match(
      said("qemu"),
      /missing: qemu-system-x86_64, .*apt-get install qemu-system-x86 qemu-utils openssh-client/,
    );
  });

  test("images: one is fetched, listed and removed; what is not its publisher's is no image", async () => {
    const image = emptyQcow2();
    let digest = "0".repeat(128);
    const server = createServer((request, response) => {
      if (request.url === "/SHA512SUMS") response.end(`${digest}  disk.qcow2\n`);
      else response.end(image);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const place = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const target = readFileSync(join(root, "targets", "debian-12.yaml"), "utf8")
        .replace(/^ {2}url: .*$/m, `  url: ${place}/disk.qcow2`)
        .replace(/^ {2}digests: .*$/m, `  digests: ${place}/SHA512SUMS`);
      writeFileSync(join(cwd, "targets", "debian-12.yaml"), target);
      const none = await run(["lab", "images"]);
      assert.equal(none, {
        code: 0,
        out: "without an image: debian-12, debian-13, ubuntu-22.04, ubuntu-24.04\n",
        err: "",
      });

      const wrong = await run(["lab", "images", "fetch", "debian-12"]);
      assert.is(wrong.code, 3, wrong.err);
      assert.match(wrong.err, `${place}/disk.qcow2 is not what its publisher lists: sha512 is `);
      assert.match(wrong.err, "hint: it was thrown away; fetch again");
      assert.equal(readdirSync(join(cwd, "cache", "images", ".fetching")), []);

      digest = createHash("sha512").update(image).digest("hex");
      const right = await run(["lab", "images", "fetch", "debian-12"]);
      assert.is(right.code, 0, right.err);
      assert.match(right.out, `fetched from ${place}/disk.qcow2`);
      const disk = join(cwd, "cache", "images", `debian-12-${digest.slice(0, 16)}`, "disk.qcow2");
      assert.equal(readFileSync(disk), image);
      const listed = JSON.parse((await run(["lab", "images", "list", "--format", "json"])).out) as {
        images: { target: string; key: string; disk: string }[];
        without: string[];
      };
      assert.equal(
        listed.images.map(({ target: name, key, disk: path }) => [name, key, path]),
        [["debian-12", digest.slice(0, 16), disk]],
      );
      assert.equal(listed.without, ["debian-13", "ubuntu-22.04", "ubuntu-24.04"]);

      const removed = await run(["lab", "images", "remove", "debian-12"]);
      assert.is(removed.code, 0, removed.err);
      assert.not.ok(existsSync(disk));
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  test("images: what is not there, and what cannot be reached, says what to do", async () => {
    const [word, what, target, gone, build] = await Promise.all([
      run(["lab", "images", "fech", "debian-12"]),
      run(["lab", "images", "fetch"]),
      run(["lab", "images", "fetch", "debian-21"]),
      run(["lab", "images", "remove", "debian-12"]),
      run(["lab", "images", "build", "ubuntu-24.04"]),
    ]);
    assert.equal(
      [word, what, target, gone, build].map(({ code, out }) => [code, out]),
      Array(5).fill([3, ""]),
    );
    assert.match(word.err, 'lab images does not know "fech"');
    assert.match(word.err, 'did you mean "fetch"?');
    assert.match(what.err, /fetch what\?\n.*lab images fetch TARGET: debian-12, /);
    assert.match(target.err, 'there is no target "debian-21"');
    assert.match(gone.err, 'there is no image "debian-12" in ');
    assert.match(
      build.err,
      "an image of ubuntu-24.04 cannot be built: that is there for Debian's releases only",
    );
  });
});

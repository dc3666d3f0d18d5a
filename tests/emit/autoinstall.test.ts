/** What Ubuntu's installer reads: goldens, what each release knows, and its commands run by a real shell. */
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { load } from "js-yaml";
import * as assert from "uvu/assert";
import type { Artifact } from "../../src/emit/lines.ts";
import { verifyInstall } from "../../src/verify/autoinstall.ts";
import {
  differenceFromGolden,
  golden,
  installText,
  inTemporaryFolder,
  listFiles,
  racked,
} from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

interface Autoinstall {
  readonly [key: string]: unknown;
  readonly storage: { readonly config: readonly { readonly [key: string]: unknown }[] };
  readonly "early-commands": readonly string[];
  readonly "late-commands": readonly (string | readonly string[])[];
  readonly "error-commands": readonly string[];
}

const text = (artifacts: readonly Artifact[], name: string): string =>
  new TextDecoder().decode(artifacts.find((one) => one.name === name)?.bytes);
const autoinstallOf = (artifacts: readonly Artifact[]): Autoinstall =>
  load(text(artifacts, "autoinstall/autoinstall.yaml")) as Autoinstall;

let made: ReturnType<typeof racked> | null = null;
const rack = () => {
  made ??= racked();
  return made;
};
const node = async (name: string): Promise<readonly Artifact[]> => {
  const artifacts = (await rack()).nodes.get(name);
  if (artifacts === undefined) throw new Error(`no node ${name}`);
  return artifacts;
};

suite("emit/autoinstall", (test) => {
  test("every release, firmware and layout is its golden", async () => {
    const { nodes } = await rack();
    for (const [name, artifacts] of nodes)
      assert.is(differenceFromGolden(`install/${name}.yaml`, installText(artifacts)), null);
    assert.equal(
      listFiles(golden).filter((path) => path.startsWith("install/")),
      [...nodes.keys()].map((name) => `install/${name}.yaml`).sort(),
    );
  });

  test("the installed system is handed the seed's own user-data", async () => {
    for (const artifacts of (await rack()).nodes.values()) {
      const { "user-data": handed } = autoinstallOf(artifacts);
      assert.equal(handed, load(text(artifacts, "user-data")));
      const whole = load(text(artifacts, "autoinstall/user-data")) as { autoinstall: unknown };
      assert.equal(whole.autoinstall, autoinstallOf(artifacts));
    }
  });

  test("no user is made by the installer, so that the first boot's are the only ones", async () => {
    for (const artifacts of (await rack()).nodes.values())
      assert.is(autoinstallOf(artifacts)["identity"], undefined);
  });

  test("an installer is told nothing that it does not know", async () => {
    const oldest = autoinstallOf(await node("jammy-oldest"));
    assert.equal(oldest["apt"], {});
    for (const name of ["jammy-uefi-lvm", "noble-uefi-lvm"])
      assert.equal(autoinstallOf(await node(name))["apt"], { fallback: "abort" });
  });

  test("a verifier that reads back sees a changed first boot, an unknown key and a wrong size", async () => {
    const { compiled, nodes } = await rack();
    const name = "noble-uefi-lvm";
    const install = compiled.site?.byName.get(name)?.install;
    assert.ok(install);
    const artifacts = nodes.get(name) as readonly Artifact[];
    assert.equal(verifyInstall(artifacts, install), []);
    const spoilt = (from: string, to: string): string[] =>
      verifyInstall(
        artifacts.map((one) => {
          if (!one.name.startsWith("autoinstall/") || one.name.endsWith(".iso")) return one;
          const before = new TextDecoder().decode(one.bytes);
          const after = before.replaceAll(from, to);
          return { ...one, bytes: new TextEncoder().encode(after) };
        }),
        install,
      );
    assert.match(
      spoilt("  manage_etc_hosts: false", "  manage_etc_hosts: true").join(),
      "another first boot",
    );
    assert.match(spoilt("install-server", "install-sever").join(), 'unknown key "install-sever"');
    assert.match(spoilt("number: 1", "nummer: 1").join(), 'unknown key "nummer"');
    assert.match(spoilt("size: 1073741824", "size: 1GiB").join(), "size that the installer reads");
    assert.match(spoilt("grub_device: true", "grub_device: false").join(), "does not boot");
  });

  test("every name that an action uses stands above it", async () => {
    for (const [name, artifacts] of (await rack()).nodes) {
      const seen = new Set<string>();
      for (const action of autoinstallOf(artifacts).storage.config) {
        // A pool's own name, and the name of a dataset, refer to nothing.
        const own = { zpool: ["pool"], zfs: ["volume"] }[action["type"] as string] ?? [];
        for (const key of ["device", "volume", "volgroup", "pool"])
          if (typeof action[key] === "string" && !own.includes(key))
            assert.ok(seen.has(action[key] as string), `${name}: ${action["id"]} uses ${action[key]}`);
        for (const id of [...((action["devices"] ?? action["vdevs"] ?? []) as string[])])
          assert.ok(seen.has(id), `${name}: ${action["id"]} uses ${id}`);
        assert.not.ok(seen.has(action["id"] as string));
        seen.add(action["id"] as string);
      }
    }
  });

  test("the passphrase of a disk stands only where the installer needs it", async () => {
    const artifacts = await node("encrypted");
    assert.match(text(artifacts, "autoinstall/autoinstall.yaml"), "secret/luks.encrypted");
    assert.not.match(text(artifacts, "plan.json"), "secret/luks");
    assert.not.match(text(artifacts, "user-data"), "secret/luks");
  });
});

/** Runs a command of autoinstall as the installer does, with /target, /etc and tools of the test's own. */
function run(
  folder: string,
  command: string | readonly string[],
  tools: { readonly [name: string]: string } = {},
): { readonly status: number | null; readonly output: string } {
  const bin = join(folder, "bin");
  mkdirSync(bin, { recursive: true });
  for (const [name, body] of Object.entries(tools)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const words = typeof command === "string" ? ["sh", "-c", command] : command;
  const places: Record<string, string> = {
    "/target": "target",
    "/etc/os-release": "os-release",
    "/sys/block": "block",
    "/var/log": "log",
    "/run": "run",
  };
  const here = words.map((word) =>
    word.replaceAll(
      /(?<!\w)(\/target|\/etc\/os-release|\/sys\/block|\/var\/log|\/run)\b/g,
      (place) => `${folder}/${places[place]}`,
    ),
  );
  const done = spawnSync(here[0] as string, here.slice(1), {
    encoding: "utf8",
    env: { ...process.env, PATH: [bin, process.env["PATH"]].join(delimiter) },
  });
  return { status: done.status, output: `${done.stdout ?? ""}${done.stderr ?? ""}` };
}

/** dpkg's comparison, of versions such as 22.04.5, where there is no dpkg. */
const dpkg = '[ "$3" = ge ] && [ "$(printf "%s\\n%s\\n" "$2" "$4" | sort -V | head -n 1)" = "$4" ]';

suite("emit/autoinstall: commands", (test) => {
  test("every command is one that sh reads", async () => {
    for (const artifacts of (await rack()).nodes.values()) {
      const found = autoinstallOf(artifacts);
      for (const key of ["early-commands", "late-commands", "error-commands"] as const)
        for (const command of found[key])
          if (typeof command === "string")
            assert.is(spawnSync("sh", ["-n"], { input: command }).status, 0, command);
    }
  });

  test("a medium of another release, or an older one, is refused before anything is written", async () => {
    const [guard = ""] = autoinstallOf(await node("jammy-uefi-lvm"))["early-commands"];
    await inTemporaryFolder((folder) => {
      const on = (id: string, version: string) => {
        writeFileSync(join(folder, "os-release"), `VERSION_ID="${id}"\nVERSION="${version}"\n`);
        return run(folder, guard, { dpkg });
      };
      assert.is(on("22.04", "22.04.5 LTS (Jammy Jellyfish)").status, 0);
      assert.is(on("22.04", "22.04.1 LTS (Jammy Jellyfish)").status, 1);
      assert.is(on("22.04", "22.04 LTS (Jammy Jellyfish)").status, 1);
      const other = on("24.04", "24.04.2 LTS (Noble Numbat)");
      assert.is(other.status, 1);
      assert.match(
        other.output,
        "this medium is Ubuntu 24.04.2 LTS (Noble Numbat), and this seed is for 22.04.5",
      );
    });
  });

  test("a serial that no disk has, or two, is refused before anything is written", async () => {
    const [, guard = ""] = autoinstallOf(await node("jammy-uefi-raid1"))["early-commands"];
    await inTemporaryFolder((folder) => {
      const udevadm =
        'case "$3" in *loop0) ;; *) echo "ID_MODEL=M"; echo "ID_SERIAL=M_$(cat "$(echo "$3" | cut -d = -f 2)")_1";; esac';
      const on = (serials: readonly string[]) => {
        spawnSync("rm", ["-rf", join(folder, "block")]);
        mkdirSync(join(folder, "block"));
        writeFileSync(join(folder, "block", "loop0"), "");
        for (const [index, serial] of serials.entries())
          writeFileSync(join(folder, "block", `sd${index}`), serial);
        return run(folder, guard, { udevadm });
      };
      assert.is(on(["SAM0001234", "SAM0005678", "OTHER"]).status, 0);
      // Two paths to one disk are one disk.
      assert.is(on(["SAM0001234", "SAM0001234", "SAM0005678"]).status, 0);
      const missing = on(["SAM0001234"]);
      assert.is(missing.status, 1);
      assert.match(missing.output, "0 disks here have the serial SAM0005678");
      const two = on(["SAM0001234", "SAM00012345", "SAM0005678"]);
      assert.is(two.status, 1);
      assert.match(two.output, "2 disks here have the serial SAM0001234");
    });
  });

  test("the late commands are green on a good target and red when something is missing", async () => {
    const commands = autoinstallOf(await node("noble-uefi-lvm"))["late-commands"];
    await inTemporaryFolder((folder) => {
      const path = (name: string): string => join(folder, "target", name);
      const put = (name: string, content: string): void => {
        mkdirSync(join(path(name), ".."), { recursive: true });
        writeFileSync(path(name), content);
      };
      // update-grub, as GRUB's own reads the file: the default first, then grub.d in order.
      const curtin = [
        `[ "$1 $3 $4" = "in-target -- update-grub" ] || exit 9`,
        `GRUB_CMDLINE_LINUX="quiet"; for f in ${path("etc/default/grub.d")}/*.cfg; do . "$f"; done`,
        `mkdir -p ${path("boot/grub")}; echo "linux /vmlinuz root=UUID=x ro $GRUB_CMDLINE_LINUX" > ${path("boot/grub/grub.cfg")}`,
      ].join("\n");
      const statuses = (): (number | null)[] => commands.map((one) => run(folder, one, { curtin }).status);
      put("etc/cloud/cloud.cfg.d/90-installer-network.cfg", "network: {version: 2}\n");
      put("etc/cloud/cloud.cfg.d/99-installer.cfg", "userdata_raw: ... /usr/local/sbin/seedsmith-node ...\n");
      assert.equal(statuses(), [0, 0, 0, 0, 0]);
      assert.match(
        readFileSync(path("boot/grub/grub.cfg"), "utf8"),
        "ro quiet console=tty0 console=ttyS0,115200n8",
      );
      put("etc/cloud/cloud.cfg.d/99-installer.cfg", "userdata_raw: nothing\n");
      assert.is(statuses()[1], 1);
      put("etc/cloud/cloud.cfg.d/90-installer-network.cfg", "");
      assert.is(statuses()[0], 1);
      put("etc/netplan/00-installer-config.yaml", "network: {version: 2}\n");
      assert.is(statuses()[0], 0);
      // A boot loader that was not told.
      const deaf = commands.map(
        (one) => run(folder, one, { curtin: `echo quiet > ${path("boot/grub/grub.cfg")}` }).status,
      );
      assert.is(deaf[4], 1);
    });
  });

  test("the error commands save the logs without the file that has secrets", async () => {
    const commands = autoinstallOf(await node("noble-uefi-lvm"))["error-commands"];
    await inTemporaryFolder((folder) => {
      mkdirSync(join(folder, "log", "installer"), { recursive: true });
      mkdirSync(join(folder, "run"));
      mkdirSync(join(folder, "target", "var"), { recursive: true });
      writeFileSync(join(folder, "log", "installer", "curtin-install.log"), "what went wrong\n");
      writeFileSync(join(folder, "log", "installer", "autoinstall-user-data"), "a secret\n");
      const tools = { mountpoint: "exit 0", blkid: "exit 2", journalctl: "echo journal" };
      for (const command of commands.slice(0, 3)) assert.is(run(folder, command, tools).status, 0, command);
      // Without a stick nothing happens.
      assert.is.not(run(folder, commands[3] as string, tools).status, 0);
      assert.not.ok(existsSync(join(folder, "run", "seedlogs")));
      const saved = join(folder, "target", "var", "log", "installer-failed.tar.gz");
      const listed = spawnSync("tar", ["-tzf", existsSync(saved) ? saved : join(folder, "log", "x")], {
        encoding: "utf8",
      });
      assert.equal(listed.stdout.trim().split("\n").sort(), [
        "installer/",
        "installer/curtin-install.log",
        "installer/installer-journal.txt",
      ]);
    });
  });
});

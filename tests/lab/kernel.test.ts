import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import * as assert from "uvu/assert";
import { type KernelFiles, kernelHas } from "../../src/lab/kernel.ts";
import { suite } from "../support/suite.ts";

/** A kernel that tells what is given, and no more. */
function kernel(told: { loaded?: string; dep?: string; builtin?: string; config?: string }) {
  const folder = mkdtempSync(join(tmpdir(), "seedsmith-kernel-"));
  const files: KernelFiles = {
    loaded: join(folder, "loaded"),
    modules: join(folder, "modules"),
    config: join(folder, "config.gz"),
  };
  if (told.loaded !== undefined) mkdirSync(join(files.loaded, told.loaded), { recursive: true });
  if (told.dep !== undefined || told.builtin !== undefined) mkdirSync(files.modules);
  if (told.dep !== undefined) writeFileSync(join(files.modules, "modules.dep"), told.dep);
  if (told.builtin !== undefined) writeFileSync(join(files.modules, "modules.builtin"), told.builtin);
  if (told.config !== undefined) writeFileSync(files.config, gzipSync(told.config));
  const has = (name: string): boolean | null => kernelHas(name, files);
  return { has, remove: () => rmSync(folder, { recursive: true }) };
}

function tells(told: Parameters<typeof kernel>[0], name: string): boolean | null {
  const { has, remove } = kernel(told);
  try {
    return has(name);
  } finally {
    remove();
  }
}

const dep = `kernel/net/openvswitch/openvswitch.ko: kernel/net/nsh/nsh.ko kernel/lib/libcrc32c.ko
kernel/drivers/net/vxlan/vxlan.ko.xz: kernel/net/ipv4/udp_tunnel.ko.xz
`;

suite("what a kernel has", (test) => {
  test("a module that is loaded, built in or there to be loaded; dashes are underscores", () => {
    assert.is(tells({ loaded: "openvswitch" }, "openvswitch"), true);
    assert.is(tells({ dep }, "openvswitch"), true);
    assert.is(tells({ dep }, "vxlan"), true);
    assert.is(tells({ dep, builtin: "kernel/fs/dm-mod.ko\n" }, "dm_mod"), true);
    // What another one depends on stands on its own line, too, where it is a module.
    assert.is(tells({ dep }, "switch"), false);
    assert.is(tells({ dep: "", builtin: "" }, "openvswitch"), false);
  });

  test("without lists of modules, its configuration; what neither tells is not known", () => {
    assert.is(tells({ config: "CONFIG_OPENVSWITCH=y\n" }, "openvswitch"), true);
    assert.is(tells({ config: "# CONFIG_OPENVSWITCH is not set\n" }, "openvswitch"), false);
    assert.is(tells({ config: "CONFIG_OPENVSWITCH=m\n" }, "openvswitch"), false);
    assert.is(tells({ config: "CONFIG_NET=y\n" }, "openvswitch"), null);
    assert.is(tells({}, "openvswitch"), null);
  });
});

import * as assert from "uvu/assert";
import type { AptConfiguration } from "../../../src/lab/apt-sources.ts";
import {
  espGrub,
  finishCommand,
  finishedWord,
  finishPath,
  finishScript,
  fstab,
  identifiers,
  imageRecipe,
  layout,
  partitionTable,
  recipeKey,
} from "../../../src/lab/images/recipe.ts";
import { suite } from "../../support/suite.ts";

const apt: AptConfiguration = {
  sources: [
    {
      uris: ["http://deb.example/debian"],
      suites: ["bookworm"],
      components: ["main"],
      options: { "Signed-By": "/usr/share/keyrings/debian-archive-keyring.gpg" },
    },
  ],
  settings: [],
};
const recipe = imageRecipe(apt, "debian-12", "bookworm");
const key = recipeKey(recipe);
const ids = identifiers(key);

suite("the recipe of an image", (test) => {
  test("has a key that anything changes", () => {
    assert.match(key, /^[0-9a-f]{16}$/);
    assert.is(recipeKey(imageRecipe(apt, "debian-12", "bookworm")), key);
    assert.is.not(recipeKey(imageRecipe(apt, "debian-13", "trixie")), key);
    assert.is.not(recipeKey({ ...recipe, making: [...recipe.making, ""] }), key);
    assert.is.not(recipeKey({ ...recipe, files: { ...recipe.files, "/etc/motd": "hello\n" } }), key);
    assert.is.not(
      recipeKey(imageRecipe({ ...apt, settings: ['Acquire::Retries "3";'] }, "debian-12", "bookworm")),
      key,
    );
  });

  test("has what a first boot needs: cloud-init, growpart, a kernel, both boot loaders, a locale that exists", () => {
    for (const name of [
      "cloud-init",
      "cloud-guest-utils",
      "linux-image-cloud-amd64",
      "grub-cloud-amd64",
      "openssh-server",
    ])
      assert.ok(recipe.packages.includes(name), name);
    assert.is(recipe.files["/etc/default/locale"], "LANG=C.UTF-8\n");
    assert.match(recipe.files["/etc/default/grub.d/50-lab.cfg"] ?? "", "console=ttyS0,115200");
    assert.is(recipe.files["/etc/machine-id"], "");
  });

  test("has identifiers that are its own, and always the same", () => {
    assert.equal(identifiers(key), ids);
    const { esp, ...uuids } = ids;
    assert.match(esp, /^[0-9A-F]{8}$/);
    for (const uuid of Object.values(uuids))
      assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.is(new Set(Object.values(uuids)).size, 5);
    assert.is.not(identifiers("0".repeat(16)).root, ids.root);
  });
});

suite("the disk of an image", (test) => {
  test("has partitions that do not overlap, on whole mebibytes, with the root last and within the disk", () => {
    const parts = [layout.bios, layout.esp, layout.root];
    let end = 2048;
    for (const { start, size } of parts) {
      assert.is(start % 2048, 0);
      assert.ok(start >= end, `${start} begins before ${end}`);
      end = start + size;
    }
    // The second partition table takes 33 sectors.
    assert.ok(end + 33 <= layout.disk / 512);
  });

  test("is partitioned with the identifiers by which it is found again", () => {
    const table = partitionTable(ids);
    assert.match(
      table,
      `1 : start=262144, size=${layout.root.size}, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709`,
    );
    assert.match(table, "14 : start=2048, size=6144, type=21686148-6449-6E6F-744E-656564454649");
    assert.match(table, "15 : start=8192, size=253952, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
    assert.match(fstab(ids), `UUID=${ids.root} / ext4`);
    assert.match(fstab(ids), `UUID=${ids.esp.slice(0, 4)}-${ids.esp.slice(4)} /boot/efi vfat`);
    assert.match(espGrub(ids), `search.fs_uuid ${ids.root} root\n`);
  });

  test("is finished by a kernel that ends with a word and a power off", () => {
    assert.equal(finishCommand("/w/a,b.raw", "/w/vmlinuz", "/w/initrd.img", "/w/log"), [
      "qemu-system-x86_64",
      ...["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"],
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "file:/w/log"],
      ...["-kernel", "/w/vmlinuz", "-initrd", "/w/initrd.img"],
      ...["-append", `root=/dev/vda1 rw console=ttyS0 panic=-1 init=${finishPath}`],
      ...["-drive", "file=/w/a,,b.raw,if=virtio,format=raw,cache=unsafe"],
    ]);
    // The word comes only after everything: it is what the build goes by.
    assert.match(finishScript, `if finish; then\n  echo ${finishedWord}\nfi\n`);
    assert.match(finishScript, /grub-install [^\n]* && update-grub && sync && mount -o remount,ro \/\n}/);
    assert.is(finishScript.split(finishedWord).length, 2);
  });
});

/** What the storage actions of each layout and firmware make of real disks, as lsblk tells it afterwards. */
import { join } from "node:path";
import { load } from "js-yaml";
import * as assert from "uvu/assert";
import { racked } from "../support/build-site.ts";
import { testsFolder } from "../support/runner.ts";
import { suite } from "../support/suite.ts";
import { guestRoot } from "./guest-root.ts";
import { type Applied, applyStorage, type BlankDisk, type Device, type Task } from "./machine.ts";

const cache = process.env["SEEDSMITH_CACHE"] ?? join(testsFolder, "..", ".cache");
const mib = 2 ** 20;

/** As the fixture's machines have them, and one that nothing may touch. Sizes are small where nothing hangs on them. */
const disks: readonly BlankDisk[] = [
  { bus: "scsi", size: 80, serial: "SAM0001234", model: "Samsung SSD" },
  { bus: "scsi", size: 81, serial: "SAM0005678", model: "Samsung SSD" },
  { bus: "nvme", size: 20, serial: "S5GUNX0R100001" },
  { bus: "nvme", size: 20, serial: "S5GUNX0R100002" },
  { bus: "scsi", size: 30, serial: "ZA1000AA", wwn: "0x5000c500a1b2c3d4" },
  { bus: "scsi", size: 30, serial: "ZA1000BB", wwn: "0x5000c500a1b2c3d5" },
  { bus: "scsi", size: 30, serial: "ZA1000CC" },
  { bus: "scsi", size: 40, serial: "NOBODY0001" },
];

interface Autoinstall {
  readonly "early-commands": readonly string[];
  readonly storage: { readonly config: readonly object[] };
}

/** What the installer of each of the rack's nodes reads. */
async function autoinstallByNode(): Promise<ReadonlyMap<string, Autoinstall>> {
  const { nodes } = await racked();
  return new Map(
    [...nodes].map(([name, artifacts]) => {
      const bytes = artifacts.find((one) => one.name === "autoinstall/autoinstall.yaml")?.bytes;
      return [name, load(new TextDecoder().decode(bytes)) as Autoinstall];
    }),
  );
}

/** Every device of the machine by path; of one that hangs below several, the first. */
function devices(applied: Applied): ReadonlyMap<string, Device> {
  const found = new Map<string, Device>();
  const visit = (list: readonly Device[]): void => {
    for (const device of list) {
      if (!found.has(device.path)) found.set(device.path, device);
      visit(device.children ?? []);
    }
  };
  visit(applied.lsblk.blockdevices);
  return found;
}

/**
 * What a disk became, as short lines: `1 EFI System 1024M vfat /boot/efi`; what hangs below is indented. A partition that
 * reaches to the disk's end, but for the table's copy and alignment, has the size `rest`.
 */
function tree(applied: Applied, disk: string | undefined): string[] {
  const device = devices(applied).get(disk ?? "");
  assert.ok(device, `no disk ${disk}`);
  const lines: string[] = [String(device.pttype)];
  const parts = device.children ?? [];
  const unused = device.size - parts.reduce((sum, { size }) => sum + size, 0);
  const visit = (list: readonly Device[], indent: string): void => {
    for (const one of list) {
      const last = one === parts.at(-1) && unused < 4 * mib;
      const size = last ? "rest" : one.size % mib === 0 ? `${one.size / mib}M` : `${one.size}B`;
      const name =
        one.type === "part" ? `${/\d+$/.exec(one.name)?.[0]} ${one.parttypename}` : `${one.type} ${one.name}`;
      const mounted = one.mountpoint?.replace(/^\/target(?=\/|$)/, "");
      const words = [`${indent}${name}`, size, one.fstype, one.label, mounted === "" ? "/" : mounted];
      lines.push(words.filter((word) => word !== null && word !== undefined).join(" "));
      visit(one.children ?? [], `${indent}  `);
    }
  };
  visit(parts, "");
  return lines;
}

suite("storage actions on real disks", (test) => {
  const applied = new Map<string, Applied>();
  const result = (name: string): Applied => {
    const found = applied.get(name);
    assert.ok(found, `${name} was not applied`);
    assert.is(found.error, undefined);
    return found;
  };
  const chosen = (name: string): Record<string, string | null> => {
    const { chosen: paths, serials } = result(name);
    return Object.fromEntries(Object.entries(paths).map(([id, path]) => [id, serials[path] ?? null]));
  };

  test.before(async () => {
    const root = await guestRoot(cache, (line) => console.log(`  ${line}`));
    const nodes = await autoinstallByNode();
    const task = (name: string, firmware: string): Task => {
      const node = nodes.get(name) as Autoinstall;
      return {
        name,
        firmware,
        // The count of serials; the look at the medium asks for Ubuntu's.
        before: node["early-commands"].filter((command) => command.includes("ID_SERIAL")),
        actions: node.storage.config,
      };
    };
    const lvm = task("jammy-uefi-lvm", "uefi");
    const ambiguous: Task = {
      ...lvm,
      name: "ambiguous",
      before: lvm.before.map((command) => command.replaceAll("SAM0001234", "SAM000")),
    };
    const begun = Date.now();
    const tasks = [
      task("jammy-uefi-lvm", "uefi"),
      task("jammy-bios-raid1", "bios"),
      task("jammy-bios-lvm", "bios"),
      task("jammy-uefi-direct", "uefi"),
      task("jammy-uefi-raid1", "uefi"),
      task("jammy-bios-direct", "bios"),
      task("encrypted", "uefi"),
      task("data-by-facts", "uefi"),
      task("own-actions", "bios"),
      ambiguous,
    ];
    const answers = await applyStorage(root, disks, tasks, (line) => console.log(`  ${line}`));
    for (const answer of answers) applied.set(answer.name, answer);
    console.log(`  ${answers.length} tasks in one machine: ${Math.round((Date.now() - begun) / 1000)} s`);
  });

  test("the releases differ in nothing that was not applied", async () => {
    const nodes = await autoinstallByNode();
    for (const firmware of ["uefi", "bios"])
      for (const layout of ["lvm", "direct", "raid1"])
        assert.equal(
          nodes.get(`noble-${firmware}-${layout}`)?.storage,
          nodes.get(`jammy-${firmware}-${layout}`)?.storage,
        );
  });

  test("uefi, lvm: EFI, /boot and a volume group; root of the size that was asked for", () => {
    const it = result("jammy-uefi-lvm");
    assert.equal(chosen("jammy-uefi-lvm"), { "disk-os": "0QEMU_Samsung_SSD_SAM0001234" });
    const lines = tree(it, it.chosen["disk-os"]);
    assert.equal(lines, [
      "gpt",
      "1 EFI System 1024M vfat /boot/efi",
      "2 Linux filesystem 2048M ext4 /boot",
      "3 Linux filesystem rest LVM2_member",
      "  lvm ubuntu--vg-ubuntu--lv 61440M ext4 /",
    ]);
  });

  test("bios, lvm: a place for GRUB instead", () => {
    const it = result("jammy-bios-lvm");
    const lines = tree(it, it.chosen["disk-os"]);
    assert.equal(lines, [
      "gpt",
      "1 BIOS boot 1M",
      "2 Linux filesystem 2048M ext4 /boot",
      "3 Linux filesystem rest LVM2_member",
      "  lvm ubuntu--vg-ubuntu--lv 61440M ext4 /",
    ]);
  });

  test("direct: one root file system, of the kind that was asked for, on the smallest that fits", () => {
    for (const [name, first] of [
      ["jammy-uefi-direct", "1 EFI System 1024M vfat /boot/efi"],
      ["jammy-bios-direct", "1 BIOS boot 1M"],
    ] as const) {
      assert.equal(chosen(name), { "disk-os": "0QEMU_Samsung_SSD_SAM0001234" });
      const it = result(name);
      const lines = tree(it, it.chosen["disk-os"]);
      assert.equal(lines, ["gpt", first, "2 Linux filesystem rest xfs /"]);
    }
  });

  test("raid1: both disks carry the mirror, and each what its firmware boots from", () => {
    for (const [name, first, second] of [
      ["jammy-uefi-raid1", "1 EFI System 1024M vfat /boot/efi", "1 EFI System 1024M vfat EFI2"],
      ["jammy-bios-raid1", "1 BIOS boot 1M", "1 BIOS boot 1M"],
    ] as const) {
      const it = result(name);
      assert.equal(chosen(name), {
        "disk-os1": "0QEMU_Samsung_SSD_SAM0001234",
        "disk-os2": "0QEMU_Samsung_SSD_SAM0005678",
      });
      for (const [disk, boots] of [
        ["disk-os1", first],
        ["disk-os2", second],
      ] as const) {
        const lines = tree(it, it.chosen[disk]);
        assert.is(lines[1], boots);
        assert.match(lines[2] ?? "", /^2 Linux RAID rest linux_raid_member/);
        assert.match(lines[3] ?? "", /^ {2}raid1 md\w+ \d+[MB] ext4 \/$/);
        assert.is(lines.length, 4);
      }
    }
  });

  test("encrypted: LUKS below the volume group, /boot outside of it", () => {
    const it = result("encrypted");
    const lines = tree(it, it.chosen["disk-os"]);
    assert.equal(lines.slice(0, 3), [
      "gpt",
      "1 EFI System 1024M vfat /boot/efi",
      "2 Linux filesystem 2048M ext4 /boot",
    ]);
    assert.match(lines[3] ?? "", /^3 Linux filesystem rest crypto_LUKS$/);
    assert.match(lines[4] ?? "", /^ {2}crypt os-crypt \d+[MB] LVM2_member$/);
    assert.match(lines[5] ?? "", /^ {4}lvm ubuntu--vg-ubuntu--lv \d+M ext4 \/$/);
    assert.is(lines.length, 6);
  });

  test("data disks by facts: world wide names and serials find what they mean, by udev's own values", () => {
    assert.equal(chosen("data-by-facts"), {
      "disk-os1": result("data-by-facts").serials[result("data-by-facts").chosen["disk-os1"] as string],
      "disk-os2": result("data-by-facts").serials[result("data-by-facts").chosen["disk-os2"] as string],
      "disk-data1": "35000c500a1b2c3d4",
      "disk-data2-1": "35000c500a1b2c3d5",
      "disk-data2-2": "0QEMU_QEMU_HARDDISK_ZA1000CC",
    });
    const it = result("data-by-facts");
    for (const [disk, serial] of [
      ["disk-os1", "S5GUNX0R100001"],
      ["disk-os2", "S5GUNX0R100002"],
    ] as const)
      assert.match(it.serials[it.chosen[disk] as string] ?? "", serial);
    assert.match(tree(it, it.chosen["disk-data1"])[1] ?? "", /^1 Linux LVM rest LVM2_member$/);
    assert.match(
      tree(it, it.chosen["disk-data2-1"])[1] ?? "",
      /^1 Linux filesystem rest xfs \/srv\/node\/1$/,
    );
    assert.match(
      tree(it, it.chosen["disk-data2-2"])[1] ?? "",
      /^1 Linux filesystem rest xfs \/srv\/node\/2$/,
    );
    const groups = it.groups.report[0]?.vg ?? [];
    assert.ok(
      groups.some(
        ({ vg_name: name, pv_count: pvs, lv_count: lvs }) =>
          name === "cinder-volumes" && pvs === "1" && lvs === "0",
      ),
    );
  });

  test("actions of one's own", () => {
    const it = result("own-actions");
    assert.match(tree(it, it.chosen["disk0"])[2] ?? "", /^2 Linux filesystem rest ext4 \/$/);
  });

  test("a serial that two disks have ends the installation before anything is written", () => {
    const { error, untouched } = applied.get("ambiguous") as Applied;
    assert.match(
      error ?? "",
      "2 disks here have the serial SAM000, and one was to be wiped; nothing was changed",
    );
    assert.is(Object.keys(untouched).length, disks.length);
  });

  test("disks that were not chosen begin as before, in every case", () => {
    assert.is(applied.size, 10);
    for (const [name, { untouched }] of applied) {
      assert.ok(Object.keys(untouched).length >= 3, name);
      for (const [path, same] of Object.entries(untouched)) assert.ok(same, `${name} has written to ${path}`);
    }
  });
});

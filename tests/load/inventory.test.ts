/** Inventories in the three formats, written here in the shape that the tools give them. */
import * as assert from "uvu/assert";
import { readInventory } from "../../src/load/inventory.ts";
import { suite } from "../support/suite.ts";

const read = (value: unknown) => {
  const found = readInventory(value);
  if ("wrong" in found) throw new Error(found.wrong);
  return found;
};
const wrong = (value: unknown): string => {
  const found = readInventory(value);
  return "wrong" in found ? found.wrong : "";
};

const lsblk = {
  blockdevices: [
    { name: "loop0", path: "/dev/loop0", type: "loop", size: 1000, serial: null, wwn: null },
    { name: "sr0", path: "/dev/sr0", type: "rom", size: 1000, serial: "QM3", wwn: null },
    {
      ...{ name: "sdb", path: "/dev/sdb", type: "disk", size: 31914983424, serial: "AA0489", wwn: null },
      ...{
        model: "Flash Drive  ",
        vendor: "Generic ",
        rota: true,
        tran: "usb",
        fstype: "iso9660",
        label: "Ubuntu-Server 22.04.5",
      },
      children: [
        { name: "sdb1", path: "/dev/sdb1", type: "part", fstype: "iso9660", mountpoints: ["/cdrom"] },
      ],
    },
    {
      ...{
        name: "sda",
        path: "/dev/sda",
        type: "disk",
        size: "480103981056",
        serial: "S4EV",
        wwn: "0x5002538e40a1b2c3",
      },
      ...{
        model: "Samsung SSD 860",
        vendor: "ATA     ",
        rota: false,
        tran: "sata",
        fstype: null,
        pttype: "gpt",
      },
      children: [
        { name: "sda1", type: "part", fstype: "vfat", label: null, mountpoints: [null] },
        {
          name: "sda2",
          type: "part",
          fstype: "LVM2_member",
          children: [{ name: "vg-lv", type: "lvm", fstype: "ext4", label: "root" }],
        },
      ],
    },
    {
      name: "sdc",
      path: "/dev/sdc",
      type: "disk",
      size: 100,
      serial: "0000",
      wwn: "",
      rota: "1",
      pttype: "dos",
    },
    { name: "md0", path: "/dev/md0", type: "disk", size: 100, serial: null, wwn: null },
    { name: "mmcblk0boot0", path: "/dev/mmcblk0boot0", type: "disk", size: 100, serial: "x", wwn: null },
  ],
};

suite("load/inventory", (test) => {
  test("lsblk", () => {
    assert.equal(read(lsblk), {
      recorded: "lsblk",
      disks: [
        {
          path: "/dev/sda",
          size: 480103981056,
          serial: "S4EV",
          wwn: "0x5002538e40a1b2c3",
          model: "Samsung SSD 860",
          vendor: "ATA",
          bus: "sata",
          ssd: true,
          holds: ["vfat on sda1", "LVM2_member on sda2", "ext4 root on vg-lv"],
        },
        {
          path: "/dev/sdb",
          size: 31914983424,
          serial: "AA0489",
          model: "Flash Drive",
          vendor: "Generic",
          bus: "usb",
          medium: true,
          holds: ["iso9660 Ubuntu-Server 22.04.5", "iso9660 on sdb1"],
          ssd: false,
        },
        { path: "/dev/sdc", size: 100, holds: ["a dos table"], ssd: false },
      ],
    });
  });

  test("lsblk without bytes or serials says which option is missing", () => {
    assert.match(
      wrong({ blockdevices: [{ name: "sda", type: "disk", size: "447.1G", serial: "x" }] }),
      "--bytes",
    );
    assert.match(wrong({ blockdevices: [{ name: "sda", type: "disk", size: 1000 }] }), "--output-all");
  });

  test("lshw: the disks, with what only the NVMe controller knows", () => {
    const { disks, recorded } = read({
      id: "server",
      class: "system",
      children: [
        {
          id: "sata",
          class: "storage",
          children: [
            {
              ...{
                id: "disk:0",
                class: "disk",
                logicalname: "/dev/sda",
                product: "ST8000NM0055",
                vendor: "Seagate",
              },
              ...{
                serial: "ZA1000CC",
                size: 8001563222016,
                capabilities: { "7200rpm": "7200 rotations per minute" },
              },
              children: [
                {
                  ...{ id: "volume", class: "volume", logicalname: ["/dev/sda1", "/srv"] },
                  configuration: { filesystem: "xfs", label: "data" },
                },
              ],
            },
            { id: "cdrom", class: "disk", logicalname: ["/dev/cdrom", "/dev/sr0"] },
          ],
        },
        {
          ...{
            id: "nvme",
            class: "storage",
            product: "SAMSUNG MZ1L2480",
            vendor: "Samsung",
            serial: "S5GUNX0R100001",
          },
          children: [
            { id: "hwmon", class: "disk", logicalname: "hwmon1" },
            {
              ...{ id: "namespace:0", class: "disk", logicalname: "/dev/nvme0n1", size: 480103981056 },
              configuration: { wwid: "eui.36344730" },
            },
          ],
        },
      ],
    });
    assert.is(recorded, "lshw");
    assert.equal(disks, [
      {
        path: "/dev/nvme0n1",
        size: 480103981056,
        serial: "S5GUNX0R100001",
        wwn: "eui.36344730",
        model: "SAMSUNG MZ1L2480",
        vendor: "Samsung",
        bus: "nvme",
        ssd: true,
      },
      {
        path: "/dev/sda",
        size: 8001563222016,
        serial: "ZA1000CC",
        model: "ST8000NM0055",
        vendor: "Seagate",
        holds: ["xfs data on /dev/sda1"],
        ssd: false,
      },
    ]);
  });

  test("the installer's probe data: udev's own names, and which disk is its medium", () => {
    const device = (path: string, more: object) => ({
      DEVNAME: path,
      DEVTYPE: "disk",
      DEVPATH: `/devices/pci/${path.slice(5)}`,
      ...more,
    });
    const probe = {
      blockdev: {
        "/dev/sda": device("/dev/sda", {
          ...{
            ID_SERIAL: "35000c500a1b2c3d4",
            ID_SERIAL_SHORT: "5000c500a1b2c3d4",
            ID_SCSI_SERIAL: "ZA1000AA",
          },
          ...{ ID_MODEL: "ST8000NM0075", ID_VENDOR: "SEAGATE", ID_WWN: "0x5000c500a1b2c3d4", ID_BUS: "scsi" },
          ...{ ID_PATH: "pci-0000:02:00.0-sas-phy0-lun-0" },
          attrs: { size: "8001563222016", "queue/rotational": "1" },
        }),
        "/dev/sda1": {
          ...{ DEVNAME: "/dev/sda1", DEVTYPE: "partition", DEVPATH: "/devices/pci/sda/sda1" },
          ...{ ID_FS_TYPE: "ext4", ID_FS_LABEL: "old", attrs: {} },
        },
        "/dev/sdb": device("/dev/sdb", { ID_SERIAL: "Flash_AA-0:0", attrs: { size: "31914983424" } }),
        "/dev/sdb1": { DEVTYPE: "partition", DEVPATH: "/devices/pci/sdb/sdb1", attrs: {} },
        "/dev/sr0": device("/dev/sr0", { ID_CDROM: "1", attrs: { size: "1" } }),
        "/dev/dm-0": device("/dev/dm-0", { attrs: { size: "1" } }),
        "/dev/vda": device("/dev/vda", { ID_PATH: "pci-0000:00:04.0", attrs: { size: "10737418240" } }),
      },
      mount: [{ source: "overlay", target: "/", children: [{ source: "/dev/sdb1", target: "/cdrom" }] }],
    };
    const expected = [
      {
        path: "/dev/sda",
        size: 8001563222016,
        serial: "ZA1000AA",
        id_serial: "35000c500a1b2c3d4",
        wwn: "0x5000c500a1b2c3d4",
        model: "ST8000NM0075",
        vendor: "SEAGATE",
        bus: "scsi",
        id_path: "pci-0000:02:00.0-sas-phy0-lun-0",
        holds: ["ext4 old on sda1"],
        ssd: false,
      },
      { path: "/dev/sdb", size: 31914983424, id_serial: "Flash_AA-0:0", medium: true },
      { path: "/dev/vda", size: 10737418240, id_path: "pci-0000:00:04.0" },
    ];
    assert.equal(read(probe), { recorded: "probe", disks: expected });
    assert.equal(read({ storage: probe, network: {} }).disks, expected);
  });

  test("anything else says what it is not", () => {
    for (const value of [null, 1, [], {}, { blockdevices: {} }, "text"])
      assert.match(wrong(value), "neither", JSON.stringify(value));
    assert.match(wrong({ blockdevices: [] }), "no disk");
    const disk = { name: "sda", type: "disk", size: 1, serial: "x" };
    assert.match(wrong({ blockdevices: [disk, disk] }), "twice");
  });
});

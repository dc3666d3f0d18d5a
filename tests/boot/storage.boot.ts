/**
 * Volumes: a controller as a container and a storage node as a virtual machine, whose kernel has device mapper. Without
 * the processor's help it takes half an hour, so it is run by `npm run test:boot -- storage`, not by default.
 */
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { openstack, until } from "../cloud/machines.ts";
import { suite } from "../support/suite.ts";
import { say } from "./lab.ts";
import { addNode, makeLab, story, Workspace } from "./rendered.ts";
import { address as addressOf, mac, siteText } from "./site-text.ts";
import { Virtual } from "./virtual.ts";

const nodes = {
  con01: { profile: "controller", octet: 1, size: "cpus: 2, memory: 6G" },
  blk01: { profile: "storage", octet: 41, size: "cpus: 2, memory: 2G, disk: 12G", provider: false },
};
const address = addressOf(nodes.blk01);
const options = `options:
  openstack: { l2_agent: linuxbridge }
  cinder-storage: { device: /dev/disk/by-id/virtio-volumes }
`;

/** Makes an attachment of a volume, as nova would, and prints what a compute node is told. */
const attach = (volume: string): string => `
token=$(openstack token issue -f value -c id)
project=$(openstack token issue -f value -c project_id)
curl --silent --fail-with-body -X POST http://con01:8776/v3/$project/attachments \\
  -H "X-Auth-Token: $token" -H "OpenStack-API-Version: volume 3.54" -H "Content-Type: application/json" \\
  -d '{"attachment": {"volume_uuid": "${volume}", "mode": "rw", "connector": {"initiator": "INITIATOR", "ip": "${address}", "host": "blk01", "multipath": false, "platform": "x86_64", "os_type": "linux2"}}}'`;

interface Connection {
  readonly target_portal: string;
  readonly target_iqn: string;
  readonly auth_username: string;
  readonly auth_password: string;
}

suite("a storage node", (test) => {
  let lab: Lab;
  let con01: Machine;
  let blk01: Virtual;
  let volume = "";
  let way: Connection;
  const workspace = new Workspace();
  test.before(async () => {
    workspace.write("site.yaml", siteText(nodes, { more: options }));
    workspace.render();
    lab = await makeLab();
    con01 = await addNode(lab, workspace, "con01", { binds: ["/dev/net/tun"] });
    blk01 = await Virtual.make(lab, {
      name: "blk01",
      seed: workspace.path("blk01"),
      address,
      cards: [{ segment: "management", mac: mac(nodes.blk01, "management") }],
      cpus: 2,
      memory: 2048,
      disk: 12,
      data: { volumes: 4, used: 1 },
    });
  });
  test.after(async () => {
    if (process.env.SEEDSMITH_KEEP === "1") {
      lab.leaveStanding();
      return;
    }
    await lab?.destroy();
    workspace.remove();
  });

  /** Logs in to the volume on the storage node itself, through its address, as any initiator would. */
  const iscsi = async (work: string): Promise<string> =>
    await blk01.must(
      [
        "sh",
        "-ec",
        `exec 2>&1
systemctl start iscsid
iscsiadm -m discovery -t st -p ${way.target_portal} >/dev/null
set_() { iscsiadm -m node -T ${way.target_iqn} -p ${way.target_portal} -o update -n "$1" -v "$2"; }
set_ node.session.auth.authmethod CHAP
set_ node.session.auth.username '${way.auth_username}'
set_ node.session.auth.password '${way.auth_password}'
iscsiadm -m node -T ${way.target_iqn} -p ${way.target_portal} --login >/dev/null
udevadm settle
disk=$(readlink -f /dev/disk/by-path/*${way.target_iqn}*)
${work}
iscsiadm -m node -T ${way.target_iqn} -p ${way.target_portal} --logout >/dev/null`,
      ],
      300,
    );

  test("controller and storage node, powered on together, come up READY", async () => {
    const began = Date.now();
    await Promise.all([con01.start(), blk01.start()]);
    const first = con01.waitVerdict({ timeout: 2400 }).then((verdict) => {
      assert.is(verdict.outcome, "ready", `${verdict.reason}`);
      say(`con01 READY after ${Math.round(verdict.seconds)} s`);
    });
    const second = blk01.verdict(3600).then((verdict) => {
      assert.is(verdict?.event, "ready", JSON.stringify(verdict));
      say(`blk01 READY after ${Math.round((Date.now() - began) / 1000)} s`);
    });
    await Promise.all([first, second]).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await story(con01)}`);
    });
  });

  test("its services are up, as the client tells a person", async () => {
    const list = await openstack(
      con01,
      "openstack volume service list -f value -c Binary -c Host -c Status -c State",
    );
    say(list);
    assert.equal(list.split("\n").sort(), [
      "cinder-scheduler con01 enabled up",
      "cinder-volume blk01@lvm enabled up",
    ]);
  });

  test("a person makes a volume; it is handed out by iSCSI, and keeps what is written to it", async () => {
    volume = await openstack(con01, "openstack volume create --size 1 kept -f value -c id");
    const took = await until("the volume", 1800, async () => {
      const status = await openstack(con01, `openstack volume show ${volume} -f value -c status`);
      return status === "available" || status;
    });
    say(`the volume is available after ${took} s`);
    say(await blk01.must(["lvs", "--noheadings", "-o", "lv_name,lv_size,pool_lv", "cinder-volumes"]));
    const initiator = (await blk01.must(["cat", "/etc/iscsi/initiatorname.iscsi"])).split("=").at(-1) ?? "";
    const answer = await openstack(con01, attach(volume).replace("INITIATOR", initiator.trim()));
    way = (JSON.parse(answer) as { attachment: { connection_info: Connection } }).attachment.connection_info;
    say(`attached: ${way.target_iqn} at ${way.target_portal}`);
    assert.is(way.target_portal, `${address}:3260`);
    const told = await iscsi(`lsblk -bdno SIZE "$disk"
dd if=/dev/urandom of=/root/pattern bs=1M count=8 status=none
dd if=/root/pattern of="$disk" bs=1M oflag=direct status=none
# What the owner of a volume makes of it is none of this node's business.
pvs "$disk" && exit 1 || true`);
    assert.match(told, /^1073741824$/m);
  });

  test("a disk with something on it is left alone, and what is there is said", async () => {
    const used = "/dev/disk/by-id/virtio-used";
    const script = "/usr/local/lib/seedsmith/cinder-storage/volume-group.py";
    const take = async (): Promise<string> => {
      const before = await blk01.must(["sha256sum", used]);
      const done = await blk01.exec([script, "make", "another", used]);
      assert.is(done.status, 1, done.stdout);
      assert.is(await blk01.must(["sha256sum", used]), before);
      return done.stderr;
    };
    await blk01.must(["mkfs.ext4", "-q", "-L", "photos", used]);
    assert.match(await take(), /left alone.*signature: ext4 photos/);
    await blk01.must(["wipefs", "--quiet", "--all", used]);
    assert.match(await take(), /its first MiB is not empty/);
    await blk01.must([
      "sh",
      "-ec",
      `dd if=/dev/zero of=${used} bs=1M count=1 conv=notrunc status=none
echo 'type=linux, size=100M' | sfdisk --quiet ${used}; udevadm settle`,
    ]);
    assert.match(await take(), /part \S+ lies on it.*signature: dos/);
    const volumes = await blk01.exec([script, "make", "another", "/dev/disk/by-id/virtio-volumes"]);
    assert.match(volumes.stderr, /belongs to the volume group cinder-volumes/);
    const system = await blk01.exec([script, "make", "another", "/dev/vda"]);
    assert.match(system.stderr, /mounted at \//);
    const absent = await blk01.exec([script, "make", "another", "/dev/nowhere"]);
    assert.match(absent.stderr, /is no disk of this machine, which has:/);
  });

  test("after a power cut of both everything is there again", async () => {
    await Promise.all([con01.kill(), blk01.kill()]);
    const cut = new Date().toISOString();
    await Promise.all([con01.start(), blk01.start()]);
    // A service is "up" for a minute after it last said so: what counts is what it has said since.
    const took = await until("both services", 1500, async () => {
      const list = await openstack(
        con01,
        'openstack volume service list -f value -c Binary -c State -c "Updated At"',
        60,
      );
      const fresh = list.split("\n").flatMap((line) => {
        const [binary, state, updated = ""] = line.split(" ");
        return updated > cut ? [`${binary} ${state}`] : [];
      });
      return fresh.sort().join(", ") === "cinder-scheduler up, cinder-volume up" || list;
    });
    say(`both services are up ${took} s after power-on`);
    const read = await iscsi('cmp --bytes=8388608 /root/pattern "$disk" && echo same');
    assert.match(read, /^same$/m);
    for (const name of ["con01", "blk01"] as const) {
      // As long as at its first boot: the service reports before its driver, which here takes minutes, can make a volume.
      const argv = ["seedsmith-node", "check", "--within", "720"];
      const done = name === "con01" ? await con01.exec(argv, { timeout: 900 }) : await blk01.exec(argv, 1500);
      assert.is(done.status, 0, `${name}: ${done.stdout}${done.stderr}`);
    }
  });
});

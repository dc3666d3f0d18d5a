import { gunzipSync } from "node:zlib";
import * as assert from "uvu/assert";
import { carrierLimits, emitCarriers, nameUuid } from "../../src/emit/carriers.ts";
import type { Artifact } from "../../src/emit/lines.ts";
import { nodeEmitter, seedFiles } from "../../src/emit/node.ts";
import type { NodePlan } from "../../src/plan/model.ts";
import type { Carrier } from "../../src/validate/documents.ts";
import { readFat } from "../../src/verify/fat-reader.ts";
import { verifyNode } from "../../src/verify/reparse.ts";
import { networksSite } from "../support/build-site.ts";
import { suite } from "../support/suite.ts";

const decode = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

suite("carriers", (test) => {
  let plan: NodePlan;
  let artifacts: readonly Artifact[];
  test.before(async () => {
    const { compiled, nodes } = await networksSite();
    const node = compiled.site?.byName.get("driven");
    plan = compiled.plan?.plan(node as never) as NodePlan;
    artifacts = nodes.get("driven") ?? [];
  });
  const bytesOf = (name: string): Uint8Array | undefined => artifacts.find((one) => one.name === name)?.bytes;

  test("a node has what it asks for, and no other", async () => {
    const names = (list: readonly Artifact[] | undefined): string[] =>
      (list ?? []).map(({ name }) => name).sort();
    assert.equal(names(artifacts), [
      ...["config-drive.b64", "config-drive.img", "meta-data", "network-config", "plan.json"],
      ...["seed.img", "seed.iso", "user-data", "user-data.gz", "vendor-data"],
    ]);
    const { nodes } = await networksSite();
    assert.equal(names(nodes.get("single")), [...seedFiles, "plan.json", "seed.iso"].sort());
  });

  test("the config drive has user-data as it is, an id of its own, and the other files", () => {
    const { label, files } = readFat(bytesOf("config-drive.img") ?? new Uint8Array());
    assert.is(label, "CONFIG-2");
    const file = (name: string): string =>
      decode(files.find((one) => one.name === `openstack/latest/${name}`)?.bytes);
    assert.is(file("user_data"), decode(bytesOf("user-data")));
    assert.equal(JSON.parse(file("meta_data.json")), {
      uuid: nameUuid("networks-driven-1"),
      hostname: "driven",
      name: "driven",
    });
    assert.is(files.length, 4);
  });

  test("a name's UUID is one of version 8, always the same, and another for another generation", () => {
    // FNV-1a of 128 bits of "a" is d228cb696f1a8caf78912b704e4a8964, as its authors publish it.
    assert.is(nameUuid("a"), "d228cb69-6f1a-8caf-b891-2b704e4a8964");
    assert.match(
      nameUuid("networks-driven-1"),
      /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    assert.is.not(nameUuid("networks-driven-1"), nameUuid("networks-driven-2"));
  });

  test("what is compressed unpacks to what it was, and says nothing of when and where", () => {
    const zipped = bytesOf("user-data.gz") ?? new Uint8Array();
    assert.is(decode(gunzipSync(zipped)), decode(bytesOf("user-data")));
    assert.equal([...zipped.subarray(4, 8)], [0, 0, 0, 0]);
    assert.is(zipped[9], 255);
    const drive = gunzipSync(Buffer.from(decode(bytesOf("config-drive.b64")), "base64"));
    assert.is(Buffer.compare(drive, bytesOf("config-drive.img") ?? new Uint8Array()), 0);
  });

  test("what is damaged is seen when it is read back", () => {
    assert.equal(verifyNode(artifacts), []);
    for (const [name, at, said] of [
      ["seed.img", 60_000, /seed\.img/],
      ["config-drive.img", 60_000, /config-drive/],
      ["config-drive.b64", 400, /config-drive\.b64/],
      ["user-data.gz", 400, /user-data\.gz/],
    ] as const) {
      const damaged = artifacts.map((one) => {
        if (one.name !== name) return one;
        const bytes = one.bytes.slice();
        bytes[at] = (bytes[at] ?? 0) ^ 0x15;
        return { ...one, bytes };
      });
      assert.match(verifyNode(damaged).join("; "), said, name);
    }
  });

  // A seed that is too large: what does not compress.
  const seedOf = (size: number): Artifact[] => {
    const bytes = new Uint8Array(size);
    let state = 1;
    for (let index = 0; index < size; index++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      bytes[index] = state >>> 24;
    }
    return [{ name: "user-data", bytes, origins: [] }];
  };
  const asked = (carrier: Carrier): NodePlan => ({ ...plan, carriers: [{ carrier, from: plan.from }] });

  test("user-data has the limit of OpenStack's API, to the byte", () => {
    const limit = carrierLimits["user-data"].bytes;
    assert.is(Buffer.alloc(limit).toString("base64").length, 65_532);
    const over = emitCarriers(asked("user-data"), seedOf(limit + 10));
    assert.is(over.artifacts.length, 0);
    assert.match(over.faults[0]?.message ?? "", /may have 49149 bytes, and would have 49\d\d\d/);
    assert.is(over.faults[0]?.bearable, false);
    const zipped = emitCarriers(asked("user-data"), seedOf(limit - 100));
    assert.is(zipped.faults.length, 0);
    // Text that only fits compressed.
    const text = [{ name: "user-data", bytes: new Uint8Array(3 * limit).fill(0x61), origins: [] }];
    assert.is(emitCarriers(asked("user-data"), text).faults.length, 0);
  });

  test("a config drive has Ironic's limit", () => {
    const over = emitCarriers(asked("config-drive"), seedOf(64 * 2 ** 20 + 1));
    assert.is(over.artifacts.length, 0);
    assert.match(over.faults.map(({ message }) => message).join(), /may have 67108864 bytes/);
  });

  test("a FAT image has that of its format", () => {
    const huge = { length: 2 ** 31 } as Uint8Array;
    const over = emitCarriers(asked("vfat"), [{ name: "user-data", bytes: huge, origins: [] }]);
    assert.is(over.artifacts.length, 0);
    assert.match(over.faults[0]?.message ?? "", /FAT16/);
  });

  test("the seed's files are the same with and without carriers", async () => {
    const { compiled } = await networksSite();
    const node = compiled.site?.byName.get("driven");
    const bare = compiled.plan?.plan(node as never) as NodePlan;
    const vault = { reveal: (name: string) => name, passwordHash: () => "$6$x" };
    const [withThem, without] = [bare, { ...bare, carriers: [] }].map((one) =>
      nodeEmitter(compiled.guest, vault)(one).filter(({ name }) => name !== "plan.json"),
    );
    assert.equal(
      withThem?.map(({ name, bytes }) => [name, decode(bytes)]),
      without?.map(({ name, bytes }) => [name, decode(bytes)]),
    );
  });
});

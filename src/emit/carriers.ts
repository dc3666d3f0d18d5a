/**
 * Carriers: the forms in which a seed reaches a machine, beside its files and `seed.iso`, which are always made.
 */
import { createRequire } from "node:module";
import type { NodePlan } from "../plan/model.ts";
import type { Carrier } from "../validate/documents.ts";
import { writeFat } from "./fat.ts";
import type { Artifact } from "./lines.ts";
import { networkData } from "./network-data.ts";

/** What a carrier holds at most, in bytes, and who says so. */
export const carrierLimits: Readonly<
  Record<Carrier, { readonly bytes: number; readonly what: string; readonly instead: string }>
> = {
  vfat: {
    // FAT16 with its largest clusters. The files would have to be read into memory first.
    bytes: 65_524 * 32_768,
    what: "the files of a FAT16 image",
    instead: "leave vfat out of the carriers",
  },
  "config-drive": {
    bytes: 64 * 2 ** 20,
    what: "the config drive, as Ironic takes it",
    instead: "put large files where the node can fetch them",
  },
  "user-data": {
    // 65535 characters of base64 in nova's API.
    bytes: Math.floor(65_535 / 4) * 3,
    what: "the compressed user-data, as OpenStack's API takes it (65535 characters of base64)",
    instead: "use the carrier config-drive, vfat or the ISO image",
  },
};

/** The labels by which cloud-init finds images; FAT's are upper case. */
export const vfatLabel = "CIDATA";
export const configDriveLabel = "CONFIG-2";

/** Something that a carrier cannot hold. */
export interface CarrierFault {
  readonly carrier: Carrier;
  readonly message: string;
  readonly hint: string;
  readonly from: NodePlan["from"];
  readonly bearable: boolean;
}

/**
 * A UUID of a name: version 8 of RFC 9562 over the name's FNV-1a hash of 128 bits. cloud-init takes a config drive's
 * uuid for the instance-id, so it changes when the node's generation does, and only then.
 */
export function nameUuid(name: string): string {
  let hash = 0x6c62272e07bb014262b821756295c58dn;
  for (const byte of Buffer.from(name))
    hash = ((hash ^ BigInt(byte)) * 0x1000000000000000000013bn) % 2n ** 128n;
  const hex = hash.toString(16).padStart(32, "0");
  const variant = ((Number.parseInt(hex[16] ?? "0", 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    variant + hex.slice(17, 20),
    hex.slice(20),
  ].join("-");
}

/** Gzip without a clock and a system's name in it. */
function gzip(bytes: Uint8Array): Buffer {
  const { gzipSync } = createRequire(import.meta.url)("node:zlib") as typeof import("node:zlib");
  const zipped = gzipSync(bytes, { level: 9 });
  zipped.writeUInt8(255, 9);
  return zipped;
}

function json(value: object): Uint8Array {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
}

/** The files of a config drive. */
function configDrive(
  plan: NodePlan,
  userData: Uint8Array,
  network: object,
): { name: string; bytes: Uint8Array }[] {
  const meta = {
    uuid: nameUuid(`${plan.site}-${plan.node}-${plan.generation}`),
    hostname: plan.node,
    name: plan.node,
  };
  return [
    { name: "openstack/latest/meta_data.json", bytes: json(meta) },
    { name: "openstack/latest/network_data.json", bytes: json(network) },
    { name: "openstack/latest/user_data", bytes: userData },
    { name: "openstack/latest/vendor_data.json", bytes: json({}) },
  ];
}

/**
 * The carriers that a node's plan asks for.
 * @param seed the node's seed files, by their names
 * @returns what was made; where something does not fit, a fault in place of the file
 */
export function emitCarriers(
  plan: NodePlan,
  seed: readonly Artifact[],
): { readonly artifacts: readonly Artifact[]; readonly faults: readonly CarrierFault[] } {
  const artifacts: Artifact[] = [];
  const faults: CarrierFault[] = [];
  for (const { carrier, from } of plan.carriers) {
    const userData = seed.find(({ name }) => name === "user-data")?.bytes ?? new Uint8Array();
    const fits = (size: number): boolean => {
      const { bytes, what, instead } = carrierLimits[carrier];
      if (size <= bytes) return true;
      faults.push({
        carrier,
        message: `${what} may have ${bytes} bytes, and would have ${size}`,
        hint: instead,
        from,
        bearable: false,
      });
      return false;
    };
    const put = (name: string, bytes: Uint8Array): void => void artifacts.push({ name, bytes, origins: [] });
    switch (carrier) {
      case "vfat":
        if (fits(seed.reduce((sum, { bytes }) => sum + bytes.length, 0)))
          put("seed.img", writeFat(vfatLabel, seed));
        break;
      case "config-drive": {
        const { value, unsaid } = networkData(plan);
        for (const { message, hint, from: at, bearable } of unsaid)
          faults.push({ carrier, message: `in a config drive ${message}`, hint, from: at, bearable });
        if (unsaid.some(({ bearable }) => !bearable)) break;
        const files = configDrive(plan, userData, value);
        if (!fits(files.reduce((sum, { bytes }) => sum + bytes.length, 0))) break;
        const image = writeFat(configDriveLabel, files);
        if (!fits(image.length)) break;
        put("config-drive.img", image);
        put("config-drive.b64", Buffer.from(gzip(image).toString("base64")));
        break;
      }
      case "user-data": {
        const zipped = gzip(userData);
        if (fits(zipped.length)) put("user-data.gz", zipped);
        break;
      }
    }
  }
  return { artifacts, faults };
}

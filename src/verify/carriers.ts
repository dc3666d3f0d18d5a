/** Reads the carriers of a seed back, independently of what writes them. */
import { createRequire } from "node:module";
import type { Artifact } from "../emit/lines.ts";
import { seedFiles } from "../emit/node.ts";
import { fatDifferences, readFat } from "./fat-reader.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Compares what the carriers beside the ISO image carry with the seed's files; returns what is wrong. */
export function carrierDifferences(artifacts: readonly Artifact[]): string[] {
  const bytesOf = (name: string): Uint8Array | undefined => artifacts.find((one) => one.name === name)?.bytes;
  const wrong: string[] = [];
  const note = (name: string, differences: readonly string[]): void =>
    void wrong.push(...differences.map((difference) => `${name}: ${difference}`));
  const disk = bytesOf("seed.img");
  if (disk !== undefined)
    note(
      "seed.img",
      fatDifferences(
        disk,
        "CIDATA",
        artifacts.filter(({ name }) => seedFiles.includes(name)),
      ),
    );
  const drive = bytesOf("config-drive.img");
  const userData = bytesOf("user-data") ?? new Uint8Array();
  if (drive !== undefined) {
    const { label, files, faults } = readFat(drive);
    note("config-drive.img", faults);
    if (label !== "CONFIG-2") wrong.push(`config-drive.img: its label is ${label}`);
    const file = (name: string): Uint8Array =>
      files.find((one) => one.name === `openstack/latest/${name}`)?.bytes ?? new Uint8Array();
    if (Buffer.compare(file("user_data"), userData) !== 0)
      wrong.push("config-drive.img: its user_data is not user-data");
    for (const name of ["meta_data.json", "network_data.json", "vendor_data.json"]) {
      try {
        JSON.parse(decoder.decode(file(name)));
      } catch {
        wrong.push(`config-drive.img: its ${name} cannot be read`);
      }
    }
    const packed = bytesOf("config-drive.b64") ?? new Uint8Array();
    if (Buffer.compare(unzipped(Buffer.from(decoder.decode(packed), "base64")), drive) !== 0)
      wrong.push("config-drive.b64 does not unpack to config-drive.img");
  }
  const zipped = bytesOf("user-data.gz");
  if (zipped !== undefined && Buffer.compare(unzipped(zipped), userData) !== 0)
    wrong.push("user-data.gz does not unpack to user-data");
  return wrong;
}

function unzipped(bytes: Uint8Array): Buffer {
  const { gunzipSync } = createRequire(import.meta.url)("node:zlib") as typeof import("node:zlib");
  try {
    return gunzipSync(bytes);
  } catch {
    return Buffer.alloc(0);
  }
}

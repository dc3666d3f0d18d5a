/** A rendered seed on disk. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The files of a NoCloud seed; exactly these bytes are laid into the machine. */
export interface Seed {
  readonly "user-data": string | Uint8Array;
  readonly "meta-data": string | Uint8Array;
  readonly "network-config"?: string | Uint8Array;
  readonly "vendor-data"?: string | Uint8Array;
}

/** Their names. */
export const seedFiles = ["user-data", "meta-data", "network-config", "vendor-data"] as const;

/** Reads a seed, byte for byte, from its folder. */
export function readSeed(folder: string): Seed {
  const read = (name: string): Buffer => readFileSync(join(folder, name));
  const optional = (name: "network-config" | "vendor-data") =>
    existsSync(join(folder, name)) ? { [name]: read(name) } : {};
  return {
    "user-data": read("user-data"),
    "meta-data": read("meta-data"),
    ...optional("network-config"),
    ...optional("vendor-data"),
  };
}

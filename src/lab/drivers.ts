/** The drivers there are. Adding one is one file and a line here. */
import type { Driver } from "./driver.ts";

/**
 * How to load each, so that a command loads only those that it uses. Of several that run at native speed the first is
 * taken: what has a kernel and a disk of its own proves most, and multipass does not get all of the seed.
 */
const table: Readonly<Record<string, () => Promise<Driver>>> = {
  qemu: async () => (await import("./drivers/qemu.ts")).qemu,
  nspawn: async () => (await import("./drivers/nspawn.ts")).nspawn,
  multipass: async () => (await import("./drivers/multipass.ts")).multipass,
};

/** The drivers' names. */
export const driverNames: readonly string[] = Object.keys(table);

/** Gives a driver by its name, or null. */
export async function driverNamed(name: string): Promise<Driver | null> {
  return Object.hasOwn(table, name) ? ((await table[name]?.()) ?? null) : null;
}

/** All drivers. */
export async function allDrivers(): Promise<readonly Driver[]> {
  return await Promise.all(Object.values(table).map((load) => load()));
}

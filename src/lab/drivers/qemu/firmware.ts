/** Where UEFI lies on this host. */
import { existsSync } from "node:fs";
import type { Obstacle } from "../../driver.ts";

/** Code and an empty settings store, as packages lay them. Both of a pair have the same size. */
const places: readonly { readonly code: string; readonly settings: string }[] = [
  // Debian and Ubuntu; the older pair is the one of Debian 11 and Ubuntu 20.04.
  { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", settings: "/usr/share/OVMF/OVMF_VARS_4M.fd" },
  { code: "/usr/share/OVMF/OVMF_CODE.fd", settings: "/usr/share/OVMF/OVMF_VARS.fd" },
  // Fedora, Arch
  { code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", settings: "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
  { code: "/usr/share/edk2/x64/OVMF_CODE.4m.fd", settings: "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
  // qemu's own, by Homebrew
  ...["/opt/homebrew", "/usr/local"].map((prefix) => ({
    code: `${prefix}/share/qemu/edk2-x86_64-code.fd`,
    settings: `${prefix}/share/qemu/edk2-i386-vars.fd`,
  })),
];

/** UEFI for x86-64, or null. */
export function uefi(): { readonly code: string; readonly settings: string } | null {
  return places.find(({ code, settings }) => existsSync(code) && existsSync(settings)) ?? null;
}

/** What is missing where there is none. */
export const uefiMissing: Obstacle = {
  message: "there is no UEFI for virtual machines (OVMF), which nodes with firmware uefi need",
  hint: process.platform === "darwin" ? "brew reinstall qemu" : "apt-get install ovmf",
};

import { bringsToReady } from "./to-ready.ts";

// The firmware's PXE is off, as it would come first: all that it fetches comes by HTTP.
bringsToReady("UEFI HTTP boot, GRUB", {
  name: "http01",
  mac: "52:54:00:3d:00:04",
  firmware: "uefi",
  optionRom: false,
  httpOnly: true,
  loader: "grub",
  led: [/grub at 10\.61\.0\.4 was told to install/],
  shown: [
    />>Start HTTP Boot over IPv4/,
    /URI: http:\/\/10\.61\.0\.250\/loaders\/grubhttpx64\.efi/,
    /seedsmith: pxe: installing http01/,
    /seedsmith: pxe: http01 boots its disk/,
  ],
  withoutTftp: true,
});

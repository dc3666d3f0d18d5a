import { bringsToReady } from "./to-ready.ts";

bringsToReady("UEFI, shim and GRUB", {
  name: "grub01",
  mac: "52:54:00:3d:00:03",
  firmware: "uefi",
  optionRom: false,
  loader: "grub",
  led: [
    /sent \S+\/bootx64\.efi to 10\.61\.0\.3/,
    /sent \S+\/grubx64\.efi to 10\.61\.0\.3/,
    /sent \S+\/grub\/grub\.cfg to 10\.61\.0\.3/,
    /grub at 10\.61\.0\.3 was told to install/,
  ],
});

import { bringsToReady } from "./to-ready.ts";

bringsToReady("BIOS, GRUB", {
  name: "biosgrub01",
  mac: "52:54:00:3d:00:05",
  firmware: "bios",
  optionRom: true,
  loader: "grub",
  led: [/sent \S+\/grub\/i386-pc\/core\.0 to 10\.61\.0\.5/, /grub at 10\.61\.0\.5 was told to install/],
});

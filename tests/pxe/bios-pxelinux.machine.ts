import { bringsToReady } from "./to-ready.ts";

// There is no PXE in SeaBIOS: qemu's card brings it, which loads PXELINUX as any card's PXE would.
bringsToReady("BIOS, PXELINUX", {
  name: "pxelinux01",
  mac: "52:54:00:3d:00:02",
  firmware: "bios",
  optionRom: true,
  loader: "pxelinux",
  led: [/sent \S+\/lpxelinux\.0 to 10\.61\.0\.2/, /pxelinux at 10\.61\.0\.2 was told to install/],
});

import { bringsToReady } from "./to-ready.ts";

bringsToReady("BIOS, the card's own iPXE", {
  name: "ipxe01",
  mac: "52:54:00:3d:00:01",
  firmware: "bios",
  optionRom: true,
  loader: "ipxe",
  led: [],
});

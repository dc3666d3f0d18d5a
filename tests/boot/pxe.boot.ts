/** One machine that boots from nothing but the network: the test of `npm run test:pxe -- bios-ipxe`, as it is. */
import "../pxe/bios-ipxe.machine.ts";

/** Boots a machine, says so, and waits to be killed: the crash that lab.boot.ts cleans up after. */
import { Lab } from "../../src/lab/lab.ts";
import { management, node, provider } from "./handwritten.ts";
import { base, cache } from "./lab.ts";

const lab = await Lab.create({ cache, base: await base() });
await lab.addSegment(management);
await lab.addSegment(provider);
const machine = await lab.addMachine(node(1, ""));
await machine.start();
await machine.waitCloudInit(900);
console.log(`booted ${lab.id}`);
setInterval(() => {}, 1000);

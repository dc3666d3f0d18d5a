/**
 * qemu's user network offers addresses by DHCP, and cannot be told not to. On a lab's network that is a second
 * server beside the site's own. It has sixteen leases: taken by us at the start, it has no more to offer.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { poll } from "../../command.ts";
import type { Control } from "./control.ts";

const leases = 16;

/** The sum that an IPv4 header carries. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An Ethernet frame with a DHCPDISCOVER of the client number `index`. */
export function discover(index: number): Buffer {
  const mac = Buffer.from([0x52, 0x54, 0x00, 0xff, 0xff, index]);
  const bootp = Buffer.alloc(300);
  bootp.set([1, 1, 6, 0]);
  bootp.writeUInt32BE(0x5eed0000 + index, 4);
  // The answer is to be broadcast: the client has no address.
  bootp.writeUInt16BE(0x8000, 10);
  bootp.set(mac, 28);
  bootp.set([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255], 236);
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(68, 0);
  udp.writeUInt16BE(67, 2);
  udp.writeUInt16BE(udp.length + bootp.length, 4);
  const ip = Buffer.alloc(20);
  ip.set([0x45, 0, 0, 0, 0, index, 0, 0, 64, 17]);
  ip.writeUInt16BE(ip.length + udp.length + bootp.length, 2);
  ip.fill(0xff, 16, 20);
  ip.writeUInt16BE(checksum(ip), 10);
  return Buffer.concat([Buffer.alloc(6, 0xff), mac, Buffer.from([8, 0]), ip, udp, bootp]);
}

async function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

/**
 * Takes all leases of the user network of a hub.
 * @param hub its number
 * @returns whether all were given
 */
export async function takeLeases(control: Control, hub: number): Promise<boolean> {
  const socket = await bound();
  // A port that is free now: nobody else is told of it.
  const spare = await bound();
  const port = spare.address().port;
  spare.close();
  const id = `lease${hub}`;
  const end = (number: number) => ({ type: "inet", host: "127.0.0.1", port: String(number) });
  let offers = 0;
  socket.on("message", (frame) => {
    // An offer: from the server's port, with the reply's code.
    if (frame.length > 42 && frame.readUInt16BE(34) === 67 && frame[42] === 2) offers += 1;
  });
  try {
    await control.run("netdev_add", {
      type: "dgram",
      id,
      local: end(port),
      remote: end(socket.address().port),
    });
    await control.run("netdev_add", { type: "hubport", id: `${id}-port`, hubid: hub, netdev: id });
    for (let index = 0; index < leases; index += 1) socket.send(discover(index), port, "127.0.0.1");
    const all = await poll(20, () => (offers >= leases ? true : null), 0.02);
    await control.run("netdev_del", { id: `${id}-port` });
    await control.run("netdev_del", { id });
    return all === true;
  } finally {
    socket.close();
  }
}

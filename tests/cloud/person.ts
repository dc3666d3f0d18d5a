/** What a person does with a cloud, and what she sees of it from outside. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import * as assert from "uvu/assert";
import type { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { cache, story } from "../boot/rendered.ts";
import { testImage } from "./image.ts";
import { openstack, until } from "./machines.ts";

/** An instance behind a router with a floating address, or on the provider network itself. */
export interface Instance {
  readonly name: string;
  readonly network: "selfservice" | "provider";
  /** Where it is reached from outside. */
  address: string;
  /** Its instance id, which it serves over HTTP. */
  id: string;
}

export function instance(name: string, network: Instance["network"]): Instance {
  return { name, network, address: "", id: "" };
}

/** Uploads the image that instances boot. */
export async function uploadImage(controller: Machine): Promise<void> {
  copyFileSync(testImage(cache), join(controller.root, "root", "image"));
  await openstack(
    controller,
    "openstack image create --disk-format raw --container-format bare --file /root/image test -f value -c status",
  );
}

export async function createServer(controller: Machine, { name, network }: Instance): Promise<void> {
  await openstack(
    controller,
    `openstack server create --image test --flavor m1.nano --network ${network} ${name} -f value -c id`,
  );
}

/** Waits until all are ACTIVE. @param within seconds @throws at once when one is in ERROR */
export async function untilActive(
  controller: Machine,
  instances: readonly Instance[],
  compute: Machine,
  within = 600,
): Promise<void> {
  await until("all ACTIVE", within, async () => {
    const list = await openstack(controller, "openstack server list -f value -c Name -c Status");
    assert.not.match(list, "ERROR", `${list}\n${await story(compute)}`);
    const lines = list.split("\n");
    return instances.every(({ name }) => lines.includes(`${name} ACTIVE`)) || list;
  });
}

/**
 * Waits until an instance's console says that it is up.
 * @param within seconds
 * @returns a fact of its console by name
 */
export async function untilUp(
  controller: Machine,
  { name }: Instance,
  within = 300,
): Promise<(name: string) => string> {
  const read = (): Promise<string> => openstack(controller, `openstack console log show ${name}`);
  let log = "";
  await until(`console of ${name}`, within, async () => {
    log = await read();
    return /TEST ready/.test(log) || log.split("\n").slice(-3).join("; ");
  });
  return (fact) => new RegExp(`TEST ${fact} (\\S+)`).exec(log)?.[1] ?? "";
}

/** A floating address for an instance. @returns it */
export async function giveFloatingAddress(controller: Machine, { name }: Instance): Promise<string> {
  const address = await openstack(
    controller,
    "openstack floating ip create provider -f value -c floating_ip_address",
  );
  await openstack(controller, `openstack server add floating ip ${name} ${address}`);
  return address;
}

/** Whether an instance answers ping and serves its id, as somebody outside of the cloud sees it. */
export async function answers(lab: Lab, { address, id }: Instance): Promise<true | string> {
  const ping = await lab.outside(["ping", "-c", "1", "-W", "2", address]);
  if (ping.status !== 0) return `${address} does not answer ping`;
  const page = await lab.outside(["curl", "--silent", "--max-time", "5", `http://${address}/`]);
  return page.stdout.trim() === id || `http://${address}/ says "${page.stdout.trim()}", not ${id}`;
}

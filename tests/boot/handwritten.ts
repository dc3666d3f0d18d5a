/** Seeds written by hand, for proving the lab without the compiler. */
import type { MachineOptions } from "../../src/lab/machine.ts";
import type { Segment } from "../../src/lab/router.ts";
import type { Seed } from "../../src/lab/seed.ts";

/** The networks of the seeds below, with the addresses of the router. */
export const management: Segment = { name: "management", addresses: ["10.0.0.254/24"] };
export const provider: Segment = { name: "provider", addresses: ["198.51.100.1/24"] };

/** A node with a management address and a provider interface without one, as the compiler renders it. */
export function node(index: number, userData: string): MachineOptions {
  const mac = (net: string) => `52:54:00:0${net}:00:0${index}`;
  const seed: Seed = {
    "meta-data": `instance-id: lab-node${index}-1\nlocal-hostname: node${index}\n`,
    "network-config": `version: 2
ethernets:
  management:
    match: { macaddress: "${mac("a")}" }
    dhcp4: false
    dhcp6: false
    accept-ra: false
    addresses: [10.0.0.${index}/24]
    routes: [{ to: 0.0.0.0/0, via: 10.0.0.254 }]
    nameservers: { addresses: [10.0.0.254], search: [lab.example] }
  provider:
    match: { macaddress: "${mac("b")}" }
    set-name: provider
    dhcp4: false
    dhcp6: false
    link-local: []
    optional: true
`,
    "user-data": `#cloud-config
hostname: node${index}
locale: C.UTF-8
${userData}`,
    "vendor-data": "",
  };
  const ports = [
    { segment: "management", name: "eth0", mac: mac("a") },
    { segment: "provider", name: "provider", mac: mac("b") },
  ];
  return { name: `node${index}`, seed, ports };
}

/** Sites of any size: three controllers, the rest computes. */

/** Names of the profiles of controllers and of computes. */
export interface Kinds {
  readonly controller: string;
  readonly compute: string;
}

/** The text of a site file with `count` nodes, at most 60,000, on a management network of /16. */
export function largeSite(count: number, kinds: Kinds): string {
  const lines = [
    "site: bench",
    "target: ubuntu-22.04",
    "domain: bench.example",
    "networks:",
    "  management: { cidr: 10.0.0.0/16, gateway: 10.0.255.254, nameservers: [10.0.255.254] }",
    "  provider: { cidr: 203.0.113.0/24, gateway: 203.0.113.1 }",
    "front: { name: api, address: 10.0.255.1 }",
    "access:",
    "  users: [{ name: ops, ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBenchBenchBench bench] }]",
    "nodes:",
  ];
  const hex = (value: number): string => value.toString(16).padStart(2, "0");
  for (let index = 0; index < count; index++) {
    const controller = index < 3;
    const name = controller ? `con0${index + 1}` : `com${String(index - 2).padStart(5, "0")}`;
    const mac = `${hex(index >> 8)}:${hex(index & 255)}`;
    const place = index + 1;
    lines.push(
      `  ${name}:`,
      `    profile: ${controller ? kinds.controller : kinds.compute}`,
      "    interfaces:",
      `      management: { mac: "52:54:00:0a:${mac}", address: 10.0.${Math.floor(place / 250)}.${(place % 250) + 1} }`,
      `      provider: { mac: "52:54:00:cb:${mac}" }`,
    );
  }
  return `${lines.join("\n")}\n`;
}

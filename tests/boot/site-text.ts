/** Sites of boot tests as text, where a test has nodes of its own. Their networks are those of tests/boot/site/site.yaml. */

export interface SiteNode {
  readonly profile: string;
  /** The last octet of its addresses on the management network: of 10.0.0.0/24 and, in hexadecimal, of each MAC address. */
  readonly octet: number;
  /** Lines of its `size`, such as `cpus: 2, memory: 6G`. */
  readonly size?: string;
  /** False: on the management network alone. */
  readonly provider?: boolean;
}

export const address = ({ octet }: SiteNode): string => `10.0.0.${octet}`;

export const mac = ({ octet }: SiteNode, network: "management" | "provider"): string =>
  `52:54:00:${network === "management" ? "0a" : "cb"}:00:${octet.toString(16).padStart(2, "0")}`;

/**
 * @param more what comes after the nodes: options, a front
 * @param names whether the provider network has a name server, which instances are told
 */
export function siteText(
  nodes: { readonly [name: string]: SiteNode },
  { more = "", names = false }: { readonly more?: string; readonly names?: boolean } = {},
): string {
  const entries = Object.entries(nodes).map(
    ([name, node]) => `  ${name}:
    profile: ${node.profile}
${node.size === undefined ? "" : `    size: { ${node.size} }\n`}    interfaces:
      management: { mac: "${mac(node, "management")}", address: ${address(node)} }
${node.provider === false ? "" : `      provider: { mac: "${mac(node, "provider")}" }\n`}`,
  );
  return `site: boot
target: debian-12
networks:
  management: { cidr: 10.0.0.0/24, gateway: 10.0.0.254, nameservers: [10.0.0.254] }
  provider: { cidr: 198.51.100.0/24, gateway: 198.51.100.1${names ? ", nameservers: [198.51.100.1]" : ""} }
access: { users: [{ name: ops, password: true }] }
nodes:
${entries.join("")}${more}`;
}

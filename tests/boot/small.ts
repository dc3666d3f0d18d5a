/** Workspaces with small nodes, for tests that plant faults and interrupt. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Workspace } from "./rendered.ts";

/** A node with little to do, so that a fault costs seconds. */
const smallNode = (name: string, octet: string, address: number, more = ""): string => `
  ${name}:
    profile: small
    interfaces:
      management: { mac: "52:54:00:0a:00:${octet}", address: 10.0.0.${address} }
      provider: { mac: "52:54:00:cb:00:${octet}" }${more}
`;

const smallProfile = "profile: small\nsummary: A node for faults\ncomponents: [small]\n";

/** The component that carries the faults; each test plants its own. */
const component = (body: string): string =>
  `component: small\nsummary: What the fault tests plant things in\n${body}`;

/** A workspace whose nodes run one component, made of `body`. */
export function smallWorkspace(
  body: string,
  nodes: readonly (readonly [string, string, number])[] = [["small", "15", 21]],
): Workspace {
  const workspace = new Workspace();
  const site = readFileSync(join(workspace.folder, "site.yaml"), "utf8");
  workspace.write(
    "site.yaml",
    site.slice(0, site.indexOf("nodes:")) +
      "nodes:" +
      nodes.map(([name, octet, address]) => smallNode(name, octet, address)).join(""),
  );
  workspace.write("profiles/small.yaml", smallProfile);
  workspace.write("templates/components/small/component.yaml", component(body));
  return workspace;
}

/** Where the planted component stands in the workspace. */
export const componentFile = "templates/components/small/component.yaml";

/** What the small nodes install, so that apt has something to do. */
export const good = "packages: [bc]\n";

/**
 * The scope of templates: closed, documented in docs/components.md, and the same for every component. Views are
 * getters, so that only what a template names is computed.
 */
import { type Filled, Text, type Value } from "../core/text.ts";
import type { SiteDoc } from "../validate/documents.ts";
import { formatAddress, netmask } from "./address.ts";
import type { Component, Library, Node, Site } from "./model.ts";
import { type Scope, Unavailable } from "./template.ts";

/** What stands beside the components in a scope: no component may be named like this. */
export const scopeNames: ReadonlySet<string> = new Set([
  ...["node", "site", "target", "options", "names", "group", "needs", "secrets", "instances"],
  ...["params", "gives", "host", "address", "members", "many"],
]);

type Draft = Omit<Node, "components" | "options" | "layers">;

/** A lazily computed property. */
export function lazy<T extends object>(target: T, name: string, compute: () => unknown): T {
  Object.defineProperty(target, name, {
    enumerable: true,
    configurable: true,
    get() {
      const value = compute();
      Object.defineProperty(target, name, { value, enumerable: true, configurable: true });
      return value;
    },
  });
  return target;
}

function nodeScope(node: Draft & Partial<Pick<Node, "components">>, library: Library | null): Scope {
  const scope: Record<string, Value | Unavailable> = {
    name: node.name,
    fqdn: node.fqdn ?? node.name,
    address:
      node.address ??
      new Unavailable({ code: "bad-address", message: `node "${node.name}" has no management address` }),
    workers: node.workers,
    cpus: node.cpus,
    generation: node.generation,
    profile: node.profile,
  };
  lazy(scope, "networks", () =>
    Object.fromEntries(
      [...node.interfaces].map(([name, nic]) => [
        name,
        {
          cidr: nic.network.doc.cidr,
          prefix: nic.network.cidr.prefix,
          netmask: netmask(nic.network.cidr.prefix),
          network: formatAddress(nic.network.cidr.network),
          address:
            nic.address ??
            new Unavailable({
              code: "bad-address",
              message: `node "${node.name}" has no address on ${name}`,
              hint: `give interfaces.${name} an address`,
            }),
          gateway:
            nic.network.doc.gateway ??
            new Unavailable({ code: "unknown-name", message: `the network ${name} has no gateway` }),
          mtu: nic.mtu ?? 1500,
          interface:
            nic.name ??
            new Unavailable({
              code: "unknown-name",
              message: `the interface of ${name} has no name of its own`,
              hint: `give the node's interfaces.${name} a name, or do without`,
            }),
        },
      ]),
    ),
  );
  if (node.components !== undefined && library !== null) {
    const components = node.components;
    lazy(scope, "runs", () => {
      const here = new Set(components.map(({ name }) => name));
      return Object.fromEntries([...library.components.keys()].map((name) => [name, here.has(name)]));
    });
  }
  return scope;
}

const targetScopes = new WeakMap<object, Scope>();

function targetScope(node: Draft): Scope {
  let scope = targetScopes.get(node.target);
  if (scope === undefined) {
    const { target, family, version, codename, arch } = node.target;
    scope = { name: target, family, version, codename, arch: arch ?? "amd64" };
    targetScopes.set(node.target, scope);
  }
  return scope;
}

/** What an option's default, and the `when` of a requirement, may name. */
export function optionScope(
  node: Draft,
  site: SiteDoc | undefined,
  component: Component,
  options: { readonly [option: string]: Value },
  known: ReadonlyMap<string, { readonly [option: string]: Value }>,
  library: Library,
): Scope {
  const scope: Record<string, Value | undefined> = {
    node: nodeScope(node, null) as Value,
    target: targetScope(node) as Value,
    options,
  };
  if (site !== undefined) scope["site"] = { name: site.site };
  for (const name of required(component, library)) {
    const values = known.get(name);
    if (values !== undefined) scope[name] = values;
  }
  return scope as Scope;
}

const requiredOf = new WeakMap<Component, readonly string[]>();

/** The components that a component requires, directly or not. */
export function required(component: Component, library: Library): readonly string[] {
  let names = requiredOf.get(component);
  if (names === undefined) {
    const seen = new Set<string>();
    const visit = (one: Component): void => {
      for (const item of one.doc.requires ?? []) {
        const name = typeof item === "string" ? item : item.use;
        const next = library.components.get(name);
        if (next === undefined || seen.has(name)) continue;
        seen.add(name);
        visit(next);
      }
    };
    visit(component);
    names = [...seen];
    requiredOf.set(component, names);
  }
  return names;
}

/** One member of a group as templates see it. */
export function memberScope(node: Node, index: number, count: number): { readonly [key: string]: Value } {
  return {
    name: node.name,
    host: node.name,
    address: node.address ?? "",
    index,
    first: index === 0,
    last: index === count - 1,
  };
}

/**
 * The nodes that run a component, as templates see them: host and address are the only member's, or the front's.
 */
export function groupScope(component: Component, members: readonly Node[], site: Site): Scope {
  const views = members.map((node, index) => memberScope(node, index, members.length));
  const only = members.length === 1 ? members[0] : undefined;
  const front = site.doc.front;
  let host: Value | Unavailable;
  let address: Value | Unavailable;
  if (only !== undefined) {
    host = only.name;
    address = only.address ?? "";
  } else if (component.doc.front === true && front !== undefined) {
    host = front.name;
    address = front.address;
  } else {
    const why =
      component.doc.front === true
        ? new Unavailable({
            code: "missing-front",
            message: `"${component.name}" runs on ${members.length} nodes that others reach by one name, and the site has no front`,
            hint: "add front: { name: ..., address: ... } to the site",
          })
        : new Unavailable({
            code: "missing-front",
            message: `"${component.name}" runs on ${members.length} nodes and has no front, so only its members can be named`,
            hint: "use members, or say front: true in the component",
          });
    host = why;
    address = why;
  }
  return {
    members: views,
    first: views[0] ?? null,
    many: members.length > 1,
    count: members.length,
    host,
    address,
  };
}

/** Everything but needs, secrets and instances, which the plan adds. */
export function baseScope(
  node: Node,
  component: Component | null,
  site: Site,
  library: Library,
): Record<string, Value | Unavailable | undefined> {
  const scope: Record<string, Value | Unavailable | undefined> = {};
  lazy(scope, "node", () => nodeScope(node, library));
  lazy(scope, "site", () => siteScope(site));
  scope["target"] = targetScope(node) as Value;
  if (component !== null) {
    scope["options"] = node.options.get(component.name) ?? {};
    for (const name of required(component, library)) {
      const values = node.options.get(name);
      if (values !== undefined) scope[name] = values;
    }
    lazy(scope, "names", () => namesScope(component, node));
    lazy(scope, "group", () => groupScope(component, site.groups.get(component.name) ?? [], site));
  } else {
    for (const [name, values] of node.options) scope[name] = values;
  }
  return scope;
}

const siteScopes = new WeakMap<Site, Scope>();

function siteScope(site: Site): Scope {
  let scope = siteScopes.get(site);
  if (scope === undefined) {
    const made: Record<string, Value | Unavailable | undefined> = {
      name: site.name,
      domain: site.doc.domain ?? "",
    };
    lazy(made, "nodes", () =>
      site.nodes.map((node) => ({
        name: node.name,
        fqdn: node.fqdn ?? node.name,
        address: node.address ?? "",
      })),
    );
    lazy(made, "networks", () =>
      Object.fromEntries(
        [...site.networks].map(([name, { doc, cidr }]) => [
          name,
          {
            cidr: doc.cidr,
            prefix: cidr.prefix,
            netmask: netmask(cidr.prefix),
            gateway: doc.gateway ?? "",
            mtu: doc.mtu ?? 1500,
          },
        ]),
      ),
    );
    scope = made;
    siteScopes.set(site, scope);
  }
  return scope;
}

function namesScope(component: Component, node: Node): Scope {
  const scope: Record<string, Value | Unavailable> = {};
  for (const [word, value] of Object.entries(component.doc.names ?? {})) {
    const found =
      typeof value === "string" ? value : (value[node.target.target] ?? value[node.target.family]);
    scope[word] =
      found ??
      new Unavailable({
        code: "missing-name",
        message: `the word "${word}" of "${component.name}" has no value for ${node.target.target}`,
        hint: `add ${node.target.target}: or ${node.target.family}: to names.${word}`,
      });
  }
  return scope;
}

/** A hole for a secret. */
export function secretHole(name: string): Filled {
  return new Text([{ secret: name }]);
}

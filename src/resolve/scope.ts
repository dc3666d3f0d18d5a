/**
 * The scope of templates: closed, documented in docs/components.md, and the same for every component. Views are
 * getters, so that only what a template names is computed.
 */
import { type Filled, Text, type Value } from "../core/text.ts";
import type { Role, SiteDoc } from "../validate/documents.ts";
import { formatIp, netmask } from "./address.ts";
import type { MachineFacts } from "./install.ts";
import type { Component, Interface, Library, Network, NetworkRange, Node, Site } from "./model.ts";
import { type Scope, Unavailable } from "./template.ts";

/** What stands beside the components in a scope: no component may be named like this. */
export const scopeNames: ReadonlySet<string> = new Set([
  ...["node", "site", "target", "options", "names", "group", "needs", "secrets", "instances"],
  ...["params", "gives", "host", "address", "members", "many"],
]);

type Draft = Omit<Node, "components" | "options" | "layers" | "netboot" | keyof MachineFacts>;

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

/** Ranges of a network, the first of which the network's own `cidr` and so on are taken from. */
function rangesScope(network: Network): readonly { readonly [key: string]: Value }[] {
  return network.ranges.map((range, index) => ({
    cidr: range.text,
    prefix: range.prefix,
    ipv6: range.family === 6,
    gateway: range.gateway ?? "",
    index,
    first: index === 0,
    last: index === network.ranges.length - 1,
  }));
}

/** The mask of a range; IPv6 has none. */
function maskOf({ family, prefix }: NetworkRange): Value | Unavailable {
  return family === 4
    ? netmask(prefix)
    : new Unavailable({
        code: "unknown-name",
        message: "an IPv6 network has no netmask",
        hint: "use prefix",
      });
}

/** A network as a node sees it. */
function interfaceScope(node: Draft, nic: Interface): Scope {
  const { network } = nic;
  const { name } = network;
  // The management network's first range is IPv4, and so is a node's address there.
  const own = nic.addresses.find(({ text }) => text === nic.address)?.range;
  const range = (own ?? network.ranges[0]) as NetworkRange;
  return {
    name,
    role: network.role ?? "",
    cidr: range.text,
    prefix: range.prefix,
    netmask: maskOf(range) as Value,
    network: formatIp(range.family, range.first),
    ipv6: range.family === 6,
    address:
      nic.address ??
      new Unavailable({
        code: "bad-address",
        message: `node "${node.name}" has no address on ${name}`,
        hint: `give interfaces.${name} an address`,
      }),
    addresses: nic.addresses.map(({ text, family, range: in_ }, index) => ({
      address: text,
      prefix: in_.prefix,
      ipv6: family === 6,
      index,
      first: index === 0,
      last: index === nic.addresses.length - 1,
    })),
    gateway:
      range.gateway ??
      new Unavailable({ code: "unknown-name", message: `the network ${name} has no gateway` }),
    ranges: rangesScope(network),
    nameservers: network.doc.nameservers ?? [],
    mtu: nic.mtu ?? 1500,
    vlan:
      nic.vlan ??
      new Unavailable({
        code: "unknown-name",
        message: `${name} is not tagged on node "${node.name}"`,
        hint: "ask with when, or do without",
      }),
    tagged: nic.vlan !== null,
    interface:
      nic.name ??
      new Unavailable({
        code: "unknown-name",
        message: `the interface of ${name} has no name of its own`,
        hint: `give the node's interfaces.${name} a name, or do without`,
      }),
  };
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
  const views = new Map<Interface, Scope>();
  const view = (nic: Interface): Scope => {
    const made = views.get(nic) ?? interfaceScope(node, nic);
    views.set(nic, made);
    return made;
  };
  lazy(scope, "networks", () =>
    Object.fromEntries([...node.interfaces].map(([name, nic]) => [name, view(nic)])),
  );
  lazy(scope, "roles", () => {
    const of = (role: Role): Interface | undefined =>
      [...node.interfaces.values()].find(({ network }) => network.role === role);
    const management = of("management");
    const none = new Unavailable({
      code: "bad-address",
      message: `node "${node.name}" has no management address`,
    });
    // What has no network of its own goes by management.
    return Object.fromEntries(
      (["management", "overlay", "storage"] as const).map((role) => {
        const nic = of(role) ?? management;
        return [role, nic === undefined ? none : view(nic)];
      }),
    );
  });
  lazy(scope, "providers", () => {
    const all = [...node.interfaces.values()].filter(({ network }) => network.role === "provider");
    return all.map((nic, index) => {
      const listed = Object.defineProperties({}, Object.getOwnPropertyDescriptors(view(nic)));
      return Object.assign(listed, { index, first: index === 0, last: index === all.length - 1 });
    });
  });
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

const groupScopes = new WeakMap<readonly Node[], Map<Component, Scope>>();

/**
 * The nodes that run a component, as templates see them: host and address are the only member's, or the front's.
 */
export function groupScope(component: Component, members: readonly Node[], site: Site): Scope {
  const known = groupScopes.get(members) ?? new Map<Component, Scope>();
  groupScopes.set(members, known);
  const scope = known.get(component) ?? makeGroupScope(component, members, site);
  known.set(component, scope);
  return scope;
}

function makeGroupScope(component: Component, members: readonly Node[], site: Site): Scope {
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

/** A network as everybody sees it. */
function networkScope(network: Network): { [key: string]: Value } {
  const range = network.ranges[0] as NetworkRange;
  return {
    name: network.name,
    role: network.role ?? "",
    cidr: range.text,
    prefix: range.prefix,
    netmask: maskOf(range) as Value,
    gateway: range.gateway ?? "",
    ranges: rangesScope(network),
    nameservers: network.doc.nameservers ?? [],
    mtu: network.mtu ?? 1500,
    vlan: network.vlan ?? "",
  };
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
      Object.fromEntries([...site.networks].map(([name, network]) => [name, networkScope(network)])),
    );
    lazy(made, "providers", () => {
      const all = [...site.networks.values()].filter(({ role }) => role === "provider");
      return all.map((network, index) => ({
        ...networkScope(network),
        index,
        first: index === 0,
        last: index === all.length - 1,
      }));
    });
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

/** Makes a site in which nothing is implicit: profiles, components, options, addresses, groups. */
import { seconds, bytes as sizeBytes } from "../core/duration.ts";
import { longPosition, type Position } from "../core/position.ts";
import type { Problem } from "../core/problem.ts";
import { suggest } from "../core/suggest.ts";
import type { Value } from "../core/text.ts";
import { type Loaded, type Path, positionOf } from "../load/marks.ts";
import type { Carrier, Doc, NodeDoc, OptionDoc, ProfileDoc, SiteDoc } from "../validate/documents.ts";
import { isHostIn, isHostName, parseIp, parsePool, parseRange } from "./address.ts";
import { type MachineFacts, type Machines, resolveMachine } from "./install.ts";
import { type Claims, type NodeNetworks, resolveNodeNetworks } from "./links.ts";
import type { Component, Layer, Library, Node, Site } from "./model.ts";
import { type NodeDraft, resolveNetboot } from "./netboot.ts";
import { resolveNetworks } from "./networks.ts";
import { optionScope } from "./scope.ts";
import { evaluate, holds, type Rendering, Unavailable } from "./template.ts";

/** Files and folders of the output that no node may be named like. */
const reservedNames: ReadonlySet<string> = new Set(["manifest", "origins", "lab", "pxe"]);

/** Keys of cloud-config that seedsmith writes itself. */
export const ownCloudConfigKeys: readonly string[] = [
  "apt",
  "bootcmd",
  "fqdn",
  "hostname",
  "locale",
  "manage_etc_hosts",
  "package_update",
  "package_upgrade",
  "packages",
  "prefer_fqdn_over_hostname",
  "preserve_hostname",
  "runcmd",
  "ssh_pwauth",
  "users",
  "write_files",
];

/**
 * Resolves a site.
 * @returns the site, or null when it cannot be made sense of; problems are added either way
 */
export function resolveSite(
  site: Doc<SiteDoc>,
  library: Library,
  rendering: Rendering,
  targetOverride?: string,
  machines: Machines = { hardware: new Map(), rules: null },
  carriersOverride?: readonly Carrier[],
): Site | null {
  const { problems } = rendering;
  const { doc, loaded } = site;
  const at = (path: Path, part: "key" | "value" = "value"): Position => positionOf(loaded, path, part);

  if (!isHostName(doc.site)) {
    problems.add({
      code: "bad-name",
      at: at(["site"]),
      message: `"${doc.site}" is not a valid site name`,
      hint: "use lower-case letters, digits and dashes",
    });
  }
  const networks = resolveNetworks(site, rendering);
  if (doc.domain !== undefined && !doc.domain.split(".").every(isHostName)) {
    problems.add({
      code: "bad-name",
      at: at(["domain"]),
      message: `"${doc.domain}" is not a valid domain`,
      hint: "use names joined by dots",
    });
  }
  const targetName = targetOverride ?? doc.target;
  const findTarget = (name: string, where: Position | null) => {
    const target = library.targets.get(name);
    if (target === undefined && !library.broken?.has(`target ${name}`)) {
      problems.add({
        code: "unknown-target",
        at: where,
        message: `there is no target "${name}"`,
        ...hint(name, [...library.targets.keys()]),
      });
    }
    return target?.doc;
  };
  const siteTarget = findTarget(targetName, targetOverride === undefined ? at(["target"]) : null);
  checkUsers(site, rendering);
  checkCloudConfig(doc.cloud_config, loaded, ["cloud_config"], rendering);

  const chains = new Map<string, readonly Doc<ProfileDoc>[] | null>();
  const closures = new Map<string, readonly Component[]>();
  const drafts: NodeDraft[] = [];
  const ledger: ProfileOptions = { used: new Set(), unused: new Map() };
  const names = new Map<string, Path>();
  const claims: Claims = { addresses: new Map(), macs: new Map() };
  let sound = siteTarget !== undefined && networks !== null;

  const front = doc.front;
  if (front !== undefined && networks !== null) {
    const { management } = networks;
    const [range] = management.ranges;
    const ip = parseIp(front.address);
    if (ip === null || (range !== undefined && !isHostIn(range, ip))) {
      problems.add({
        code: "bad-address",
        at: at(["front", "address"]),
        message: `${front.address} is not an address of the management network`,
        hint: "the front is an address that the nodes share",
      });
    } else if (ip.text === range?.gateway) {
      problems.add({
        code: "bad-address",
        at: at(["front", "address"]),
        message: `${front.address} is the gateway of ${management.name}`,
        hint: "the front is an address that the nodes share",
        also: [{ at: at([...management.path, "gateway"]), label: "the gateway" }],
      });
    } else claims.addresses.set(ip.text, ["front", "address"]);
    if (!isHostName(front.name)) {
      problems.add({
        code: "bad-name",
        at: at(["front", "name"]),
        message: `"${front.name}" is not a valid host name`,
      });
    }
  }

  for (const [name, node] of Object.entries(doc.nodes)) {
    const path: Path = ["nodes", name];
    if (!isHostName(name)) {
      problems.add({
        code: "bad-name",
        at: at(path, "key"),
        message: `"${name}" is not a valid host name`,
        hint: "lower-case letters, digits and dashes, at most 63 characters, no dash at either end, not digits alone",
      });
    } else if (reservedNames.has(name)) {
      problems.add({
        code: "bad-name",
        at: at(path, "key"),
        message: `a node cannot be named "${name}": the output has a folder or file of that name`,
        hint: "choose another name",
      });
    } else if (front?.name === name) {
      problems.add({
        code: "bad-name",
        at: at(path, "key"),
        message: `"${name}" is the name of the site's front`,
        hint: "choose another name",
      });
    }
    names.set(name, path);
    const nodeTarget =
      targetOverride === undefined && node.target !== undefined
        ? findTarget(node.target, at([...path, "target"]))
        : siteTarget;
    let chain = chains.get(node.profile);
    if (chain === undefined) {
      chain = profileChain(node.profile, library, rendering, at([...path, "profile"]));
      chains.set(node.profile, chain);
    } else if (chain === null) {
      profileChain(node.profile, library, rendering, at([...path, "profile"]));
    }
    const { interfaces, devices }: NodeNetworks =
      networks === null
        ? { interfaces: new Map(), devices: [] }
        : resolveNodeNetworks(name, node, site, networks, claims, rendering);
    checkCloudConfig(node.cloud_config, loaded, [...path, "cloud_config"], rendering);
    if (chain === null || nodeTarget === undefined) {
      sound = false;
      continue;
    }
    const cpus = node.size?.cpus ?? 2;
    const memory = sizeBytes(node.size?.memory ?? "4G") ?? 4 * 2 ** 30;
    const draft = {
      name,
      fqdn: doc.domain === undefined ? null : `${name}.${doc.domain}`,
      index: drafts.length,
      doc: node,
      path,
      target: nodeTarget,
      profile: node.profile,
      profiles: chain,
      address: (networks === null ? undefined : interfaces.get(networks.management.name))?.address ?? null,
      interfaces,
      devices,
      carriers: carriersOf(doc, node, path, carriersOverride),
      generation: node.generation ?? 1,
      cpus,
      // As many as there are CPUs, but no more than one for each 2 GiB, so that a small machine is not swamped.
      workers: Math.max(1, Math.min(cpus, Math.floor(memory / 2 ** 31), 8)),
    };
    const options = new OptionLayers(draft, chain, site, library, rendering);
    const cacheKey = node.options === undefined ? `${node.profile}\n${nodeTarget.target}` : null;
    let components = cacheKey === null ? undefined : closures.get(cacheKey);
    if (components === undefined) {
      components = closure(draft, chain, options, library, rendering);
      // A requirement with a when may ask for anything of the node.
      const conditional = components.some(({ doc: one }) =>
        (one.requires ?? []).some((item) => typeof item !== "string" && item.when !== undefined),
      );
      if (cacheKey !== null && !conditional) closures.set(cacheKey, components);
    }
    const resolved = new Map<string, { readonly [option: string]: Value }>();
    for (const component of components) resolved.set(component.name, options.resolve(component, resolved));
    options.reportUnused(components, ledger);
    drafts.push({
      ...draft,
      components,
      options: resolved,
      layers: layersOf(draft, chain, site),
      ...resolveMachine(draft, chain, site, machines, problems),
    });
  }
  for (const [place, problem] of ledger.unused) if (!ledger.used.has(place)) problems.add(problem);
  if (Object.keys(doc.nodes).length === 0) {
    problems.add({
      code: "no-match",
      at: at(["nodes"], "key"),
      message: "the site has no nodes",
      hint: "add one below nodes:",
    });
  }
  if (!sound || networks === null) return null;
  const { netboot, nodes } = resolveNetboot(
    site,
    networks.management,
    drafts,
    claims,
    new Set(library.targets.keys()),
    problems,
  );

  const groups = new Map<string, Node[]>();
  for (const node of nodes) {
    for (const { name } of node.components) {
      const members = groups.get(name);
      if (members === undefined) groups.set(name, [node]);
      else members.push(node);
    }
  }
  for (const component of Object.keys(doc.options ?? {})) {
    if (library.components.has(component) && !groups.has(component)) {
      problems.add({
        code: "unused-option",
        at: at(["options", component], "key"),
        message: `no node of the site runs "${component}", so its options do nothing`,
        hint: "remove them, or give a node a profile that has the component",
      });
    }
  }
  return {
    name: doc.site,
    doc,
    loaded,
    networks: networks.byName,
    management: networks.management,
    nodes,
    byName: new Map(nodes.map((node) => [node.name, node])),
    groups,
    waitForNodes: seconds(doc.first_boot?.wait_for_nodes ?? "2h") ?? 7200,
    netboot,
  };
}

/** The node's own carriers, else the site's; those of the command line in place of both. */
function carriersOf(
  site: SiteDoc,
  node: NodeDoc,
  path: Path,
  override: readonly Carrier[] | undefined,
): Node["carriers"] {
  if (override !== undefined) return [...new Set(override)].map((carrier) => ({ carrier, path }));
  const [list, place] =
    node.carriers === undefined
      ? [site.carriers ?? [], ["carriers"] as Path]
      : [node.carriers, [...path, "carriers"] as Path];
  return [...new Set(list)].map((carrier) => ({ carrier, path: [...place, list.indexOf(carrier)] }));
}

function hint(word: string, known: readonly string[]): { hint?: string } {
  const found = suggest(word, known);
  return found === undefined ? {} : { hint: found };
}

/** The chain of profiles that `name` extends, the base first; null when a link is missing or circular. */
export function profileChain(
  name: string,
  library: Library,
  rendering: Rendering,
  from: Position | null,
): readonly Doc<ProfileDoc>[] | null {
  const chain: Doc<ProfileDoc>[] = [];
  let next: string | undefined = name;
  let at = from;
  while (next !== undefined) {
    const profile = library.profiles.get(next);
    if (profile === undefined && library.broken?.has(`profile ${next}`)) return null;
    if (profile === undefined) {
      rendering.problems.add({
        code: "unknown-profile",
        at,
        message: `there is no profile "${next}"`,
        ...hint(next, [...library.profiles.keys()]),
      });
      return null;
    }
    if (chain.includes(profile)) {
      rendering.problems.add({
        code: "cycle",
        at,
        message: `profiles extend each other in a circle: ${circle([...chain.map((link) => link.doc.profile).reverse(), next])}`,
        hint: "take one extends away",
      });
      return null;
    }
    chain.unshift(profile);
    checkCloudConfig(profile.doc.cloud_config, profile.loaded, ["cloud_config"], rendering);
    at = positionOf(profile.loaded, ["extends"]);
    next = profile.doc.extends;
  }
  return chain;
}

/** The part of a walk that goes round. */
function circle(names: readonly string[]): string {
  return names.slice(names.indexOf(names.at(-1) ?? "")).join(" -> ");
}

type Draft = Omit<NodeDraft, "components" | "options" | "layers" | keyof MachineFacts>;

/** Which options of profiles some node has a use for; a base profile may speak to components that only some have. */
interface ProfileOptions {
  readonly used: Set<string>;
  readonly unused: Map<string, Problem>;
}

/** Options of one node's components, by layers: component, base profile, profile, site, node. Maps merge, the rest replaces. */
class OptionLayers {
  readonly #layers: {
    values: { readonly [component: string]: { readonly [option: string]: unknown } };
    loaded: Loaded;
    path: Path;
  }[] = [];
  readonly #node: Draft;
  readonly #site: Doc<SiteDoc>;
  readonly #library: Library;
  readonly #rendering: Rendering;

  constructor(
    node: Draft,
    chain: readonly Doc<ProfileDoc>[],
    site: Doc<SiteDoc>,
    library: Library,
    rendering: Rendering,
  ) {
    this.#node = node;
    this.#site = site;
    this.#library = library;
    this.#rendering = rendering;
    for (const { doc, loaded } of chain) {
      for (const [index, item] of (doc.components ?? []).entries()) {
        if (typeof item === "string" || item.with === undefined) continue;
        this.#layers.push({ values: { [item.use]: item.with }, loaded, path: ["components", index, "with"] });
      }
      if (doc.options !== undefined) this.#layers.push({ values: doc.options, loaded, path: ["options"] });
    }
    if (site.doc.options !== undefined)
      this.#layers.push({ values: site.doc.options, loaded: site.loaded, path: ["options"] });
    if (node.doc.options !== undefined) {
      this.#layers.push({ values: node.doc.options, loaded: site.loaded, path: [...node.path, "options"] });
    }
  }

  #path(layer: { path: Path }, component: string, option: string): Path {
    return layer.path.at(-1) === "with" ? [...layer.path, option] : [...layer.path, component, option];
  }

  /** The options of one component. `known` holds those of the components it requires. */
  resolve(
    component: Component,
    known: ReadonlyMap<string, { readonly [option: string]: Value }>,
  ): { readonly [option: string]: Value } {
    const declared = component.doc.options ?? {};
    const { problems } = this.#rendering;
    const values: Record<string, Value> = {};
    const set = new Map<string, { value: unknown; at: Position; doc: Loaded; path: Path }>();
    for (const layer of this.#layers) {
      const given = Object.hasOwn(layer.values, component.name) ? layer.values[component.name] : undefined;
      for (const [option, value] of Object.entries(given ?? {})) {
        const path = this.#path(layer, component.name, option);
        if (!Object.hasOwn(declared, option)) {
          problems.add({
            code: "unknown-option",
            at: positionOf(layer.loaded, path, "key"),
            message: `"${component.name}" has no option "${option}"`,
            ...hint(option, Object.keys(declared)),
          });
          continue;
        }
        const before = set.get(option)?.value;
        const merged =
          declared[option]?.type === "map" && isMap(before) && isMap(value) ? { ...before, ...value } : value;
        set.set(option, { value: merged, at: positionOf(layer.loaded, path), doc: layer.loaded, path });
      }
    }
    const scope = optionScope(this.#node, this.#site.doc, component, values, known, this.#library);
    for (const [option, doc] of Object.entries(declared)) {
      const given = set.get(option);
      if (given === undefined && doc.default === undefined) {
        problems.add({
          code: "missing-option",
          at: positionOf(this.#site.loaded, this.#node.path, "key"),
          message: `node "${this.#node.name}" runs "${component.name}", whose option "${option}" has no default and is not set`,
          hint: `set options: { ${component.name}: { ${option}: ... } } in the site, the profile or the node`,
          also: [{ at: positionOf(component.loaded, ["options", option], "key"), label: "the option" }],
        });
        values[option] = new Unavailable(null) as never;
        continue;
      }
      const doc_ = given?.doc ?? component.loaded;
      const path = given?.path ?? ["options", option, "default"];
      const value = evaluate(
        given === undefined ? doc.default : given.value,
        scope,
        doc_,
        path,
        this.#rendering,
      );
      const wrong = wrongOption(value, doc);
      if (wrong !== null) {
        problems.add({
          code: wrong.code,
          at: given?.at ?? positionOf(component.loaded, path),
          message: `the option "${option}" of "${component.name}" ${wrong.message}`,
          ...(wrong.hint === undefined ? {} : { hint: wrong.hint }),
        });
      }
      values[option] = value;
    }
    return values;
  }

  /** Options for components that this node (by its profile or itself) does not run do nothing: say so. */
  reportUnused(components: readonly Component[], ledger: ProfileOptions): void {
    const here = new Set(components.map((component) => component.name));
    for (const layer of this.#layers) {
      for (const component of Object.keys(layer.values)) {
        const path =
          layer.path.at(-1) === "with" ? layer.path.slice(0, -1).concat("use") : [...layer.path, component];
        const at = positionOf(layer.loaded, path, layer.path.at(-1) === "with" ? "value" : "key");
        if (this.#library.broken?.has(`component ${component}`)) continue;
        if (!this.#library.components.has(component)) {
          this.#rendering.problems.add({
            code: "unknown-component",
            at,
            message: `there is no component "${component}"`,
            ...hint(component, [...this.#library.components.keys()]),
          });
        } else if (layer.loaded !== this.#site.loaded) {
          const place = longPosition(at);
          if (here.has(component)) ledger.used.add(place);
          else
            ledger.unused.set(place, {
              code: "unused-option",
              at,
              message: `nothing that uses this profile runs "${component}", so its options do nothing`,
              hint: "remove them, or add the component",
            });
        } else if (!here.has(component) && layer.path[0] === "nodes") {
          this.#rendering.problems.add({
            code: "unused-option",
            at,
            message: `node "${this.#node.name}" does not run "${component}", so its options do nothing`,
            hint: "remove them",
          });
        }
      }
    }
  }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** What is wrong with an option's value, if anything. */
export function wrongOption(
  value: Value,
  doc: OptionDoc,
): { code: "wrong-type" | "wrong-value"; message: string; hint?: string } | null {
  const words = {
    string: "a string",
    identifier: "an identifier",
    integer: "a whole number",
    boolean: "true or false",
    list: "a list",
    map: "a map",
    address: "an IP address",
    cidr: "a network such as 10.0.0.0/24",
    pool: "the first and the last of some addresses, such as 10.0.0.10-10.0.0.20",
  };
  const right = {
    string: typeof value === "string",
    identifier: typeof value === "string" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(value),
    integer: Number.isSafeInteger(value),
    boolean: typeof value === "boolean",
    list: Array.isArray(value),
    map: isMap(value),
    address: typeof value === "string" && parseIp(value) !== null,
    cidr: typeof value === "string" && parseRange(value)?.hostBits === false,
    pool: typeof value === "string" && parsePool(value) !== null,
  }[doc.type];
  if (!right) {
    return {
      code: "wrong-type",
      message: `must be ${words[doc.type]}`,
      ...(doc.type === "boolean" && typeof value === "string"
        ? { hint: "write true or false without quotes (yes and no are strings)" }
        : doc.help === undefined
          ? {}
          : { hint: doc.help }),
    };
  }
  if (doc.enum !== undefined && !doc.enum.includes(value as never)) {
    return {
      code: "wrong-value",
      message: `may not be "${String(value)}"`,
      hint: suggest(String(value), doc.enum.map(String)) ?? `one of: ${doc.enum.join(", ")}`,
    };
  }
  return null;
}

/** All components that a node runs: those listed and what they require, requirements first, `after` respected. */
function closure(
  node: Draft,
  chain: readonly Doc<ProfileDoc>[],
  options: OptionLayers,
  library: Library,
  rendering: Rendering,
): readonly Component[] {
  const found: Component[] = [];
  const open: string[] = [];
  const known = new Map<string, { readonly [option: string]: Value }>();
  const visit = (name: string, at: Position): void => {
    const component = library.components.get(name);
    if (component === undefined && library.broken?.has(`component ${name}`)) {
      rendering.problems.addFollowing();
      return;
    }
    if (component === undefined) {
      rendering.problems.add({
        code: "unknown-component",
        at,
        message: `there is no component "${name}"`,
        ...hint(name, [...library.components.keys()]),
      });
      return;
    }
    if (open.includes(name)) {
      rendering.problems.add({
        code: "cycle",
        at,
        message: `components require each other in a circle: ${[...open.slice(open.indexOf(name)), name].join(" -> ")}`,
        hint: "one of them can say after: instead of requires:, or neither",
      });
      return;
    }
    if (found.includes(component)) return;
    open.push(name);
    // Those with a when come last: what it names may depend on the options of the others.
    const requires = [...(component.doc.requires ?? []).entries()];
    const conditional = ([, item]: (typeof requires)[number]): boolean =>
      typeof item !== "string" && item.when !== undefined;
    for (const [index, item] of [
      ...requires.filter((one) => !conditional(one)),
      ...requires.filter(conditional),
    ]) {
      const path: Path = ["requires", index];
      if (typeof item === "string") visit(item, positionOf(component.loaded, path));
      else if (
        holds(
          item.when,
          optionScope(node, undefined, component, options.resolve(component, known), known, library),
          component.loaded,
          path,
          rendering,
        )
      ) {
        visit(item.use, positionOf(component.loaded, [...path, "use"]));
      }
    }
    open.pop();
    found.push(component);
    known.set(name, options.resolve(component, known));
  };
  for (const { doc, loaded } of chain) {
    for (const [index, item] of (doc.components ?? []).entries()) {
      const use = typeof item === "string" ? item : item.use;
      visit(
        use,
        positionOf(loaded, typeof item === "string" ? ["components", index] : ["components", index, "use"]),
      );
    }
  }
  return found;
}

function layersOf(node: Draft, chain: readonly Doc<ProfileDoc>[], site: Doc<SiteDoc>): readonly Layer[] {
  const layers: Layer[] = chain.map(({ doc, loaded }, index) => ({
    title: `profile ${doc.profile}`,
    nouns: doc,
    loaded,
    path: [],
    rank: 1 + index,
    cloudConfig: doc.cloud_config ?? {},
  }));
  layers.push({
    title: "site",
    nouns: { ...site.doc },
    loaded: site.loaded,
    path: [],
    rank: 1000,
    cloudConfig: site.doc.cloud_config ?? {},
  });
  layers.push({
    title: `node ${node.name}`,
    nouns: node.doc,
    loaded: site.loaded,
    path: node.path,
    rank: 1001,
    cloudConfig: node.doc.cloud_config ?? {},
  });
  return layers;
}

/** cloud-init keys that seedsmith writes are not the user's to write. */
export function checkCloudConfig(
  value: { readonly [key: string]: unknown } | undefined,
  loaded: Loaded,
  path: Path,
  rendering: Rendering,
): void {
  for (const key of Object.keys(value ?? {})) {
    if (ownCloudConfigKeys.includes(key)) {
      rendering.problems.add({
        code: "clash",
        at: positionOf(loaded, [...path, key], "key"),
        message: `seedsmith writes the cloud-init key "${key}" itself`,
        hint: "use the nouns of a component instead: packages, files, before_start and so on",
      });
    }
  }
}

function checkUsers(site: Doc<SiteDoc>, rendering: Rendering): void {
  const users = site.doc.access?.users ?? [];
  const seen = new Map<string, Path>();
  for (const [index, user] of users.entries()) {
    const path: Path = ["access", "users", index, "name"];
    const at = positionOf(site.loaded, path);
    const other = seen.get(user.name);
    if (other !== undefined)
      rendering.problems.add({
        code: "clash",
        at,
        message: `the user "${user.name}" is listed twice`,
        also: [{ at: positionOf(site.loaded, other), label: "the first" }],
      });
    seen.set(user.name, path);
    if (user.name === "root")
      rendering.problems.add({
        code: "bad-name",
        at,
        message: "root is not a user to create",
        hint: "name a person or a role; users get sudo",
      });
    for (const [k, key] of (user.ssh_authorized_keys ?? []).entries()) {
      if (!/^(\S+ )*(ssh-(ed25519|rsa|dss)|ecdsa-sha2-\S+|sk-\S+) [A-Za-z0-9+/]+=*( .*)?$/.test(key)) {
        rendering.problems.add({
          code: "wrong-value",
          at: positionOf(site.loaded, ["access", "users", index, "ssh_authorized_keys", k]),
          message: "this is not a public SSH key",
          hint: "copy the one line of ~/.ssh/id_ed25519.pub",
        });
      }
    }
  }
  if (!users.some((user) => (user.ssh_authorized_keys ?? []).length > 0 || user.password === true)) {
    rendering.problems.add({
      code: "no-login",
      at: positionOf(site.loaded, site.doc.access === undefined ? [] : ["access"]),
      message: "no user of the site has an SSH key or a password: nobody will be able to log in to its nodes",
      hint: "add access: { users: [{ name: ops, ssh_authorized_keys: [...] }] }",
      notice: true,
    });
  }
}

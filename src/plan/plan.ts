/** Plans what each node must become. Pure: a resolved site goes in, plans come out, one node at a time. */
import { seconds } from "../core/duration.ts";
import { isSamePosition, longPosition, type Position } from "../core/position.ts";
import { suggest } from "../core/suggest.ts";
import {
  encode,
  encoded,
  type Filled,
  parts,
  redacted,
  secretsOf,
  Text,
  text,
  type Value,
} from "../core/text.ts";
import { type Path, positionOf } from "../load/marks.ts";
import type { Component, Library, Node, Site } from "../resolve/model.ts";
import { baseScope, lazy } from "../resolve/scope.ts";
import {
  evaluate,
  evaluateText,
  holds,
  lineNumbers,
  lookup,
  type Rendering,
  render,
  type Scope,
  sourceLines,
  Unavailable,
} from "../resolve/template.ts";
import type { FileDoc, NamedProbeDoc, ProbeDoc, Scalar, SecretDoc, StepDoc } from "../validate/documents.ts";
import type {
  Action,
  Block,
  Change,
  NodePlan,
  PlannedFile,
  Probe,
  ProbeAction,
  Script,
  Step,
  Unit,
} from "./model.ts";
import { asKey, type Instance, type Need, Needs, type Owner } from "./needs.ts";
import { order, type Vertex } from "./order.ts";
import { checkRules } from "./rules.ts";
import { Shared, Taken } from "./shared.ts";

/** Above this many nodes /etc/hosts names only the nodes that a node talks to: all in all would grow with the square. */
export const hostsLimit = 256;

/** What seedsmith itself puts on a node. */
const ownPaths = [
  "/etc/systemd/system/seedsmith-node.service",
  "/usr/local/lib/seedsmith",
  "/usr/local/sbin/seedsmith-node",
  "/var/lib/cloud/scripts/per-boot/50-seedsmith",
  "/var/lib/seedsmith",
];

const defaultWithin = { step: "10m", ready: "3m", check: "2m", unit: "5m" };

/** A planned site: plans are made when asked for, so that a large site needs no more memory than a node. */
export interface SitePlan {
  readonly site: Site;
  /** The plan of one node. */
  readonly plan: (node: Node) => NodePlan;
  /** Every secret that the site's components declare or ask for. */
  readonly secrets: ReadonlyMap<string, SecretDoc>;
}

export function planSite(site: Site, library: Library, rendering: Rendering): SitePlan {
  const needs = new Needs(site, library, rendering);
  const shared = new Shared();
  const componentOwners = new Map<string, Owner>();
  for (const name of site.groups.keys()) {
    const component = library.components.get(name) as Component;
    componentOwners.set(name, ownerOf(component));
  }
  const owners = new Map<Node, readonly Owner[]>();
  const ownersOf = (node: Node): readonly Owner[] => {
    let list = owners.get(node);
    if (list === undefined) {
      list = [
        ...node.components.map((component) => componentOwners.get(component.name) as Owner),
        ...node.layers.filter(carriesNouns).map((layer) => ({
          title: layer.title,
          component: null,
          nouns: layer.nouns,
          loaded: layer.loaded,
          path: layer.path,
          rank: layer.rank,
        })),
      ];
      owners.set(node, list);
    }
    return list;
  };
  for (const component of library.components.values()) {
    for (const [name, doc] of Object.entries(component.doc.secrets ?? {})) {
      if (site.groups.has(component.name)) needs.secrets.set(`${component.name}.${name}`, doc);
    }
  }
  const sequence = order(site, ownersOf, needs, rendering.problems);
  for (const user of site.doc.access?.users ?? []) {
    if (user.password === true) needs.secrets.set(`login.${user.name}`, { kind: "password" });
  }
  for (const { install } of site.nodes)
    if (install?.storage.kind === "layout" && install.storage.passphrase !== null)
      needs.secrets.set(install.storage.passphrase, { kind: "password" });
  for (const name of Object.keys(site.doc.secrets ?? {})) {
    if (needs.secrets.has(name)) continue;
    const hint = suggest(name, [...needs.secrets.keys()]);
    rendering.problems.add({
      code: "unknown-secret",
      at: positionOf(site.loaded, ["secrets", name], "key"),
      message: `nothing in this site has a secret named "${name}"`,
      ...(hint === undefined ? {} : { hint }),
    });
  }
  if (site.nodes.length > hostsLimit && (site.doc.hosts ?? "auto") === "auto") {
    rendering.problems.add({
      code: "hosts-limited",
      at: null,
      message: `the site has ${site.nodes.length} nodes: /etc/hosts of each names itself and the nodes that it talks to, others need DNS`,
      hint: "say hosts: all or hosts: peers in the site to choose",
      notice: true,
    });
  }
  return {
    site,
    secrets: needs.secrets,
    plan: (node) => {
      const mine = ownersOf(node);
      const made = new NodePlanner(
        node,
        site,
        library,
        needs,
        mine,
        sequence.get(node) ?? [],
        rendering,
        shared,
      ).plan();
      needs.forget(node, mine);
      owners.delete(node);
      return made;
    },
  };
}

function carriesNouns(layer: Node["layers"][number]): boolean {
  const keys = [
    "archives",
    "debconf",
    "packages",
    "directories",
    "ports",
    "files",
    "settings",
    "units",
    "before_start",
    "after_start",
    "ready",
    "checks",
    "needs",
  ];
  return keys.some((key) => (layer.nouns as Record<string, unknown>)[key] !== undefined);
}

type UnitDoc = NonNullable<Owner["nouns"]["units"]>[number];
type SettingsDoc = NonNullable<Owner["nouns"]["settings"]>[number];

/** The drop-in of a unit: its text, and the file. */
interface DropIn {
  readonly unit: string;
  readonly text: string;
  readonly file: PlannedFile;
}

/** What settings say of a key: by its name, or as a map that is spread has it. */
interface SetKey {
  readonly change: Change;
  readonly spread: boolean;
}

/** What an item of `files` or of `settings` says, with the path that it means here. */
interface FileItem {
  readonly doc: FileDoc;
  readonly place: string;
  readonly path: Path;
  readonly from: Position;
}

interface SettingsItem {
  readonly item: SettingsDoc;
  readonly place: string;
  readonly path: Path;
}

interface Claim<T> {
  readonly item: T;
  readonly from: Position;
  readonly key: string;
}

/** One of an owner's items of one kind. */
interface Item<T> {
  readonly item: T;
  readonly path: Path;
  readonly from: Position;
  readonly scope: Scope;
}

/** A change of a structured file, and how strong it is: of two of one key the higher rank wins. */
interface Setting {
  readonly change: Change;
  readonly rank: number;
}

class NodePlanner {
  readonly #node: Node;
  readonly #site: Site;
  readonly #library: Library;
  readonly #needs: Needs;
  readonly #owners: readonly Owner[];
  readonly #sequence: readonly Vertex[];
  readonly #rendering: Rendering;
  readonly #scopes = new Map<Owner, Scope>();
  readonly #scripts = new Map<string, Script>();
  readonly #ids = new Map<string, number>();
  readonly #peers = new Set<string>();
  readonly #unitClaims = new Map<string, Claim<null>>();
  readonly #unitsOf = new Map<Owner, readonly string[]>();
  readonly #restartsOf = new Map<Component, readonly string[]>();
  readonly #shared: Shared;
  /** What the thing being made took so far. */
  #taken: Taken | null = null;
  #used: ((name: string) => void) | null = null;
  /** Whether the text that #plain gave last lacks something: what is wrong with it then needs no second report. */
  #doubtful = false;

  constructor(
    node: Node,
    site: Site,
    library: Library,
    needs: Needs,
    owners: readonly Owner[],
    sequence: readonly Vertex[],
    rendering: Rendering,
    shared: Shared,
  ) {
    this.#node = node;
    this.#site = site;
    this.#library = library;
    this.#needs = needs;
    this.#owners = owners;
    this.#sequence = sequence;
    this.#shared = shared;
    this.#rendering = {
      ...rendering,
      used: (name) => {
        this.#used?.(name);
        this.#taken?.used.add(name);
      },
      looked: (name, holder, value) => {
        if (this.#taken?.scope !== holder) return;
        if (name === ".") this.#taken.everything = true;
        else this.#taken.looked.set(name, value);
      },
    };
  }

  plan(): NodePlan {
    const node = this.#node;
    const { doc } = this.#site;
    const where = positionOf(this.#site.loaded, node.path, "key");
    checkRules(node, this.#site, this.#owners, (owner) => this.#scope(owner), this.#rendering);
    const packages = this.#packages();
    const files = this.#files();
    const directories = this.#directories(files);
    this.#reportNested(files, directories);
    const blocks = this.#blocks();
    const checks = this.#checks();
    return {
      site: this.#site.name,
      node: node.name,
      fqdn: node.fqdn,
      profile: node.profile,
      target: {
        name: node.target.target,
        family: node.target.family,
        version: node.target.version,
        codename: node.target.codename,
        gateway6: node.target.ipv6_default_route === "gateway6",
      },
      generation: node.generation,
      address: node.address,
      size: { cpus: node.cpus, memory: node.doc.size?.memory ?? "4G" },
      from: where,
      hosts: this.#hosts(),
      users: this.#users(),
      interfaces: this.#interfaces(),
      carriers: node.carriers.map(({ carrier, path }) => ({
        carrier,
        from: positionOf(
          this.#site.loaded,
          path,
          path.at(0) === "nodes" && path.length === 2 ? "key" : "value",
        ),
      })),
      devices: node.devices.map(({ path, ...device }) => ({
        ...device,
        from: positionOf(this.#site.loaded, path, "key"),
      })),
      apt: {
        proxy: doc.apt?.proxy ?? null,
        mirrors: { primary: doc.apt?.mirrors?.primary ?? null, security: doc.apt?.mirrors?.security ?? null },
        archives: this.#archives(),
        from: positionOf(this.#site.loaded, ["apt"], "key"),
      },
      debconf: this.#debconf(),
      packages,
      directories,
      files,
      scripts: [...this.#scripts.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
      ports: this.#ports(),
      blocks,
      checks,
      ...(node.install === null ? {} : { install: node.install }),
      ...(this.#site.netboot === null ? {} : { report: `${this.#site.netboot.base}/report/${node.name}` }),
      cloudConfig: this.#cloudConfig(),
    };
  }

  /** The same on every node. */
  #users(): NodePlan["users"] {
    const { doc, loaded } = this.#site;
    return this.#once(this.#site, "users", {}, () =>
      (doc.access?.users ?? []).map((user, index) => ({
        name: user.name,
        keys: user.ssh_authorized_keys ?? [],
        sudo: user.sudo !== false,
        password: user.password === true ? `login.${user.name}` : null,
        from: positionOf(loaded, ["access", "users", index]),
      })),
    );
  }

  #interfaces(): NodePlan["interfaces"] {
    const { management, loaded } = this.#site;
    return [...this.#node.interfaces.values()].map((nic) => {
      const { network, addresses } = nic;
      const fixed = addresses.length > 0;
      const main = addresses.find(({ text }) => text === nic.address)?.range ?? network.ranges[0];
      return {
        network: network.name,
        role: network.role,
        mac: nic.mac,
        name: nic.name,
        vlan: nic.vlan,
        address: nic.address,
        prefix: main?.prefix ?? 0,
        addresses: addresses.map(({ text, range }) => `${text}/${range.prefix}`),
        // One default route: the management network's. Another network's gateway is for what runs on it.
        gateway: network === management ? (network.ranges[0]?.gateway ?? null) : null,
        nameservers: fixed ? network.nameservers : [],
        search: fixed ? network.search : [],
        routes: fixed ? network.routes.map(({ to, via }) => ({ to: to.text, via })) : [],
        mtu: nic.mtu,
        from: positionOf(loaded, nic.path, "key"),
      };
    });
  }

  // Scopes

  #scope(owner: Owner): Scope {
    let scope = this.#scopes.get(owner);
    if (scope === undefined) {
      const made = baseScope(this.#node, owner.component, this.#site, this.#library);
      const { component } = owner;
      lazy(made, "needs", () => this.#needsScope(owner));
      if (component !== null) {
        lazy(made, "secrets", () => this.#needs.secretScope(component));
        lazy(made, "instances", () =>
          Object.fromEntries(
            Object.keys(component.doc.resources ?? {}).map((name) => [
              name,
              this.#needs
                .instancesOf(component)
                .filter((one) => one.resourceName === name)
                .map((one) => one.params),
            ]),
          ),
        );
      }
      scope = made as Scope;
      this.#scopes.set(owner, scope);
    }
    return scope;
  }

  #needsScope(owner: Owner): Scope {
    const scope: Record<string, Value | Unavailable | undefined> = {};
    const found = this.#needs.of(this.#node, owner);
    for (const alias of Object.keys(owner.nouns.needs ?? {})) {
      const need = found.get(alias);
      scope[alias] =
        need === undefined
          ? new Unavailable(
              this.#needs.failed(owner, alias)
                ? null
                : {
                    code: "unknown-name",
                    message: `"needs.${alias}" is not asked for on node "${this.#node.name}"`,
                    hint: "its when does not hold here, or it could not be resolved: give what names it the same when",
                  },
            )
          : (need.view as Value);
    }
    return scope;
  }

  /** The owner's items of one kind whose `when` holds here. */
  *#items<T>(owner: Owner, noun: keyof Owner["nouns"]): Generator<Item<T>> {
    const list = owner.nouns[noun] as readonly T[] | undefined;
    if (list === undefined) return;
    const scope = this.#scope(owner);
    for (const [index, item] of list.entries()) {
      const path: Path = [...owner.path, noun, index];
      const when =
        typeof item === "object" && item !== null
          ? (item as { when?: { [name: string]: unknown } }).when
          : undefined;
      if (when !== undefined && !holds(when, scope, owner.loaded, path, this.#rendering)) continue;
      yield { item, path, from: positionOf(owner.loaded, path), scope };
    }
  }

  /**
   * What `make` gives here: what it gave on another node, if all that it looked up in the scope then is the same here.
   * It may depend on the document and on the scope, and on nothing else of this node; what it gives is shared.
   * @param of the object that it is made of, with a key that tells apart what is made of one object
   */
  #once<T>(of: object, key: string, scope: Scope, make: () => T): T {
    const whole = this.#taken;
    const known = this.#shared.find(of, key, scope);
    if (known !== null) {
      for (const name of known.taken.used) this.#used?.(name);
      for (const script of known.taken.scripts) this.#keepScript(script);
      whole?.add(known.taken);
      return known.result as T;
    }
    const before = this.#rendering.problems.reports;
    const taken = new Taken(scope);
    this.#taken = taken;
    try {
      const result = make();
      if (this.#rendering.problems.reports === before) this.#shared.keep(of, key, taken, result);
      return result;
    } finally {
      this.#taken = whole;
      whole?.add(taken);
    }
  }

  /**
   * What the owner's items of one kind become here, each as `make` says it, which is bound to what #once says.
   * @param key tells apart what is made of the items of one kind
   */
  #each<T, Made>(
    owner: Owner,
    noun: keyof Owner["nouns"],
    make: (item: Item<T>) => Made,
    key: string = noun,
  ): readonly Made[] {
    const list = owner.nouns[noun] as object | undefined;
    if (list === undefined) return [];
    return this.#once(list, key, this.#scope(owner), () => Array.from(this.#items<T>(owner, noun), make));
  }

  #text(value: unknown, scope: Scope, owner: Owner, path: Path): Filled {
    return evaluateText(value, scope, owner.loaded, path, this.#rendering);
  }

  /** A text that must not hold a secret. */
  #plain(value: unknown, scope: Scope, owner: Owner, path: Path): string {
    const before = this.#rendering.problems.reports;
    const filled = this.#text(value, scope, owner, path);
    this.#doubtful = this.#rendering.problems.reports > before;
    if (typeof filled === "string") return filled;
    this.#doubtful = true;
    this.#rendering.problems.add({
      code: "secret-in-argv",
      at: positionOf(owner.loaded, path),
      message: `the secret ${[...secretsOf(filled)].join(", ")} may not stand here`,
      hint: "secrets may stand in env, stdin and the contents of files",
    });
    return redacted(filled);
  }

  // Claims

  /** Merges equal claims, reports different ones at both places. */
  #claim<T>(
    claims: Map<string, Claim<T>>,
    name: string,
    what: string,
    claim: Claim<T>,
    how = "twice, differently,",
  ): void {
    const other = claims.get(name);
    if (other === undefined) claims.set(name, claim);
    else if (other.key !== claim.key) {
      this.#rendering.problems.add({
        code: "clash",
        at: claim.from,
        message: `${what} is claimed ${how} on node "${this.#node.name}"`,
        hint: "let one of them own it",
        also: [{ at: other.from, label: "the other claim" }],
      });
    }
  }

  #packages(): NodePlan["packages"] {
    const found = new Map<string, NodePlan["packages"][number]>();
    for (const owner of this.#owners) {
      const packages = this.#each<string | { name: string }, NodePlan["packages"][number]>(
        owner,
        "packages",
        ({ item, path, from, scope }) => {
          const name = this.#plain(
            typeof item === "string" ? item : item.name,
            scope,
            owner,
            typeof item === "string" ? path : [...path, "name"],
          );
          if (!this.#doubtful && !/^[a-z0-9][a-z0-9+.-]+([:=].+)?$/.test(name)) {
            this.#rendering.problems.add({
              code: "bad-name",
              at: from,
              message: `"${name}" is not a package name`,
              hint: "lower-case letters, digits, plus, minus and dots",
            });
          }
          return { name, from };
        },
      );
      for (const one of packages) if (!found.has(one.name)) found.set(one.name, one);
    }
    return [...found.values()];
  }

  #archives(): NodePlan["apt"]["archives"] {
    const claims = new Map<string, Claim<NodePlan["apt"]["archives"][number]>>();
    for (const owner of this.#owners) {
      const archives = this.#each<
        NonNullable<Owner["nouns"]["archives"]>[number],
        NodePlan["apt"]["archives"][number]
      >(owner, "archives", ({ item, path, from, scope }) => {
        let keyring: NodePlan["apt"]["archives"][number]["keyring"] = null;
        if (item.keyring?.package !== undefined) keyring = { package: item.keyring.package };
        else if (item.keyring?.source !== undefined) {
          const file = this.#componentFile(owner, item.keyring.source, [...path, "keyring", "source"]);
          if (file !== null) keyring = { text: file.text, file: file.shown };
        }
        return {
          name: item.name,
          uri: this.#text(item.uri, scope, owner, [...path, "uri"]),
          suite: this.#text(item.suite, scope, owner, [...path, "suite"]),
          components: item.components,
          keyring,
          from,
        };
      });
      for (const item of archives) {
        const { name, uri, suite, components, keyring, from } = item;
        this.#claim(claims, name, `the archive "${name}"`, {
          item,
          from,
          key: asKey([uri, suite, components as Value, keyring as Value]),
        });
      }
    }
    return [...claims.values()].map(({ item }) => item);
  }

  #debconf(): NodePlan["debconf"] {
    const claims = new Map<string, Claim<NodePlan["debconf"][number]>>();
    for (const owner of this.#owners) {
      const answers = this.#each<NonNullable<Owner["nouns"]["debconf"]>[number], NodePlan["debconf"][number]>(
        owner,
        "debconf",
        ({ item, path, from, scope }) => ({
          package: item.package,
          question: item.question,
          type: item.type,
          value: this.#text(item.value, scope, owner, [...path, "value"]),
          from,
        }),
      );
      for (const item of answers)
        this.#claim(claims, `${item.package} ${item.question}`, `the debconf answer to ${item.question}`, {
          item,
          from: item.from,
          key: asKey(item.value),
        });
    }
    return [...claims.values()].map(({ item }) => item);
  }

  #directories(files: readonly PlannedFile[]): NodePlan["directories"] {
    const claims = new Map<string, Claim<NodePlan["directories"][number]>>();
    for (const owner of this.#owners) {
      const directories = this.#each<
        NonNullable<Owner["nouns"]["directories"]>[number],
        NodePlan["directories"][number]
      >(owner, "directories", ({ item, path, from, scope }) => ({
        path: this.#path(item.path, scope, owner, [...path, "path"]),
        owner: item.owner ?? "root:root",
        mode: item.mode ?? "0755",
        from,
      }));
      for (const directory of directories) {
        const { path: place, from } = directory;
        const file = files.find((one) => one.path === place);
        if (file !== undefined)
          this.#rendering.problems.add({
            code: "clash",
            at: from,
            message: `${place} is claimed as a directory and as a file on node "${this.#node.name}"`,
            hint: "it can be one of them",
            also: [{ at: file.from, label: "the file" }],
          });
        this.#claim(claims, place, `the directory ${place}`, {
          item: directory,
          from,
          key: `${directory.owner} ${directory.mode}`,
        });
      }
    }
    return [...claims.values()].map(({ item }) => item);
  }

  /** Nothing lies below a file. */
  #reportNested(files: readonly PlannedFile[], directories: NodePlan["directories"]): void {
    const byPath = new Map(files.map((file) => [file.path, file.from]));
    for (const { path, from } of [...files, ...directories]) {
      for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
        const parent = path.slice(0, end);
        const other = byPath.get(parent);
        if (other === undefined) continue;
        this.#rendering.problems.add({
          code: "clash",
          at: from,
          message: `${path} lies below ${parent}, which is a file on node "${this.#node.name}"`,
          hint: "one of them needs another path",
          also: [{ at: other, label: "the file" }],
        });
      }
    }
  }

  #ports(): NodePlan["ports"] {
    const claims = new Map<string, Claim<NodePlan["ports"][number]>>();
    for (const owner of this.#owners) {
      const ports = this.#each<
        NonNullable<Owner["nouns"]["ports"]>[number],
        NodePlan["ports"][number] | null
      >(owner, "ports", ({ item, path, from, scope }) => {
        const port = Number(this.#plain(item.port, scope, owner, [...path, "port"]));
        if (this.#doubtful) return null;
        if (!Number.isInteger(port) || port < 1 || port > 65535) {
          this.#rendering.problems.add({
            code: "wrong-value",
            at: positionOf(owner.loaded, [...path, "port"]),
            message: `"${item.port}" is not a port${Number.isNaN(port) || port === item.port ? "" : `, but ${port}`}`,
            hint: "a number from 1 to 65535",
          });
          return null;
        }
        return { port, protocol: item.protocol ?? "tcp", from };
      });
      for (const item of ports) {
        if (item === null) continue;
        const name = `${item.port}/${item.protocol}`;
        // Two owners on one port is the clash; one owner may name it twice.
        this.#claim(claims, name, `the port ${name}`, { item, from: item.from, key: owner.title }, "twice");
      }
    }
    return [...claims.values()].map(({ item }) => item);
  }

  #path(value: string, scope: Scope, owner: Owner, path: Path): string {
    const place = this.#plain(value, scope, owner, path);
    if (this.#doubtful) return place;
    if (
      !place.startsWith("/") ||
      place.split("/").some((step) => step === ".." || step === ".") ||
      place.includes("//") ||
      place.endsWith("/") ||
      /[\0\n]/.test(place)
    ) {
      this.#rendering.problems.add({
        code: "bad-path",
        at: positionOf(owner.loaded, path),
        message: `"${place}" is not an absolute, plain path`,
        hint: "begin with /, and leave out .. and doubled or closing slashes",
      });
    } else if (
      place === "/etc/hosts" ||
      ownPaths.some((own) => place === own || place.startsWith(`${own}/`))
    ) {
      this.#rendering.problems.add({
        code: "clash",
        at: positionOf(owner.loaded, path),
        message: `${place} is seedsmith's own`,
        hint: place === "/etc/hosts" ? "hosts come from the site's nodes" : "choose another path",
      });
    }
    return place;
  }

  #componentFile(owner: Owner, name: string, path: Path): { shown: string; text: string } | null {
    const { problems } = this.#rendering;
    const at = positionOf(owner.loaded, path);
    if (owner.component === null) {
      problems.add({
        code: "bad-path",
        at,
        message: "only a component has files beside it",
        hint: "write the text in place with template:, or make a component",
      });
      return null;
    }
    if (name.startsWith("/") || name.split("/").includes("..")) {
      problems.add({
        code: "bad-path",
        at,
        message: `"${name}" leaves the component's folder`,
        hint: "name a file of the folder",
      });
      return null;
    }
    const file = this.#library.file(owner.component.folder, name);
    if (file === null)
      problems.add({
        code: "file-unreadable",
        at,
        message: `the component's folder has no readable file "${name}"`,
        hint: "check the name",
      });
    return file;
  }

  /** A script of the component's folder, or as `component:file` of another one's. */
  #script(
    owner: Owner,
    name: string,
    path: Path,
  ): { readonly component: string; readonly name: string; shown: string; text: string } | null {
    const colon = name.indexOf(":");
    if (colon < 0 || owner.component === null) {
      const file = this.#componentFile(owner, name, path);
      return file === null ? null : { component: owner.title, name, ...file };
    }
    const other = name.slice(0, colon);
    const component = this.#library.components.get(other);
    if (component === undefined) {
      const hint = suggest(other, [...this.#library.components.keys()]);
      this.#rendering.problems.add({
        code: "unknown-component",
        at: positionOf(owner.loaded, path),
        message: `there is no component "${other}"`,
        ...(hint === undefined ? {} : { hint }),
      });
      return null;
    }
    const bare = name.slice(colon + 1);
    const file = this.#componentFile({ ...owner, component }, bare, path);
    return file === null ? null : { component: other, name: bare, ...file };
  }

  // Files

  #files(): readonly PlannedFile[] {
    const owners = new Map<
      string,
      Claim<{ doc: FileDoc; owner: Owner; path: Path; replaced: readonly Owner[] }>
    >();
    for (const owner of this.#owners) {
      const items = this.#each<FileDoc, FileItem | null>(owner, "files", ({ item, path, from, scope }) => {
        const place = this.#path(item.path, scope, owner, [...path, "path"]);
        const contents = [item.template, item.template_file, item.source, item.format].filter(
          (one) => one !== undefined,
        ).length;
        if (contents !== 1) {
          this.#rendering.problems.add({
            code: contents === 0 ? "missing-key" : "clash",
            at: from,
            message: `the file ${place} needs exactly one of template, template_file, source and format`,
            hint: "say where its content comes from",
          });
          return null;
        }
        if (item.base !== undefined && item.format === undefined)
          this.#rendering.problems.add({
            code: "missing-key",
            at: from,
            message: "base: package needs a format",
            hint: "format: ini, oslo or env",
          });
        return { doc: item, place, path, from };
      });
      for (const item of items) {
        if (item === null) continue;
        const { doc, place, path, from } = item;
        const other = owners.get(place);
        // A later layer's file takes the place of an earlier one's; components must agree, so two are a clash.
        if (other !== undefined && other.item.owner.rank === owner.rank) {
          this.#rendering.problems.add({
            code: "clash",
            at: from,
            message: `the file ${place} is claimed twice on node "${this.#node.name}"`,
            hint: "let one component own the file and the other contribute settings",
            also: [{ at: other.from, label: "the other claim" }],
          });
          continue;
        }
        const replaced = other === undefined ? [] : [...other.item.replaced, other.item.owner];
        owners.set(place, { item: { doc, owner, path, replaced }, from, key: "" });
      }
    }
    const settings = this.#settings(owners);
    const files: PlannedFile[] = [];
    for (const [
      place,
      {
        item: { doc, owner, path, replaced },
        from,
      },
    ] of owners) {
      const scope = this.#scope(owner);
      const content: PlannedFile["content"] | null =
        doc.format === undefined
          ? this.#once(doc, "content", scope, () => this.#wholeContent(doc, owner, path, scope))
          : this.#structured(doc, doc.format, settings.get(place) ?? [], from);
      if (content === null) continue;
      const file: PlannedFile = {
        path: place,
        owner: doc.owner ?? "root:root",
        mode: doc.mode ?? "0644",
        once: doc.once === true,
        content,
        // The units that read the file read it whoever wrote it.
        restarts: [...new Set([...replaced, owner].flatMap((one) => this.#restarts(one)))],
        from,
      };
      files.push(this.#shared.same(doc, "file", file, isSameFile));
    }
    for (const dropIn of this.#dropIns()) {
      const other = owners.get(dropIn.path);
      if (other === undefined) files.push(dropIn);
      else
        this.#rendering.problems.add({
          code: "clash",
          at: other.from,
          message: `the file ${dropIn.path} is the drop-in of a unit on node "${this.#node.name}"`,
          hint: "use drop_in alone, or a file of another name",
          also: [{ at: dropIn.from, label: "the unit" }],
        });
    }
    return files;
  }

  /** A file restarts the units of its component and of those that require it, as contributors do. */
  #restarts(owner: Owner): readonly string[] {
    const { component } = owner;
    if (component === null) return this.#units(owner);
    const known = this.#restartsOf.get(component);
    if (known !== undefined) return known;
    const units = new Set<string>();
    for (const other of this.#owners) {
      if (other.component === null) continue;
      const requires =
        other.component === component || requiresDeep(other.component, component.name, this.#library);
      if (requires) for (const unit of this.#units(other)) units.add(unit);
    }
    const found = [...units];
    this.#restartsOf.set(component, found);
    return found;
  }

  #units(owner: Owner): readonly string[] {
    let units = this.#unitsOf.get(owner);
    if (units === undefined) {
      units = this.#each<UnitDoc, string>(
        owner,
        "units",
        ({ item, path, scope }) => this.#plain(item.unit, scope, owner, [...path, "unit"]),
        "names",
      );
      this.#unitsOf.set(owner, units);
    }
    return units;
  }

  #wholeContent(doc: FileDoc, owner: Owner, path: Path, scope: Scope): PlannedFile["content"] | null {
    if (doc.template !== undefined) {
      const place = { doc: owner.loaded, path: [...path, "template"] };
      const rendered = render(doc.template, scope, place, this.#rendering);
      const file = owner.loaded.file;
      return {
        kind: "whole",
        text: rendered.value,
        lines: sourceLines(place, rendered).map((line) => ({ file, line, column: 1 })),
      };
    }
    const name = doc.template_file ?? doc.source ?? "";
    const file = this.#componentFile(owner, name, [
      ...path,
      doc.source === undefined ? "template_file" : "source",
    ]);
    if (file === null) return null;
    if (doc.source !== undefined) {
      return {
        kind: "whole",
        text: file.text,
        lines: lineNumbers(file.text).map((line) => ({ file: file.shown, line, column: 1 })),
      };
    }
    const rendered = render(file.text, scope, { file: file.shown, text: file.text }, this.#rendering);
    return {
      kind: "whole",
      text: rendered.value,
      lines: rendered.lines.map((line) => ({ file: file.shown, line, column: 1 })),
    };
  }

  /** Every contribution to the structured files, later layers winning; components among themselves must agree. */
  #settings(
    owners: ReadonlyMap<string, Claim<{ doc: FileDoc; owner: Owner }>>,
  ): Map<string, readonly Change[]> {
    const found = new Map<string, Map<string, Setting>>();
    const { problems } = this.#rendering;
    for (const owner of this.#owners) {
      const items = this.#each<SettingsDoc, SettingsItem>(owner, "settings", ({ item, path, scope }) => ({
        item,
        path,
        place: this.#plain(item.file, scope, owner, [...path, "file"]),
      }));
      const scope = this.#scope(owner);
      for (const { item, path, place } of items) {
        const format = owners.get(place)?.item.doc.format;
        if (format === undefined) {
          const hint = suggest(
            place,
            [...owners].filter(([, { item: one }]) => one.doc.format !== undefined).map(([name]) => name),
          );
          problems.add({
            code: "unowned-file",
            at: positionOf(owner.loaded, [...path, "file"]),
            message: owners.has(place)
              ? `the file ${place} has no format, so it takes no settings`
              : `no component on node "${this.#node.name}" owns the file ${place}`,
            hint: hint ?? "a files: item with a format: must own it",
          });
          continue;
        }
        let entries = found.get(place);
        if (entries === undefined) {
          entries = new Map();
          found.set(place, entries);
        }
        const changes = this.#once(item, `set ${format}`, scope, () =>
          this.#changes(item, format, place, scope, owner, path),
        );
        for (const { change, spread } of changes)
          this.#put(entries, { change, rank: spread ? owner.rank - 0.5 : owner.rank }, place);
      }
    }
    return new Map(
      [...found].map(([place, entries]) => [place, [...entries.values()].map(({ change }) => change)]),
    );
  }

  /** What one item of settings changes in its file; what is spread from a map is weaker than what is named. */
  #changes(
    item: SettingsDoc,
    format: "ini" | "oslo" | "env",
    place: string,
    scope: Scope,
    owner: Owner,
    path: Path,
  ): readonly SetKey[] {
    const { problems } = this.#rendering;
    const encoder = format === "oslo" ? "oslo" : undefined;
    /** @param of the object of the document that has the key */
    const one = (of: object, section: string, key: string, raw: unknown, at: Path): SetKey => {
      const change = this.#once(of, `${format} ${key}`, scope, () => ({
        section,
        key,
        value:
          raw === null
            ? null
            : Array.isArray(raw)
              ? raw.map((item, index) => this.#setting(item, scope, owner, [...at, index], encoder))
              : this.#setting(raw, scope, owner, at, encoder),
        from: positionOf(owner.loaded, at, "key"),
      }));
      return { change, spread: false };
    };
    const spreadOf = (section: string, name: string, at: Path): readonly SetKey[] => {
      const found = lookup(name, [scope], this.#rendering);
      const from = positionOf(owner.loaded, at);
      if (!found.ok) {
        if (found.problem === null) problems.addFollowing();
        else problems.add({ ...found.problem, at: from });
        return [];
      }
      const map = found.value;
      if (map === null || typeof map !== "object" || Array.isArray(map) || map instanceof Text) {
        problems.add({ code: "wrong-type", at: from, message: `${name} is not a map of settings` });
        return [];
      }
      return Object.entries(map as { [key: string]: Value }).map(([key, given]) => {
        const filled = given instanceof Text || typeof given === "string" ? given : String(given);
        const value = encoder === undefined ? filled : encoded("osloValue", encoded(encoder, filled));
        return { change: { section, key, value, from }, spread: true };
      });
    };
    return Object.entries(item.set).flatMap(([section, values]) => {
      const at: Path = [...path, "set", section];
      if (format === "env") return [one(item.set, "", section, values, at)];
      if (values === null || typeof values !== "object" || Array.isArray(values)) {
        problems.add({
          code: "wrong-type",
          at: positionOf(owner.loaded, at),
          message: `"${section}" must be a section with keys, as ${place} is ${format}`,
          hint: "set: { section: { key: value } }",
        });
        return [];
      }
      return this.#once(values, `section of ${format}`, scope, () =>
        Object.entries(values).flatMap(([key, raw]) =>
          key === "$use"
            ? spreadOf(section, String(raw), [...at, key])
            : [one(values, section, key, raw, [...at, key])],
        ),
      );
    });
  }

  #setting(raw: unknown, scope: Scope, owner: Owner, at: Path, encoder: "oslo" | undefined): Filled {
    if (raw !== null && typeof raw === "object") {
      this.#rendering.problems.add({
        code: "wrong-type",
        at: positionOf(owner.loaded, at),
        message: "a setting is a text, a number, true, false or a list of these",
      });
      return "";
    }
    const value =
      typeof raw === "string"
        ? evaluate(raw, scope, owner.loaded, at, this.#rendering, encoder)
        : (raw as Value);
    if (value === null || (typeof value === "object" && !(value instanceof Text))) {
      this.#rendering.problems.add({
        code: "template-value",
        at: positionOf(owner.loaded, at),
        message: "a setting is a text, a number or true or false, and this names a list, a map or nothing",
        hint: "write a section of the template that joins it: {{#list}}{{.}} {{/list}}",
      });
      return "";
    }
    if (value instanceof Text || typeof value === "string") {
      if (/[\n\r\0]/.test(redacted(value)))
        this.#rendering.problems.add({
          code: "wrong-value",
          at: positionOf(owner.loaded, at),
          message: "a setting may not have line breaks",
        });
      // What the author wrote stands as it is; what was put in for it must come back as it was.
      return encoder === "oslo" && typeof raw === "string" && raw.includes("{{")
        ? encoded("osloValue", value)
        : value;
    }
    return String(value);
  }

  #put(entries: Map<string, Setting>, setting: Setting, place: string): void {
    const { section, key, value, from } = setting.change;
    const id = `${section}\n${key}`;
    const other = entries.get(id);
    if (other === undefined || setting.rank > other.rank) entries.set(id, setting);
    else if (setting.rank === other.rank && asKey(value as Value) !== asKey(other.change.value as Value)) {
      this.#rendering.problems.add({
        code: "clash",
        at: from,
        message: `[${section}] ${key} of ${place} is set twice, differently, on node "${this.#node.name}"`,
        hint: "let one component set it; a profile, the site or a node may override it",
        also: [{ at: other.change.from, label: "the other setting" }],
      });
    }
  }

  /** The content of a structured file: one object for all nodes that have the same changes in it. */
  #structured(
    doc: FileDoc,
    format: "ini" | "oslo" | "env",
    given: readonly Change[],
    from: Position,
  ): PlannedFile["content"] {
    const changes = this.#shared.same(doc, "changes", given, isSameList);
    return this.#once(changes, "content", {}, () =>
      doc.base === "package"
        ? { kind: "changes", format, changes }
        : { kind: "whole", ...structuredText(format, changes, from) },
    );
  }

  #dropIns(): PlannedFile[] {
    const claims = new Map<string, Claim<PlannedFile>>();
    for (const owner of this.#owners) {
      const dropIns = this.#each<UnitDoc, DropIn | null>(
        owner,
        "units",
        ({ item, path, from, scope }) => this.#dropIn(item, path, from, scope, owner),
        "drop-ins",
      );
      for (const dropIn of dropIns) {
        if (dropIn === null) continue;
        const { unit, text: key, file } = dropIn;
        this.#claim(claims, file.path, `the drop-in of ${unit}`, { item: file, from: file.from, key });
      }
    }
    return [...claims.values()].map(({ item }) => item);
  }

  #dropIn(item: UnitDoc, path: Path, from: Position, scope: Scope, owner: Owner): DropIn | null {
    if (item.drop_in === undefined) return null;
    const unit = this.#plain(item.unit, scope, owner, [...path, "unit"]);
    let whole = "";
    const lines: Position[] = [];
    for (const [section, values] of Object.entries(item.drop_in)) {
      whole += `[${section}]\n`;
      lines.push(positionOf(owner.loaded, [...path, "drop_in", section], "key"));
      for (const [key, value] of Object.entries(values)) {
        for (const one of [value].flat() as Scalar[]) {
          const value = this.#plain(one, scope, owner, [...path, "drop_in", section, key]);
          if (/[\n\r\0]/.test(value)) {
            this.#rendering.problems.add({
              code: "wrong-value",
              at: positionOf(owner.loaded, [...path, "drop_in", section, key]),
              message: `"${key}" may not have line breaks`,
              hint: "a list writes the key several times",
            });
          }
          whole += `${key}=${value}\n`;
          lines.push(positionOf(owner.loaded, [...path, "drop_in", section, key], "key"));
        }
      }
    }
    const file: PlannedFile = {
      path: `/etc/systemd/system/${unit}.d/50-seedsmith.conf`,
      owner: "root:root",
      mode: "0644",
      once: false,
      content: { kind: "whole", text: whole, lines },
      restarts: [unit],
      from,
    };
    return { unit, text: whole, file };
  }

  // Actions

  /** An action whose id is not taken on this node: a second one of an id is numbered. */
  #numbered<T extends Action>(action: T): T {
    const { id: base } = action;
    // Past names that end in that number themselves.
    let count = (this.#ids.get(base) ?? 0) + 1;
    while (count > 1 && this.#ids.has(`${base}-${count}`)) count += 1;
    this.#ids.set(base, count);
    if (count === 1) return action;
    const id = `${base}-${count}`;
    this.#ids.set(id, 1);
    return this.#shared.same(action, id, { ...action, id }, () => true);
  }

  #argv(
    doc: { run?: readonly Scalar[]; script?: string; args?: readonly Scalar[] },
    scope: Scope,
    owner: Owner,
    path: Path,
  ): readonly Filled[] {
    if (doc.script !== undefined) {
      const file = this.#script(owner, doc.script, [...path, "script"]);
      const place = scriptPath(file?.component ?? owner.title, file?.name ?? doc.script);
      if (file !== null) {
        this.#putScript({ path: place, mode: "0755", text: file.text, file: file.shown });
        this.#putImports(file.component, new Set());
      }
      return [
        place,
        ...(doc.args ?? []).map((arg, index) => this.#plain(arg, scope, owner, [...path, "args", index])),
      ];
    }
    return (doc.run ?? []).map((arg, index) => this.#plain(arg, scope, owner, [...path, "run", index]));
  }

  #putScript(made: Script): void {
    const script = this.#shared.same(this.#library, `script ${made.path}`, made, isSameScript);
    this.#keepScript(script);
    this.#taken?.scripts.push(script);
  }

  /** Once a node. What is run, and imported besides, stays what can be run. */
  #keepScript(script: Script): void {
    if (this.#scripts.get(script.path)?.mode !== "0755") this.#scripts.set(script.path, script);
  }

  /** Puts what a component's scripts import, and what that imports in turn, where scripts of the component are put. */
  #putImports(name: string, seen: Set<string>): void {
    const component = this.#library.components.get(name);
    if (component === undefined || seen.has(name)) return;
    seen.add(name);
    const owner = ownerOf(component);
    for (const [index, item] of (component.doc.imports ?? []).entries()) {
      const file = this.#script(owner, item, ["imports", index]);
      if (file === null) continue;
      const path = scriptPath(file.component, file.name);
      this.#putScript({ path, mode: "0644", text: file.text, file: file.shown });
      this.#putImports(file.component, seen);
    }
  }

  #env(
    env: { readonly [name: string]: Scalar } | undefined,
    scope: Scope,
    owner: Owner,
    path: Path,
  ): { [name: string]: Filled } {
    return Object.fromEntries(
      Object.entries(env ?? {}).map(([name, value]) => [
        name,
        this.#text(value, scope, owner, [...path, "env", name]),
      ]),
    );
  }

  #probe(doc: ProbeDoc, scope: Scope, owner: Owner, path: Path): Probe {
    const kinds = (["tcp", "http", "run", "script", "file", "unit"] as const).filter(
      (kind) => doc[kind] !== undefined,
    );
    if (kinds.length !== 1) {
      this.#rendering.problems.add({
        code: kinds.length === 0 ? "missing-key" : "clash",
        at: positionOf(owner.loaded, path),
        message: `a probe needs exactly one of tcp, http, run, script, file and unit${kinds.length === 0 ? "" : `, and has ${kinds.join(" and ")}`}`,
      });
    }
    const belongs: Record<string, readonly string[]> = {
      tcp: [],
      http: ["status", "contains"],
      run: ["user", "env", "stdin", "exit", "prints"],
      script: ["args", "user", "env", "stdin", "exit", "prints"],
      file: ["contains"],
      unit: [],
    };
    for (const key of ["status", "contains", "args", "user", "env", "stdin", "exit", "prints"] as const) {
      if (doc[key] !== undefined && kinds.length === 1 && !belongs[kinds[0] ?? ""]?.includes(key)) {
        this.#rendering.problems.add({
          code: "unknown-key",
          at: positionOf(owner.loaded, [...path, key], "key"),
          message: `"${key}" does nothing in a ${kinds[0]} probe`,
          hint: "remove it",
        });
      }
    }
    const timeout =
      seconds(doc.timeout ?? (doc.run !== undefined || doc.script !== undefined ? "30s" : "10s")) ?? 10;
    const contains =
      doc.contains === undefined ? null : this.#text(doc.contains, scope, owner, [...path, "contains"]);
    if (doc.tcp !== undefined)
      return { kind: "tcp", timeout, address: this.#text(doc.tcp, scope, owner, [...path, "tcp"]) };
    if (doc.http !== undefined)
      return {
        kind: "http",
        timeout,
        url: this.#text(doc.http, scope, owner, [...path, "http"]),
        status: String(doc.status ?? "2xx"),
        contains,
      };
    if (doc.file !== undefined)
      return { kind: "file", timeout, path: this.#text(doc.file, scope, owner, [...path, "file"]), contains };
    if (doc.unit !== undefined)
      return { kind: "unit", timeout, unit: this.#text(doc.unit, scope, owner, [...path, "unit"]) };
    return {
      kind: "run",
      timeout,
      run: this.#argv(doc, scope, owner, path),
      user: doc.user ?? null,
      env: this.#env(doc.env, scope, owner, path),
      stdin: doc.stdin === undefined ? null : this.#text(doc.stdin, scope, owner, [...path, "stdin"]),
      exit: doc.exit ?? 0,
      prints: doc.prints === undefined ? null : this.#text(doc.prints, scope, owner, [...path, "prints"]),
    };
  }

  #namedProbe(
    kind: "ready" | "check",
    doc: NamedProbeDoc,
    scope: Scope,
    owner: Owner,
    path: Path,
  ): ProbeAction {
    return this.#numbered(
      this.#once(doc, kind, scope, () => this.#probeAction(kind, doc, scope, owner, path)),
    );
  }

  #probeAction(
    kind: "ready" | "check",
    doc: NamedProbeDoc,
    scope: Scope,
    owner: Owner,
    path: Path,
  ): ProbeAction {
    const name = this.#plain(doc.name, scope, owner, [...path, "name"]);
    return {
      kind,
      id: actionId(kind === "check" ? `${owner.title}/check` : owner.title, name),
      name,
      probe: this.#probe(doc, scope, owner, path),
      within: seconds(doc.within ?? defaultWithin[kind]) ?? 180,
      hint: doc.hint === undefined ? null : this.#plain(doc.hint, scope, owner, [...path, "hint"]),
      for: null,
      from: positionOf(owner.loaded, path),
    };
  }

  #step(doc: StepDoc, scope: Scope, owner: Owner, path: Path): Step {
    const { problems } = this.#rendering;
    const from = positionOf(owner.loaded, path);
    const name = this.#plain(doc.name, scope, owner, [...path, "name"]);
    if ((doc.run === undefined) === (doc.script === undefined)) {
      problems.add({
        code: "missing-key",
        at: from,
        message: `the step "${name}" needs either run or script`,
        hint: "run: [command, argument] or script: file",
      });
    }
    if (doc.run !== undefined && doc.args !== undefined)
      problems.add({
        code: "unknown-key",
        at: positionOf(owner.loaded, [...path, "args"], "key"),
        message: "args belong to a script",
        hint: "put them into run",
      });
    if (doc.unless === undefined && doc.repeat === undefined) {
      problems.add({
        code: "missing-steps-guard",
        at: from,
        message: `the step "${name}" has neither unless nor repeat: safe`,
        hint: "say how to see that it is done, or that running it again changes nothing",
      });
    }
    if (doc.unless !== undefined && doc.repeat !== undefined)
      problems.add({
        code: "clash",
        at: from,
        message: `the step "${name}" has both unless and repeat`,
        hint: "keep one",
      });
    if (doc.at === "first" && doc.unless === undefined) {
      problems.add({
        code: "missing-steps-guard",
        at: from,
        message: `the step "${name}" runs on the first node only, so it needs unless: the other nodes wait for it`,
        hint: "say how to see that it is done",
      });
    }
    return {
      kind: "step",
      id: actionId(owner.title, name),
      name,
      run: this.#argv(doc, scope, owner, path),
      user: doc.user === undefined ? null : this.#plain(doc.user, scope, owner, [...path, "user"]),
      env: this.#env(doc.env, scope, owner, path),
      stdin: doc.stdin === undefined ? null : this.#text(doc.stdin, scope, owner, [...path, "stdin"]),
      within: seconds(doc.within ?? defaultWithin.step) ?? 600,
      hint: doc.hint === undefined ? null : this.#plain(doc.hint, scope, owner, [...path, "hint"]),
      unless: doc.unless === undefined ? null : this.#probe(doc.unless, scope, owner, [...path, "unless"]),
      repeatSafe: doc.repeat === "safe",
      from,
    };
  }

  /** Steps of one phase; a step of the first node becomes a wait for its `unless` on the other members. */
  #steps(noun: "before_start" | "after_start", owner: Owner): Action[] {
    const first = owner.component === null ? this.#node : this.#site.groups.get(owner.component.name)?.[0];
    return [...this.#items<StepDoc>(owner, noun)].map(({ item, path, scope }) => {
      const step = this.#numbered(
        this.#once(item, "step", scope, () => this.#step(item, scope, owner, path)),
      );
      if (item.at === "first" && owner.component === null) {
        this.#rendering.problems.add({
          code: "wrong-value",
          at: positionOf(owner.loaded, [...path, "at"]),
          message: `at: first has no meaning in ${owner.title}: only a component runs on a group of nodes`,
          hint: "put the step into the one node that shall run it, or into a component",
        });
      }
      if (item.at !== "first" || first === this.#node || step.unless === null) return step;
      if (first !== undefined) this.#peers.add(first.name);
      const wait: ProbeAction = {
        kind: "wait",
        id: step.id,
        name: `${step.name} on ${first?.name}`,
        probe: step.unless,
        within: this.#site.waitForNodes,
        hint: step.hint,
        for: first?.name ?? null,
        from: step.from,
      };
      return this.#shared.same(item, "wait", wait, isSameWait);
    });
  }

  /** The waits that the needs of an owner mean on this node: one for each instance that another node provides. */
  #waits(owner: Owner, merged: Merged): ProbeAction[] {
    const waits: ProbeAction[] = [];
    for (const need of this.#needs.of(this.#node, owner).values()) {
      const { instance } = need;
      if (instance === null) continue;
      for (const member of instance.members) if (member !== this.#node) this.#peers.add(member.name);
      if (!need.wait || (instance.provider === owner.component && instance.members.includes(this.#node)))
        continue;
      const { resource, provider } = instance;
      const hasSteps = (resource.steps ?? []).length > 0;
      const others = instance.members.filter((member) => member !== this.#node);
      const here = others.length < instance.members.length;
      if (others.length === 0 || (here && hasSteps && instance.first === this.#node)) continue;
      if (isMerged(merged, `wait ${instance.id}`)) continue;
      if (resource.ready !== undefined) {
        const { ready } = resource;
        const path: Path = ["resources", instance.resourceName, "ready"];
        const probe = this.#once(instance, "ready", {}, () => {
          const scope = this.#needs.resourceScope(instance);
          lazy(scope, "gives", () => this.#needs.gives(instance));
          return this.#probe(ready, scope as Scope, ownerOf(provider), path);
        });
        waits.push(this.#wait(instance, instance.first, probe, need, owner));
        continue;
      }
      for (const member of others) {
        const probes = this.#remoteReady(provider, member);
        if (probes.length === 0 && !(provider.doc.ready ?? []).some(isRemote)) {
          this.#rendering.problems.add({
            code: "no-remote-ready",
            at: positionOf(provider.loaded, ["resources", instance.resourceName], "key"),
            message: `node "${this.#node.name}" must wait for ${instance.id} on "${member.name}", and neither the resource nor "${provider.name}" has a ready that can be asked from there`,
            hint: "give the resource a ready, or the need wait: false",
            also: [{ at: need.from, label: "the need" }],
          });
        }
        for (const probe of probes) waits.push(this.#wait(instance, member, probe, need, owner));
      }
    }
    return waits;
  }

  /** A provider's own ready on a node of its, as far as it can be asked over the network, in the provider's own words. */
  #remoteReady(provider: Component, member: Node): readonly Probe[] {
    return this.#once(member, `ready of ${provider.name}`, {}, () => {
      const owner = ownerOf(provider);
      const { ready = [] } = provider.doc;
      const scope = baseScope(member, provider, this.#site, this.#library);
      lazy(scope, "secrets", () => this.#needs.secretScope(provider));
      lazy(scope, "needs", () =>
        Object.fromEntries([...this.#needs.of(member, owner)].map(([alias, { view }]) => [alias, view])),
      );
      return ready.flatMap((doc, index) => {
        const path: Path = ["ready", index];
        const asked =
          isRemote(doc) && holds(doc.when, scope as Scope, provider.loaded, path, this.#rendering);
        return asked ? [this.#probe(doc, scope as Scope, owner, path)] : [];
      });
    });
  }

  /** The wait of an owner's need for an instance on another node. The same on every node that has the need. */
  #wait({ id }: Instance, on: Node, probe: Probe, need: Need, owner: Owner): ProbeAction {
    const { name: member } = on;
    const wait = this.#once(probe, `wait for ${id} of ${owner.title} as ${need.alias}`, {}, () => {
      const name = `${id} on ${member}`;
      return {
        kind: "wait" as const,
        id: actionId("wait", name),
        name,
        probe,
        within: this.#site.waitForNodes,
        hint: `is ${member} powered on, and how far is it? seedsmith-node status there tells`,
        for: member,
        from: need.from,
      };
    });
    return this.#numbered(wait);
  }

  /**
   * The node's part of the one order, in blocks, and what the graph says of them: those that it leaves open may be
   * done side by side. What a base profile brings is done before what the profiles that extend it bring, where the
   * order agrees: it is what the rest stands on (the right time, say), whether or not somebody says so.
   */
  #blocks(): readonly Block[] {
    const blocks: { id: string; title: string; rank: number; actions: Action[]; after: Set<number> }[] = [];
    // In which blocks a vertex is done; one without actions is done when all that it comes after is.
    const doneIn = new Map<Vertex, ReadonlySet<number>>();
    const merged: Merged = { at: new Map(), after: new Set() };
    const rankOf = this.#ranks();
    for (const vertex of this.#sequence) {
      merged.after.clear();
      const actions = this.#vertexActions(vertex, merged);
      const after = new Set([
        ...vertex.here.flatMap((other) => [...(doneIn.get(other) ?? [])]),
        ...merged.after,
      ]);
      const { title } = vertex.owner;
      if (actions.length > 0 && blocks.at(-1)?.title !== title) {
        const times = blocks.filter((block) => block.title === title).length;
        const id = `${blockId(title)}${times === 0 ? "" : `-${times + 1}`}`;
        const rank = rankOf(vertex.owner);
        const lower = blocks.flatMap((other, at) => (other.rank < rank ? [at] : []));
        blocks.push({ id, title, rank, actions: [], after: new Set(lower) });
      }
      const index = blocks.length - 1;
      const block = blocks[index];
      if (actions.length === 0 || block === undefined) {
        doneIn.set(vertex, after);
        continue;
      }
      block.actions.push(...actions);
      for (const other of after) if (other !== index) block.after.add(other);
      doneIn.set(vertex, new Set([index]));
      for (const key of merged.at.keys()) if (merged.at.get(key) === null) merged.at.set(key, index);
    }
    // All that each comes after, directly or not: what is in another's need not be said.
    const behind: Set<number>[] = [];
    return blocks.map(({ id, title, actions, after }) => {
      const indirect = new Set([...after].flatMap((other) => [...(behind[other] ?? [])]));
      behind.push(new Set([...after, ...indirect]));
      const direct = [...after].filter((other) => !indirect.has(other)).sort((a, b) => a - b);
      const block = { id, title, after: direct.flatMap((other) => blocks[other]?.id ?? []), actions };
      return this.#shared.same(this.#library, `block ${id}`, block, isSameBlock);
    });
  }

  /** Tells which profile of the node's chain brings an owner: 0 is the base. Layers come after all of them. */
  #ranks(): (owner: Owner) => number {
    const { components, profiles } = this.#node;
    const place = new Map(components.map(({ name }, index) => [name, index]));
    let end = -1;
    const ends = profiles.map(({ doc }) => {
      for (const item of doc.components ?? [])
        end = Math.max(end, place.get(typeof item === "string" ? item : item.use) ?? -1);
      return end;
    });
    return ({ component }) => {
      const at = component === null ? undefined : place.get(component.name);
      const rank = at === undefined ? -1 : ends.findIndex((last) => at <= last);
      return rank < 0 ? profiles.length : rank;
    };
  }

  #vertexActions(vertex: Vertex, merged: Merged): Action[] {
    const { owner } = vertex;
    switch (vertex.phase) {
      case "before":
        return [...this.#waits(owner, merged), ...this.#steps("before_start", owner)];
      case "up": {
        const actions: Action[] = [];
        for (const { item, path, from, scope } of this.#items<UnitDoc>(owner, "units")) {
          const { action, key } = this.#once(item, "unit", scope, () =>
            this.#unit(item, scope, owner, path, from),
          );
          const { unit } = action;
          this.#claim(this.#unitClaims, unit, `the unit ${unit}`, { item: null, from, key });
          // Equal claims merge: the unit is started where the first of them stands.
          if (!isMerged(merged, `unit ${unit}`)) actions.push(this.#numbered(action));
        }
        for (const { item, path, scope } of this.#items<NamedProbeDoc>(owner, "ready"))
          actions.push(this.#namedProbe("ready", item, scope, owner, path));
        return actions;
      }
      case "after":
        return this.#steps("after_start", owner);
      case "instance": {
        const instance = vertex.instance as Instance;
        const base = this.#scope(owner);
        const scope = Object.defineProperties({}, Object.getOwnPropertyDescriptors(base)) as Record<
          string,
          Value | Unavailable | undefined
        >;
        const shared = this.#needs.resourceScope(instance);
        for (const name of ["params", "host", "address", "members"]) scope[name] = shared[name];
        lazy(scope, "gives", () => this.#needs.gives(instance));
        return (instance.resource.steps ?? []).flatMap((doc, index) => {
          const path: Path = ["resources", instance.resourceName, "steps", index];
          return holds(doc.when, scope as Scope, owner.loaded, path, this.#rendering)
            ? [
                this.#numbered(
                  this.#once(instance, `step ${index}`, scope as Scope, () =>
                    this.#step(doc, scope as Scope, owner, path),
                  ),
                ),
              ]
            : [];
        });
      }
    }
  }

  /** A unit's action, and what must be equal in all that claim the unit. */
  #unit(
    doc: UnitDoc,
    scope: Scope,
    owner: Owner,
    path: Path,
    from: Position,
  ): { readonly action: Unit; readonly key: string } {
    const unit = this.#plain(doc.unit, scope, owner, [...path, "unit"]);
    if (!this.#doubtful && !/^[A-Za-z0-9@:_.\\-]+\.(service|socket|timer|target|path|mount)$/.test(unit)) {
      this.#rendering.problems.add({
        code: "bad-name",
        at: positionOf(owner.loaded, [...path, "unit"]),
        message: `"${unit}" is not the name of a unit`,
        hint: "write it with its suffix, such as ssh.service",
      });
    }
    const validate =
      doc.validate === undefined ? null : this.#probe(doc.validate, scope, owner, [...path, "validate"]);
    const within = seconds(doc.within ?? defaultWithin.unit) ?? 300;
    return {
      action: { kind: "unit", id: actionId(owner.title, unit), unit, validate, within, from },
      key: asKey({ validate, within } as unknown as Value),
    };
  }

  /** Checks in the order of the components; those that name another node by a need come last. */
  #checks(): readonly ProbeAction[] {
    const near: ProbeAction[] = [];
    const far: ProbeAction[] = [];
    for (const owner of this.#owners) {
      const needs = this.#needs.of(this.#node, owner);
      for (const { item, path, scope } of this.#items<NamedProbeDoc>(owner, "checks")) {
        let remote = false;
        const used = (name: string): void => {
          const alias = name.startsWith("needs.") ? name.slice("needs.".length) : null;
          const instance = alias === null ? null : (needs.get(alias)?.instance ?? null);
          if (instance !== null && !instance.members.includes(this.#node)) remote = true;
        };
        this.#used = used;
        const action = this.#namedProbe("check", item, scope, owner, path);
        this.#used = null;
        (remote ? far : near).push(action);
      }
    }
    return [...near, ...far];
  }

  #cloudConfig(): NodePlan["cloudConfig"] {
    const merged = new Map<string, { value: unknown; from: Position }>();
    for (const layer of this.#node.layers) {
      for (const [key, value] of Object.entries(layer.cloudConfig)) {
        const before = merged.get(key)?.value;
        const both = isMap(before) && isMap(value) ? { ...before, ...value } : value;
        merged.set(key, {
          value: both,
          from: positionOf(layer.loaded, [...layer.path, "cloud_config", key], "key"),
        });
      }
    }
    return [...merged].map(([key, { value, from }]) => ({ key, value, from }));
  }

  #hosts(): NodePlan["hosts"] {
    const { nodes, doc, loaded } = this.#site;
    const mode = doc.hosts ?? "auto";
    const all = mode === "all" || (mode === "auto" && nodes.length <= hostsLimit);
    const hosts: NodePlan["hosts"][number][] = [];
    const named = all ? nodes : this.#neighbours();
    for (const node of named) {
      const { address, fqdn, name, path } = node;
      if (address === null) continue;
      const made = (): NodePlan["hosts"][number] => ({
        address,
        names: fqdn === null ? [name] : [fqdn, name],
        from: positionOf(loaded, path, "key"),
      });
      // Kept of those that others name, not of each for itself.
      hosts.push(node === this.#node ? made() : this.#once(node, "host", {}, made));
    }
    const { front, domain } = doc;
    if (front !== undefined)
      hosts.push(
        this.#once(this.#site, "host", {}, () => ({
          address: front.address,
          names: domain === undefined ? [front.name] : [`${front.name}.${domain}`, front.name],
          from: positionOf(loaded, ["front"], "key"),
        })),
      );
    return hosts;
  }

  /** The node itself, those it talks to, and, as members of a small group (a cluster) name each other, those. */
  #neighbours(): readonly Node[] {
    const found = new Set([this.#node]);
    for (const name of this.#peers) {
      const peer = this.#site.byName.get(name);
      if (peer !== undefined) found.add(peer);
    }
    for (const { name } of this.#node.components) {
      const members = this.#site.groups.get(name) ?? [];
      if (members.length <= 9) for (const member of members) found.add(member);
    }
    return [...found].sort((a, b) => a.index - b.index);
  }
}

/** The text of a structured file of its own, and where each line came from. */
function structuredText(
  format: "ini" | "oslo" | "env",
  changes: readonly Change[],
  from: Position,
): { readonly text: Filled; readonly lines: readonly Position[] } {
  const out: (Filled | string)[] = [];
  const lines: Position[] = [];
  const line = (at: Position, ...pieces: Filled[]): void => {
    out.push(...pieces, "\n");
    lines.push(at);
  };
  const sections = new Map<string, Change[]>();
  for (const change of changes) {
    const list = sections.get(change.section);
    if (list === undefined) sections.set(change.section, [change]);
    else list.push(change);
  }
  for (const [section, list] of sections) {
    if (format !== "env") line(list[0]?.from ?? from, `[${section}]`);
    for (const { key, value, from: at } of list) {
      if (value === null) continue;
      for (const one of Array.isArray(value) ? (value as readonly Filled[]) : [value as Filled]) {
        if (format === "env")
          line(
            at,
            `${key}=`,
            typeof one === "string" ? encode("env", one) : new Text([{ encode: "env", parts: one.parts }]),
          );
        else line(at, format === "oslo" ? `${key} = ` : `${key} = `, one);
      }
    }
  }
  return { text: text(out.flatMap((piece) => parts(piece))), lines };
}

/** A component by itself, wherever it runs. */
function ownerOf(component: Component): Owner {
  const { name: title, doc: nouns, loaded } = component;
  return { title, component, nouns, loaded, path: [], rank: 0 };
}

/** Whether a probe can be asked from another machine. */
function isRemote(doc: ProbeDoc): boolean {
  return doc.tcp !== undefined || doc.http !== undefined;
}

/** Where a file of a component's folder lies on a node that runs it: components beside each other, as in the library. */
function scriptPath(component: string, name: string): string {
  return `/usr/local/lib/seedsmith/${component}/${name}`;
}

const deep = new WeakMap<Component, Set<string>>();

function requiresDeep(component: Component, name: string, library: Library): boolean {
  let names = deep.get(component);
  if (names === undefined) {
    names = new Set();
    deep.set(component, names);
    for (const item of component.doc.requires ?? []) {
      const use = typeof item === "string" ? item : item.use;
      names.add(use);
      const next = library.components.get(use);
      if (next !== undefined) {
        requiresDeep(next, "", library);
        for (const one of deep.get(next) ?? []) names.add(one);
      }
    }
  }
  return names.has(name);
}

/** Whether a node's file is another node's too. */
function isSameFile(a: PlannedFile, b: PlannedFile): boolean {
  return (
    a.content === b.content &&
    a.path === b.path &&
    a.owner === b.owner &&
    a.mode === b.mode &&
    a.once === b.once &&
    isSameList(a.restarts, b.restarts) &&
    isSamePosition(a.from, b.from)
  );
}

/** Whether a node's script is another node's too. */
function isSameScript(a: Script, b: Script): boolean {
  return a.path === b.path && a.mode === b.mode && a.text === b.text && a.file === b.file;
}

/** Whether a node's block is another node's too. */
function isSameBlock(a: Block, b: Block): boolean {
  return a.title === b.title && isSameList(a.after, b.after) && isSameList(a.actions, b.actions);
}

function isSameList(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index]);
}

/** Whether a node's wait is another node's too. */
function isSameWait(a: ProbeAction, b: ProbeAction): boolean {
  return (
    a.probe === b.probe &&
    a.id === b.id &&
    a.name === b.name &&
    a.within === b.within &&
    a.hint === b.hint &&
    a.for === b.for &&
    isSamePosition(a.from, b.from)
  );
}

/** The id of an action by its owner and name, before actions of one name are told apart. */
function actionId(owner: string, name: string): string {
  const slug =
    name
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 48) || "step";
  return `${blockId(owner)}/${slug}`;
}

/** An id from an owner's title (`profile base`): without blanks, as consoles and logs are split at them. */
/** Units and waits that several owners ask for stand where the first of them does; the others come after that block. */
interface Merged {
  /** The block of each; null while its vertex is being planned. */
  readonly at: Map<string, number | null>;
  /** The blocks that the vertex being planned comes after because of this. */
  readonly after: Set<number>;
}

/** Whether somebody asked before. */
function isMerged(merged: Merged, key: string): boolean {
  const known = merged.at.get(key);
  if (known === undefined) merged.at.set(key, null);
  else if (known !== null) merged.after.add(known);
  return known !== undefined;
}

function blockId(title: string): string {
  return title.replaceAll(" ", ":");
}

function isMap(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** For messages: where a planned thing came from. */
export function originOf(from: Position): string {
  return longPosition(from);
}

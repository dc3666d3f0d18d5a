/** Needs and resources: who provides what to whom, as instances. */
import type { Position } from "../core/position.ts";
import { suggest } from "../core/suggest.ts";
import { type Filled, redacted, Text, type Value } from "../core/text.ts";
import { type Loaded, type Path, positionOf } from "../load/marks.ts";
import type { Component, Library, Node, Site } from "../resolve/model.ts";
import { baseScope, groupScope, lazy, secretHole } from "../resolve/scope.ts";
import { evaluate, holds, type Rendering, type Scope, Unavailable } from "../resolve/template.ts";
import type { NeedDoc, Nouns, ResourceDoc, SecretDoc } from "../validate/documents.ts";

/** Who asks, or carries nouns: a component, or a layer (profile, site, node). */
export interface Owner {
  readonly title: string;
  readonly component: Component | null;
  readonly nouns: Nouns;
  readonly loaded: Loaded;
  readonly path: Path;
  /** Layers win over components, later layers over earlier ones. */
  readonly rank: number;
}

export interface Instance {
  readonly id: string;
  readonly provider: Component;
  readonly resourceName: string;
  readonly resource: ResourceDoc;
  readonly params: { readonly [name: string]: Value };
  readonly members: readonly Node[];
  readonly first: Node;
  readonly from: Position;
}

export interface Need {
  readonly alias: string;
  readonly instance: Instance | null;
  readonly wait: boolean;
  readonly from: Position;
  readonly view: Scope;
}

export class Needs {
  readonly #site: Site;
  readonly #library: Library;
  readonly #rendering: Rendering;
  readonly #instances = new Map<string, Instance>();
  readonly #byNode = new Map<string, Map<string, Need>>();
  readonly #static = new Map<string, Need>();
  readonly #failed = new Set<string>();
  readonly #providers = new Map<string, readonly Node[]>();
  readonly #gives = new Map<Instance, Scope>();
  /** Every secret that something names, with what is said of it. */
  readonly secrets = new Map<string, SecretDoc>();

  constructor(site: Site, library: Library, rendering: Rendering) {
    this.#site = site;
    this.#library = library;
    this.#rendering = rendering;
  }

  /** The instances of one component, in the order they were first asked for. */
  instancesOf(component: Component): readonly Instance[] {
    return [...this.#instances.values()].filter((instance) => instance.provider === component);
  }

  get instances(): Iterable<Instance> {
    return this.#instances.values();
  }

  /** The nodes that provide a resource: those that run its component and whose `when` holds. */
  providers(component: Component, name: string): readonly Node[] {
    const key = `${component.name}.${name}`;
    let members = this.#providers.get(key);
    if (members === undefined) {
      const resource = component.doc.resources?.[name];
      members = (this.#site.groups.get(component.name) ?? []).filter((node) =>
        holds(
          resource?.when,
          baseScope(node, component, this.#site, this.#library) as Scope,
          component.loaded,
          ["resources", name],
          this.#rendering,
        ),
      );
      this.#providers.set(key, members);
    }
    return members;
  }

  /** Lets go of what is known of a node's needs; they can be asked for again. */
  forget(node: Node, owners: readonly Owner[]): void {
    for (const owner of owners) this.#byNode.delete(`${node.name}\n${owner.title}`);
  }

  /** The needs of an owner on a node, by alias. */
  of(node: Node, owner: Owner): ReadonlyMap<string, Need> {
    const key = `${node.name}\n${owner.title}`;
    let needs = this.#byNode.get(key);
    if (needs === undefined) {
      needs = new Map();
      this.#byNode.set(key, needs);
      for (const [alias, doc] of Object.entries(owner.nouns.needs ?? {})) {
        const need = this.#resolve(node, owner, alias, doc);
        if (need !== null) needs.set(alias, need);
      }
    }
    return needs;
  }

  /** Whether a need could not be resolved somewhere, which was reported. */
  failed(owner: Owner, alias: string): boolean {
    return this.#failed.has(`${owner.title}\n${alias}`);
  }

  #resolve(node: Node, owner: Owner, alias: string, doc: NeedDoc): Need | null {
    const path: Path = [...owner.path, "needs", alias];
    const { problems } = this.#rendering;
    const at = positionOf(owner.loaded, [...path, "use"]);
    const isStatic =
      owner.component !== null && doc.when === undefined && !JSON.stringify(doc.with ?? {}).includes("{{");
    const staticKey = `${owner.title}\n${alias}`;
    if (isStatic) {
      const known = this.#static.get(staticKey);
      if (known !== undefined) return known;
    }
    const dot = doc.use.indexOf(".");
    const providerName = dot < 0 ? doc.use : doc.use.slice(0, dot);
    const resourceName = dot < 0 ? "" : doc.use.slice(dot + 1);
    const provider = this.#library.components.get(providerName);
    if (provider === undefined && this.#library.broken?.has(`component ${providerName}`)) {
      this.#failed.add(staticKey);
      return null;
    }
    if (provider === undefined) {
      const hint = suggest(providerName, [...this.#library.components.keys()]);
      problems.add({
        code: "unknown-component",
        at,
        message: `there is no component "${providerName}"`,
        ...(hint === undefined ? {} : { hint }),
      });
      this.#failed.add(staticKey);
      return null;
    }
    const resource = Object.hasOwn(provider.doc.resources ?? {}, resourceName)
      ? provider.doc.resources?.[resourceName]
      : undefined;
    if (resource === undefined) {
      const hint = suggest(resourceName, Object.keys(provider.doc.resources ?? {}));
      problems.add({
        code: "unknown-resource",
        at,
        message: `"${providerName}" has no resource "${resourceName}"`,
        hint: hint ?? "write use: component.resource",
      });
      this.#failed.add(staticKey);
      return null;
    }
    const scope = { ...descriptors(baseScope(node, owner.component, this.#site, this.#library)) };
    const needScope = Object.defineProperties({}, scope) as Scope;
    if (!holds(doc.when, needScope, owner.loaded, path, this.#rendering)) return null;
    const members = this.providers(provider, resourceName);
    if (members.length === 0) {
      if (doc.optional !== true) {
        problems.add({
          code: "missing-provider",
          at,
          message: `node "${node.name}" needs ${doc.use} for "${owner.title}", and no node of the site provides it`,
          hint: `give a node a profile with the component "${providerName}"${
            resource.when === undefined
              ? ""
              : ` such that ${Object.entries(resource.when)
                  .map(([k, v]) => `${k} is ${String(v)}`)
                  .join(" and ")}`
          }, or make the need optional`,
        });
        this.#failed.add(staticKey);
        return null;
      }
      const none = new Unavailable({
        code: "missing-provider",
        message: `no node provides ${doc.use}`,
        hint: `ask for needs.${alias}.found in a when`,
      });
      return {
        alias,
        instance: null,
        wait: false,
        from: at,
        view: { found: false, host: none, address: none, members: [], params: none },
      };
    }
    const params: Record<string, Value> = {};
    const declared = resource.params ?? {};
    for (const key of Object.keys(doc.with ?? {})) {
      if (Object.hasOwn(declared, key)) continue;
      const hint = suggest(key, Object.keys(declared));
      problems.add({
        code: "unknown-param",
        at: positionOf(owner.loaded, [...path, "with", key], "key"),
        message: `${doc.use} has no parameter "${key}"`,
        ...(hint === undefined ? {} : { hint }),
      });
    }
    // A secret is named after another parameter, which may stand below it.
    const later = (name: string): boolean => {
      const of = declared[name]?.of ?? resource.key;
      const keys = Object.keys(declared);
      return of !== undefined && keys.indexOf(of) > keys.indexOf(name);
    };
    const declaredNames = Object.keys(declared);
    const deferred = declaredNames.filter((name) => declared[name]?.type === "secret" && later(name));
    for (const name of [...declaredNames.filter((one) => !deferred.includes(one)), ...deferred]) {
      const param = declared[name] as NonNullable<(typeof declared)[string]>;
      const given = doc.with?.[name];
      if (param.type === "secret") {
        const of = param.of ?? resource.key;
        const word = of === undefined ? name : params[of];
        const secret = `${providerName}.${resourceName}.${word === undefined ? name : asKey(word)}`;
        this.secrets.set(secret, { kind: "password", without: param.without });
        params[name] = secretHole(secret);
        continue;
      }
      if (given === undefined && param.default === undefined) {
        problems.add({
          code: "missing-param",
          at: positionOf(owner.loaded, path, "key"),
          message: `${doc.use} wants the parameter "${name}"`,
          hint: `add with: { ${name}: ... }`,
        });
        params[name] = "";
        continue;
      }
      params[name] =
        given === undefined
          ? evaluate(
              param.default,
              { params } as Scope,
              provider.loaded,
              ["resources", resourceName, "params", name, "default"],
              this.#rendering,
            )
          : evaluate(given, needScope, owner.loaded, [...path, "with", name], this.#rendering);
      const right = {
        string: typeof params[name] === "string" || params[name] instanceof Text,
        identifier: typeof params[name] === "string" && /^[A-Za-z_][A-Za-z0-9_]*$/.test(params[name]),
        integer: Number.isSafeInteger(params[name]),
        boolean: typeof params[name] === "boolean",
        list: Array.isArray(params[name]),
      }[param.type];
      if (!right)
        problems.add({
          code: "wrong-type",
          at: positionOf(owner.loaded, given === undefined ? path : [...path, "with", name]),
          message: `the parameter "${name}" of ${doc.use} must be ${param.type === "identifier" ? "an identifier (letters, digits, underscores)" : `of type ${param.type}`}`,
        });
    }
    const keyValue = resource.key === undefined ? "" : `[${asKey(params[resource.key])}]`;
    const id = `${providerName}.${resourceName}${keyValue}`;
    let instance = this.#instances.get(id);
    if (instance === undefined) {
      instance = {
        id,
        provider,
        resourceName,
        resource,
        params,
        members,
        first: members[0] as Node,
        from: at,
      };
      this.#instances.set(id, instance);
    } else if (asKey(instance.params) !== asKey(params)) {
      const differing = Object.keys(params).filter(
        (name) => asKey(instance?.params[name]) !== asKey(params[name]),
      );
      problems.add({
        code: "clash",
        at,
        message: `${id} is asked for with different ${differing.join(", ")}`,
        hint: "askers of one instance must agree",
        also: [{ at: instance.from, label: "the other asker" }],
      });
    }
    const need: Need = { alias, instance, wait: doc.wait !== false, from: at, view: this.#view(instance) };
    if (isStatic) this.#static.set(staticKey, need);
    return need;
  }

  /** What an asker sees of an instance. */
  #view(instance: Instance): Scope {
    const view: Record<string, Value | Unavailable | undefined> = { found: true, params: instance.params };
    const group = groupScope(instance.provider, instance.members, this.#site);
    for (const name of ["host", "address", "members", "many"]) view[name] = group[name];
    for (const name of Object.keys(instance.resource.gives ?? {}))
      lazy(view, name, () => this.gives(instance)[name]);
    return view;
  }

  /** The scope of a resource's `gives` and `ready`: the provider's side without a node, as several may provide it. */
  resourceScope(instance: Instance): Record<string, Value | Unavailable | undefined> {
    const scope = baseScope(instance.first, instance.provider, this.#site, this.#library);
    delete scope["node"];
    const group = groupScope(instance.provider, instance.members, this.#site);
    for (const name of ["host", "address", "members", "many"]) scope[name] = group[name];
    scope["params"] = instance.params;
    scope["secrets"] = this.secretScope(instance.provider);
    return scope;
  }

  gives(instance: Instance): Scope {
    let gives = this.#gives.get(instance);
    if (gives === undefined) {
      const scope = this.resourceScope(instance) as Scope;
      gives = {};
      this.#gives.set(instance, gives);
      for (const [name, value] of Object.entries(instance.resource.gives ?? {})) {
        lazy(gives, name, () =>
          evaluate(
            value,
            scope,
            instance.provider.loaded,
            ["resources", instance.resourceName, "gives", name],
            this.#rendering,
          ),
        );
      }
    }
    return gives;
  }

  /** The holes of a component's own secrets. */
  secretScope(component: Component): { readonly [name: string]: Value } {
    const scope: Record<string, Value> = {};
    for (const [name, doc] of Object.entries(component.doc.secrets ?? {})) {
      lazy(scope, name, () => {
        this.secrets.set(`${component.name}.${name}`, doc);
        return secretHole(`${component.name}.${name}`);
      });
    }
    return scope;
  }
}

function descriptors(scope: object): PropertyDescriptorMap {
  return Object.getOwnPropertyDescriptors(scope) as PropertyDescriptorMap;
}

/** A value as a comparable text; secrets by name. */
export function asKey(value: Value | undefined): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value;
  return JSON.stringify(value, (_, item: Value) => (item instanceof Text ? redacted(item as Filled) : item));
}

/**
 * Checks every reference of the library and the site, also in what no node of this site runs or no `when` lets
 * through: a misspelt name must not wait for the site that meets it. What a value is, only resolve and plan know.
 */
import { distance } from "fastest-levenshtein";
import type { ProblemCode, Problems } from "../core/problem.ts";
import { suggest } from "../core/suggest.ts";
import type { Value } from "../core/text.ts";
import { type Loaded, type Path, positionOf } from "../load/marks.ts";
import type { NeedDoc, OptionDoc, ResourceDoc, SiteDoc } from "../validate/documents.ts";
import type { Component, Library } from "./model.ts";
import { required } from "./scope.ts";
import { wrongOption } from "./site.ts";
import { Anything, checkTemplate, lookup, type Rendering, type Scope } from "./template.ts";

type Tree = { readonly [key: string]: unknown };

const anything = new Anything() as unknown as Value;
const member = { name: "", host: "", address: "", index: 0, first: true, last: true };
const listed = { index: 0, first: true, last: true };
const ranges = [{ cidr: "", prefix: 0, ipv6: false, gateway: "", ...listed }];
const siteNetwork = {
  name: "",
  role: "",
  cidr: "",
  prefix: 0,
  netmask: "",
  gateway: "",
  ranges,
  nameservers: [""],
  mtu: 0,
  vlan: 0,
};
const network = {
  ...siteNetwork,
  network: "",
  ipv6: false,
  address: "",
  addresses: [{ address: "", prefix: 0, ipv6: false, ...listed }],
  tagged: false,
  interface: "",
};
const unitSections = [
  "Automount",
  "Install",
  "Mount",
  "Path",
  "Scope",
  "Service",
  "Slice",
  "Socket",
  "Swap",
  "Timer",
  "Unit",
];

/** What may be named in an option that is a map: the keys of its default, for others need not be there. */
function mapOf(preset: unknown): Value {
  const keys = typeof preset === "object" && preset !== null ? Object.keys(preset) : [];
  return keys.length === 0 ? anything : Object.fromEntries(keys.map((key) => [key, anything]));
}

/** What `networksSaid` found, as a site of thousands of nodes is asked for with each of them. */
const textsOfNetworks = new WeakMap<Loaded, string>();

/** What a document says of networks. */
function networksSaid(doc: Loaded): string {
  let text = textsOfNetworks.get(doc);
  if (text === undefined) {
    const found = JSON.stringify(doc.value).match(/networks\.[a-z][a-z0-9]*/g) ?? [];
    text = [...new Set(found)].join(" ");
    textsOfNetworks.set(doc, text);
  }
  return text;
}

/**
 * Checks references.
 * @param whole also the components and profiles; false when the package's build did and nothing was added since
 */
export function checkReferences(library: Library, site: Loaded, rendering: Rendering, whole: boolean): void {
  new References(library, site, rendering).check(whole);
}

class References {
  readonly #library: Library;
  readonly #site: Loaded;
  readonly #rendering: Rendering;
  readonly #problems: Problems;
  /** Names that somebody looked up, by document: `options.release`. */
  readonly #used = new Map<string, Set<string>>();
  /** Every word that stands last or second in a name, anywhere. */
  readonly #words = new Set<string>();
  readonly #set: { loaded: Loaded; path: Path; component: string; option: string }[] = [];
  #current = "";

  constructor(library: Library, site: Loaded, rendering: Rendering) {
    this.#library = library;
    this.#site = site;
    this.#problems = rendering.problems;
    this.#rendering = {
      ...rendering,
      used: (name) => {
        let names = this.#used.get(this.#current);
        if (names === undefined) {
          names = new Set();
          this.#used.set(this.#current, names);
        }
        names.add(name);
        for (const word of name.split(".")) this.#words.add(word);
      },
    };
  }

  check(whole: boolean): void {
    if (whole) {
      for (const component of this.#library.components.values()) this.#component(component);
      for (const { doc, loaded } of this.#library.profiles.values()) {
        this.#current = `profile ${doc.profile}`;
        this.#profile(doc as unknown as Tree, loaded);
      }
    }
    const { value } = this.#site;
    this.#current = "site";
    const doc = value as unknown as SiteDoc;
    this.#layer(doc as unknown as Tree, this.#site, []);
    for (const [name, node] of Object.entries(doc.nodes)) {
      this.#layer(node as unknown as Tree, this.#site, ["nodes", name]);
    }
    if (whole) for (const component of this.#library.components.values()) this.#unused(component);
  }

  #report(code: ProblemCode, doc: Loaded, path: Path, message: string, hint?: string, part?: "key"): void {
    this.#problems.add({
      code,
      at: positionOf(doc, path, part),
      message,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  // Scopes

  #common(doc: Loaded, texts: readonly string[]): Record<string, Value> {
    const own = Object.keys((this.#site.value as unknown as SiteDoc).networks ?? {});
    const names = new Set(own);
    // Which networks there are only a site tells; a name close to one of this site's is a slip all the same.
    for (const text of [networksSaid(doc), ...texts]) {
      for (const [, name = ""] of text.matchAll(/networks\.([a-z][a-z0-9]*)/g)) {
        if (!own.some((one) => distance(one, name) <= Math.max(1, Math.floor(name.length / 4))))
          names.add(name);
      }
    }
    const networks = Object.fromEntries([...names].map((name) => [name, network]));
    const siteNetworks = Object.fromEntries([...names].map((name) => [name, siteNetwork]));
    return {
      node: {
        name: "",
        fqdn: "",
        address: "",
        workers: 0,
        cpus: 0,
        generation: 0,
        profile: "",
        networks,
        roles: { management: network, overlay: network, storage: network },
        providers: [{ ...network, ...listed }],
        runs: Object.fromEntries([...this.#library.components.keys()].map((name) => [name, true])),
      },
      site: {
        name: "",
        domain: "",
        nodes: [{ name: "", fqdn: "", address: "" }],
        networks: siteNetworks,
        providers: [{ ...siteNetwork, ...listed }],
      },
      target: { name: "", family: "", version: "", codename: "", arch: "" },
    };
  }

  #options(component: Component): Value {
    return Object.fromEntries(
      Object.entries(component.doc.options ?? {}).map(([name, option]): [string, Value] => [
        name,
        option.type === "list" ? [anything] : option.type === "map" ? mapOf(option.default) : "",
      ]),
    );
  }

  #params(resource: ResourceDoc): Value {
    return Object.fromEntries(
      Object.entries(resource.params ?? {}).map(([name, { type }]) => [
        name,
        type === "list" ? [anything] : "",
      ]),
    );
  }

  #gives(resource: ResourceDoc): { [name: string]: Value } {
    return Object.fromEntries(
      Object.entries(resource.gives ?? {}).map(([name, value]) => [
        name,
        typeof value === "object" ? Object.fromEntries(Object.keys(value).map((key) => [key, ""])) : anything,
      ]),
    );
  }

  #needs(needs: { readonly [alias: string]: NeedDoc } | undefined): Value {
    return Object.fromEntries(
      Object.entries(needs ?? {}).map(([alias, { use }]): [string, Value] => {
        const resource = this.#resource(use);
        if (resource === undefined) return [alias, anything];
        return [
          alias,
          {
            found: true,
            host: "",
            address: "",
            members: [member],
            many: true,
            params: this.#params(resource),
            ...this.#gives(resource),
          },
        ];
      }),
    );
  }

  #resource(use: string): ResourceDoc | undefined {
    const dot = use.indexOf(".");
    const resources = this.#library.components.get(use.slice(0, dot))?.doc.resources ?? {};
    const name = use.slice(dot + 1);
    return Object.hasOwn(resources, name) ? resources[name] : undefined;
  }

  // Documents

  #component(component: Component): void {
    const { doc, loaded, name } = component;
    this.#current = name;
    const texts: string[] = [];
    const scope = this.#common(loaded, texts);
    scope["options"] = this.#options(component);
    for (const other of required(component, this.#library)) {
      const found = this.#library.components.get(other);
      if (found !== undefined) scope[other] = this.#options(found);
    }
    scope["names"] = Object.fromEntries(Object.keys(doc.names ?? {}).map((word) => [word, ""]));
    scope["secrets"] = Object.fromEntries(Object.keys(doc.secrets ?? {}).map((word) => [word, ""]));
    scope["group"] = {
      members: [member],
      first: member,
      many: true,
      count: 0,
      host: "",
      address: "",
    };
    scope["needs"] = this.#needs(doc.needs);
    scope["instances"] = Object.fromEntries(
      Object.entries(doc.resources ?? {}).map(([one, resource]) => [one, [this.#params(resource)]]),
    );
    for (const key of ["requires", "after"] as const) {
      for (const [index, item] of (doc[key] ?? []).entries()) {
        const path: Path = typeof item === "string" ? [key, index] : [key, index, "use"];
        this.#componentName(typeof item === "string" ? item : item.use, loaded, path);
      }
    }
    for (const [index, name] of (doc.imports ?? []).entries())
      this.#file(name, loaded, ["imports", index], scope as Scope, component, false);
    const words = new Set<string>(["debian", "ubuntu"]);
    for (const { doc: target } of this.#library.targets.values()) words.add(target.target).add(target.family);
    for (const [word, value] of Object.entries(doc.names ?? {})) {
      for (const key of typeof value === "string" ? [] : Object.keys(value)) {
        if (words.has(key)) continue;
        const hint = suggest(key, [...words]);
        this.#report(
          "unknown-target",
          loaded,
          ["names", word, key],
          `no target and no family is named "${key}"`,
          hint,
          "key",
        );
      }
    }
    this.#needsOf(doc.needs, loaded, []);
    const { resources, ...rest } = doc as unknown as Tree & { resources?: { [name: string]: ResourceDoc } };
    this.#walk(rest, loaded, [], scope as Scope, component);
    for (const [one, resource] of Object.entries(resources ?? {})) {
      const path: Path = ["resources", one];
      const params = this.#params(resource);
      const inner = {
        ...scope,
        params,
        host: "",
        address: "",
        members: [member],
        many: true,
        gives: this.#gives(resource),
      };
      const known = Object.keys(resource.params ?? {});
      const isParam = (word: string | undefined, at: Path): void => {
        if (word === undefined || known.includes(word)) return;
        this.#report(
          "unknown-param",
          loaded,
          at,
          `${name}.${one} has no parameter "${word}"`,
          suggest(word, known),
        );
      };
      isParam(resource.key, [...path, "key"]);
      for (const [param, { type, of, without, default: value }] of Object.entries(resource.params ?? {})) {
        const at: Path = [...path, "params", param];
        isParam(of, [...at, "of"]);
        if (type !== "secret")
          for (const [key, said] of Object.entries({ of, without }))
            if (said !== undefined)
              this.#report(
                "wrong-value",
                loaded,
                [...at, key],
                `"${key}" is said of a secret, and this is of type ${type}`,
              );
        this.#walk(value, loaded, [...at, "default"], { params } as Scope, component);
      }
      const { node: _node, ...far } = inner as typeof inner & { node?: unknown };
      for (const [key, value] of Object.entries(resource)) {
        if (key === "params") continue;
        const where = key === "ready" || key === "gives" ? far : inner;
        this.#walk(value, loaded, [...path, key], where as unknown as Scope, component);
      }
    }
  }

  #profile(doc: Tree, loaded: Loaded): void {
    const { extends: base, components } = doc as { extends?: string; components?: readonly unknown[] };
    if (
      base !== undefined &&
      !this.#library.profiles.has(base) &&
      this.#library.broken?.has(`profile ${base}`) !== true
    )
      this.#report(
        "unknown-profile",
        loaded,
        ["extends"],
        `there is no profile "${base}"`,
        suggest(base, [...this.#library.profiles.keys()]),
      );
    for (const [index, item] of (components ?? []).entries()) {
      if (typeof item === "string") this.#componentName(item, loaded, ["components", index]);
      else {
        const { use, with: values } = item as { use: string; with?: Tree };
        this.#componentName(use, loaded, ["components", index, "use"]);
        this.#optionValues(use, values, loaded, ["components", index, "with"]);
      }
    }
    this.#layer(doc, loaded, []);
  }

  /** The nouns of a profile, the site or a node. */
  #layer(doc: Tree, loaded: Loaded, path: Path): void {
    for (const [component, values] of Object.entries((doc["options"] ?? {}) as { [name: string]: Tree })) {
      if (this.#componentName(component, loaded, [...path, "options", component], "key"))
        this.#optionValues(component, values, loaded, [...path, "options", component]);
    }
    if (path.length === 0) this.#lab(doc["lab"] as SiteDoc["lab"], loaded);
    const needs = doc["needs"] as { [alias: string]: NeedDoc } | undefined;
    this.#needsOf(needs, loaded, path);
    const scope = this.#common(loaded, []);
    for (const component of this.#library.components.values())
      scope[component.name] = this.#options(component);
    scope["needs"] = this.#needs(needs);
    for (const [key, value] of Object.entries(doc)) {
      if (
        [
          ...["nodes", "options", "components", "cloud_config", "networks", "access", "secrets"],
          ...["storage", "install", "autoinstall", "console", "lab"],
        ].includes(key)
      )
        continue;
      this.#walk(value, loaded, [...path, key], scope as Scope, null);
    }
  }

  /** What labs boot otherwise: options by modules that some component takes. */
  #lab(lab: SiteDoc["lab"], loaded: Loaded): void {
    const modules = [...this.#library.components.values()].flatMap(({ doc }) => doc.takes?.kernel ?? []);
    for (const [module, { options }] of Object.entries(lab?.without ?? {})) {
      const path = ["lab", "without", module];
      if (!modules.includes(module))
        this.#rendering.problems.add({
          code: "unknown-name",
          at: positionOf(loaded, path, "key"),
          message: `no component takes the kernel's module "${module}", so nothing is ever booted without it`,
          hint: suggest(module, modules) ?? `there are: ${[...new Set(modules)].join(", ")}`,
        });
      for (const [component, values] of Object.entries(options))
        if (this.#componentName(component, loaded, [...path, "options", component], "key"))
          this.#optionValues(component, values as Tree, loaded, [...path, "options", component]);
    }
  }

  #optionValues(component: string, values: Tree | undefined, loaded: Loaded, path: Path): void {
    const declared = this.#library.components.get(component)?.doc.options;
    if (!this.#library.components.has(component)) return;
    for (const [option, value] of Object.entries(values ?? {})) {
      const doc: OptionDoc | undefined =
        declared !== undefined && Object.hasOwn(declared, option) ? declared[option] : undefined;
      if (doc === undefined) {
        this.#report(
          "unknown-option",
          loaded,
          [...path, option],
          `"${component}" has no option "${option}"`,
          suggest(option, Object.keys(declared ?? {})),
          "key",
        );
        continue;
      }
      this.#set.push({ loaded, path: [...path, option], component, option });
      if (JSON.stringify(value).includes("{{")) continue;
      const wrong = wrongOption(value as Value, doc);
      if (wrong !== null)
        this.#report(
          wrong.code,
          loaded,
          [...path, option],
          `the option "${option}" of "${component}" ${wrong.message}`,
          wrong.hint,
        );
    }
  }

  #componentName(name: string, loaded: Loaded, path: Path, part?: "key"): boolean {
    const { components, broken } = this.#library;
    if (components.has(name) || broken?.has(`component ${name}`) === true) return true;
    this.#report(
      "unknown-component",
      loaded,
      path,
      `there is no component "${name}"`,
      suggest(name, [...components.keys()]),
      part,
    );
    return false;
  }

  #needsOf(needs: { readonly [alias: string]: NeedDoc } | undefined, loaded: Loaded, path: Path): void {
    for (const [alias, { use, with: values }] of Object.entries(needs ?? {})) {
      const at: Path = [...path, "needs", alias];
      const [provider = "", name = ""] = use.split(".");
      if (!this.#componentName(provider, loaded, [...at, "use"])) continue;
      const resource = this.#resource(use);
      const component = this.#library.components.get(provider);
      if (component === undefined) continue;
      if (resource === undefined) {
        this.#report(
          "unknown-resource",
          loaded,
          [...at, "use"],
          `"${provider}" has no resource "${name}"`,
          suggest(name, Object.keys(component.doc.resources ?? {})) ?? "write use: component.resource",
        );
        continue;
      }
      const params = Object.keys(resource.params ?? {});
      for (const key of Object.keys(values ?? {})) {
        if (!params.includes(key))
          this.#report(
            "unknown-param",
            loaded,
            [...at, "with", key],
            `${use} has no parameter "${key}"`,
            suggest(key, params),
            "key",
          );
      }
    }
  }

  /** Every template, condition and file name below a value. */
  #walk(value: unknown, loaded: Loaded, path: Path, scope: Scope, component: Component | null): void {
    if (typeof value === "string") {
      checkTemplate(value, scope, { doc: loaded, path }, this.#rendering);
      return;
    }
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries())
        this.#walk(item, loaded, [...path, index], scope, component);
      return;
    }
    if (value === null || typeof value !== "object") return;
    for (const [key, item] of Object.entries(value)) {
      const at = [...path, key];
      if (key === "help" || key === "summary") continue;
      if (key === "when") this.#when(item as Tree, loaded, at, scope, component);
      else if (key.startsWith("$") && key !== "$use" && path.includes("set"))
        this.#report("unknown-key", loaded, at, `unknown key "${key}"`, suggest(key, ["$use"]), "key");
      else if (key === "$use") this.#spread(item, loaded, at, scope);
      else if (key === "drop_in") this.#sections(item as Tree, loaded, at);
      else if (
        component !== null &&
        ["script", "source", "template_file"].includes(key) &&
        typeof item === "string"
      )
        this.#file(item, loaded, at, scope, component, key === "template_file");
      else if (key === "file" && path.at(-2) === "settings") this.#settingsFile(item, loaded, at);
      if (key !== "when") this.#walk(item, loaded, at, scope, component);
    }
  }

  #spread(item: unknown, loaded: Loaded, path: Path, scope: Scope): void {
    const found = lookup(String(item), [scope], this.#rendering);
    if (!found.ok && found.problem !== null)
      this.#problems.add({ ...found.problem, at: positionOf(loaded, path) });
  }

  #sections(item: Tree, loaded: Loaded, path: Path): void {
    for (const section of Object.keys(item)) {
      if (!unitSections.includes(section))
        this.#report(
          "unknown-key",
          loaded,
          [...path, section],
          `systemd knows no section "${section}"`,
          suggest(section, unitSections),
          "key",
        );
    }
  }

  #file(
    name: string,
    loaded: Loaded,
    path: Path,
    scope: Scope,
    component: Component,
    isTemplate: boolean,
  ): void {
    // Names that leave the folder are the plan's to refuse.
    if (name.startsWith("/") || name.split("/").includes("..") || name.includes("{{")) return;
    // A script, or what scripts import, may be another component's, `component:file`.
    const isScript = path.at(-1) === "script" || path.at(0) === "imports";
    const [, other, bare] = (isScript && /^([^:]+):(.*)$/.exec(name)) || [];
    const owner = other === undefined ? component : this.#library.components.get(other);
    if (owner === undefined) {
      this.#componentName(other ?? "", loaded, path);
      return;
    }
    const file = this.#library.file(owner.folder, bare ?? name);
    if (file === null)
      this.#report(
        "file-unreadable",
        loaded,
        path,
        other === undefined
          ? `the component's folder has no readable file "${name}"`
          : `the folder of "${other}" has no readable file "${bare}"`,
        "check the name",
      );
    else if (isTemplate)
      checkTemplate(file.text, scope, { file: file.shown, text: file.text }, this.#rendering);
  }

  #ownedFiles: readonly string[] | null = null;

  #settingsFile(item: unknown, loaded: Loaded, path: Path): void {
    if (typeof item !== "string" || item.includes("{{")) return;
    if (this.#ownedFiles === null) {
      const docs = [
        ...[...this.#library.components.values()].map(({ doc }) => doc),
        ...[...this.#library.profiles.values()].map(({ doc }) => doc),
        this.#site.value as unknown as SiteDoc,
        ...Object.values((this.#site.value as unknown as SiteDoc).nodes),
      ];
      this.#ownedFiles = docs.flatMap(({ files }) =>
        (files ?? []).filter(({ format }) => format !== undefined).map((file) => file.path),
      );
    }
    if (this.#ownedFiles.some((one) => one === item || one.includes("{{"))) return;
    this.#report(
      "unowned-file",
      loaded,
      path,
      `nothing owns the file ${item}`,
      suggest(item, this.#ownedFiles) ?? "a files: item with a format: must own it",
    );
  }

  /** The names of a condition, and whether they can have the values asked for. */
  #when(when: Tree, loaded: Loaded, path: Path, scope: Scope, component: Component | null): void {
    for (const [name, wanted] of Object.entries(when)) {
      const found = lookup(name, [scope], this.#rendering);
      if (!found.ok) {
        if (found.problem !== null)
          this.#problems.add({ ...found.problem, at: positionOf(loaded, [...path, name], "key") });
        continue;
      }
      const values = this.#valuesOf(name, found.value, component);
      if (values === null) continue;
      for (const [index, value] of [wanted].flat().entries()) {
        if (values.includes(value as never)) continue;
        this.#report(
          "wrong-value",
          loaded,
          Array.isArray(wanted) ? [...path, name, index] : [...path, name],
          `"${name}" is never ${JSON.stringify(value)}`,
          suggest(String(value), values.map(String)),
        );
      }
    }
  }

  /** All values that a name can have; null when there is no telling. */
  #valuesOf(name: string, value: Value, component: Component | null): readonly unknown[] | null {
    const [first = "", second = ""] = name.split(".");
    if (first === "target") {
      const docs = [...this.#library.targets.values()].map(
        ({ doc }) => doc as unknown as Record<string, unknown>,
      );
      const found = docs.map((doc) => doc[second === "name" ? "target" : second]);
      if (second === "family") found.push("debian", "ubuntu");
      return second === "arch" ? null : [...new Set(found)];
    }
    const owner = first === "options" ? component : this.#library.components.get(first);
    const option = second === "" ? undefined : owner?.doc.options?.[second];
    if (option !== undefined && name.split(".").length === 2)
      return option.type === "boolean" ? [true, false] : (option.enum ?? null);
    return typeof value === "boolean" ? [true, false] : null;
  }

  /** What a component declares and nothing uses: most often the name is misspelt, here or where it is meant. */
  #unused(component: Component): void {
    const { doc, loaded, name } = component;
    const own = this.#used.get(name) ?? new Set();
    const elsewhere = (word: string): boolean => [...this.#used.values()].some((names) => names.has(word));
    const report = (path: Path, message: string): void =>
      this.#report("unused-definition", loaded, path, message, "remove it, or use it", "key");
    // Others may come to read an option; to set one that nothing reads is in vain.
    for (const { loaded: at, path, component: of, option } of this.#set) {
      if (of === name && !own.has(`options.${option}`) && !elsewhere(`${name}.${option}`))
        this.#report(
          "unused-option",
          at,
          path,
          `nothing reads the option "${option}" of "${name}", so to set it does nothing`,
          "remove it",
          "key",
        );
    }
    for (const kind of ["secrets", "names"] as const) {
      for (const word of Object.keys(doc[kind] ?? {})) {
        if (!own.has(`${kind}.${word}`)) report([kind, word], `nothing uses ${kind}.${word} of "${name}"`);
      }
    }
    for (const [one, resource] of Object.entries(doc.resources ?? {})) {
      // Without these its parameters are what askers read of each other.
      if (resource.steps === undefined && resource.ready === undefined && resource.gives === undefined)
        continue;
      const named = new Set(Object.values(resource.params ?? {}).map(({ of }) => of));
      for (const param of Object.keys(resource.params ?? {})) {
        if (param !== resource.key && !named.has(param) && !this.#words.has(param))
          report(
            ["resources", one, "params", param],
            `nothing uses the parameter "${param}" of ${name}.${one}`,
          );
      }
    }
  }
}

/**
 * What nodes have in common. Nodes of one kind become nearly the same things, and what something of a document becomes
 * depends on the document and on the names that were looked up for it, on nothing else of the node. So what it became
 * once is kept beside the names and their values, and taken again on a node where they are the same: the very same
 * object, so that what is made of it later can be shared as well.
 */
import { Text, type Value } from "../core/text.ts";
import { lookup, type Scope, Unavailable } from "../resolve/template.ts";
import type { Script } from "./model.ts";

/** Everything that making something took from its node or gave to it. */
export class Taken {
  readonly scope: Scope;
  /** The names that were looked up in the scope, with their values. */
  readonly looked = new Map<string, Value>();
  /** All names that were looked up, as `used` of a rendering is told. */
  readonly used = new Set<string>();
  /** The scripts that the node needs for it. */
  readonly scripts: Script[] = [];
  /** Whether it may have taken anything at all. */
  everything = false;

  constructor(scope: Scope) {
    this.scope = scope;
  }

  /** Takes in what a part of the thing took, which is kept by itself as well. */
  add(part: Taken): void {
    for (const name of part.used) this.used.add(name);
    this.scripts.push(...part.scripts);
    // What was looked up elsewhere cannot be looked up again in this scope.
    if (part.everything || (part.scope !== this.scope && part.looked.size > 0)) this.everything = true;
    else for (const [name, value] of part.looked) this.looked.set(name, value);
  }
}

const nothing = new Taken({});

interface Made {
  readonly taken: Taken;
  readonly result: unknown;
}

/** How many results of one thing are kept: what differs on every node is not worth looking for. */
const kept = 3;

export class Shared {
  readonly #made = new WeakMap<object, Map<string, Made[]>>();

  /**
   * What a thing became on another node, if all that was looked up for it has the same value in this scope.
   * @param of the object of the document, or of the site, that it is made of
   * @param key tells things apart that are made of one object
   */
  find(of: object, key: string, scope: Scope): Made | null {
    for (const made of this.#made.get(of)?.get(key) ?? []) {
      if (holdsIn(made.taken, scope)) return made;
    }
    return null;
  }

  /** Keeps what a thing became. It must have been made without a problem, as problems are told for each node. */
  keep(of: object, key: string, taken: Taken, result: unknown): void {
    if (!taken.everything) this.#put(of, key, { taken, result });
  }

  /** An object equal to the one given that was met before in its place, or the one given. */
  same<T extends object>(of: object, key: string, thing: T, isEqual: (a: T, b: T) => boolean): T {
    for (const { result } of this.#made.get(of)?.get(key) ?? [])
      if (isEqual(result as T, thing)) return result as T;
    this.#put(of, key, { taken: nothing, result: thing });
    return thing;
  }

  #put(of: object, key: string, made: Made): void {
    let byKey = this.#made.get(of);
    if (byKey === undefined) {
      byKey = new Map();
      this.#made.set(of, byKey);
    }
    const list = byKey.get(key);
    if (list === undefined) byKey.set(key, [made]);
    else {
      list.unshift(made);
      if (list.length > kept) list.pop();
    }
  }
}

function holdsIn({ looked }: Taken, scope: Scope): boolean {
  for (const [name, value] of looked) {
    const found = lookup(name, [scope], {});
    if (!found.ok || !isKnownSame(found.value, value)) return false;
  }
  return true;
}

/** Lists and maps of scopes that were found to be the same as others: many things of a node name them. */
const same = new WeakMap<object, object>();

function isKnownSame(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
  if (same.get(a) === b) return true;
  if (!isSame(a, b)) return false;
  same.set(a, b);
  return true;
}

/** Whether two values of scopes render the same in every template. When in doubt, no. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return false;
  const prototype = Object.getPrototypeOf(a) as unknown;
  if (prototype !== Object.getPrototypeOf(b)) return false;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, index) => isSame(item, b[index]));
  if (a instanceof Text && b instanceof Text) return isSame(a.parts, b.parts);
  // Who names what is not there has a problem, and what was made with a problem is not kept: it was not named.
  if (a instanceof Unavailable) return true;
  if (prototype !== Object.prototype) return false;
  const [as, bs] = [Object.getOwnPropertyDescriptors(a), Object.getOwnPropertyDescriptors(b)];
  const keys = Object.keys(as);
  // What is still to be computed is not known to be equal.
  return (
    keys.length === Object.keys(bs).length &&
    keys.every((key) => {
      const [one, other] = [as[key], bs[key]];
      return (
        one !== undefined &&
        other !== undefined &&
        one.get === undefined &&
        other.get === undefined &&
        isSame(one.value, other.value)
      );
    })
  );
}

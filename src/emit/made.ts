/**
 * What was made of things, by the things themselves. Nodes have most of what is planned in common, as the very same
 * objects (see plan/shared.ts): what is written for one node is then written for all. What is made may hold secrets,
 * so one of these belongs to one vault, and goes when the render is done.
 */
export class Made {
  readonly #made = new WeakMap<object, Map<string, unknown>>();

  /**
   * What `make` gave for a thing. It may depend on the thing, the key and the vault, and on nothing else of a node.
   * @param key tells apart what is made of one thing
   */
  of<T>(thing: object, key: string, make: () => T): T {
    let byKey = this.#made.get(thing);
    if (byKey === undefined) {
      byKey = new Map();
      this.#made.set(thing, byKey);
    }
    let made = byKey.get(key) as T | undefined;
    if (made === undefined) {
      made = make();
      byKey.set(key, made);
    }
    return made;
  }
}

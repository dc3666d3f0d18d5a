/**
 * What was made for the node before. Nodes of one kind have most of what is planned in common, as the very same
 * objects in the same places (see plan/shared.ts): what was written of such an object stays as it was. What is made
 * may hold secrets, so one of these belongs to one vault, and goes when the render is done.
 */
export class Made {
  readonly #lists = new Map<string, List>();

  /**
   * What `make` gives for each thing of a list, joined.
   * @param place tells apart the lists of a node, and nodes of one kind from others
   * @param make may depend on the thing, its index, the place and the vault, and on nothing else of a node
   * @param join may depend on what was made and on the place
   */
  list<Thing, One, Whole>(
    place: string,
    things: readonly Thing[],
    make: (thing: Thing, index: number) => One,
    join: (made: readonly One[]) => Whole,
  ): Whole {
    const before = this.#lists.get(place);
    const known = before?.things ?? [];
    if (
      before !== undefined &&
      known.length === things.length &&
      things.every((one, at) => one === known[at])
    )
      return before.whole as Whole;
    const made = things.map((one, at) =>
      before !== undefined && at < known.length && one === known[at]
        ? (before.made[at] as One)
        : make(one, at),
    );
    const whole = join(made);
    this.#lists.set(place, { things: [...things], made, whole });
    return whole;
  }
}

interface List {
  readonly things: readonly unknown[];
  readonly made: readonly unknown[];
  readonly whole: unknown;
}

/** Where the lists of a node's kind are kept: nodes of several kinds may take turns. */
export function kindOf(plan: {
  readonly profile: string;
  readonly target: { readonly name: string };
}): string {
  return `${plan.profile} ${plan.target.name}`;
}

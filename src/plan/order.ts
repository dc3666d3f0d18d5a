/** One graph over (node, component or instance, phase), and the order in which each node works through its part. */
import { longPosition, type Position } from "../core/position.ts";
import type { Problems } from "../core/problem.ts";
import { positionOf } from "../load/marks.ts";
import type { Node, Site } from "../resolve/model.ts";
import type { Instance, Needs, Owner } from "./needs.ts";

/** What must be done first, and which line says so: looked for only where a circle is told. */
interface Link {
  readonly vertex: Vertex;
  readonly why: () => Position;
}

export interface Vertex {
  readonly node: Node;
  readonly owner: Owner;
  readonly phase: "before" | "up" | "after" | "instance";
  readonly instance: Instance | null;
  /** What must be done first. */
  readonly after: Link[];
  /** What must be done first on the same node; known when all is ordered. */
  readonly here: Vertex[];
  mark: 0 | 1 | 2;
}

/**
 * Orders everything.
 * @returns for each node its vertices in the order of execution. As every node follows the same global order and
 * waits only for what is earlier in it, nodes that work through their parts one by one cannot deadlock.
 */
export function order(
  site: Site,
  ownersOf: (node: Node) => readonly Owner[],
  needs: Needs,
  problems: Problems,
): ReadonlyMap<Node, readonly Vertex[]> {
  const phases = new Map<Node, Map<string, { before: Vertex; up: Vertex; after: Vertex }>>();
  const vertex = (
    node: Node,
    owner: Owner,
    phase: Vertex["phase"],
    instance: Instance | null = null,
  ): Vertex => ({ node, owner, phase, instance, after: [], here: [], mark: 0 });
  for (const node of site.nodes) {
    const own = new Map<string, { before: Vertex; up: Vertex; after: Vertex }>();
    phases.set(node, own);
    for (const owner of ownersOf(node)) {
      const set = {
        before: vertex(node, owner, "before"),
        up: vertex(node, owner, "up"),
        after: vertex(node, owner, "after"),
      };
      const why = (): Position => positionOf(owner.loaded, owner.path);
      set.up.after.push({ vertex: set.before, why });
      set.after.after.push({ vertex: set.up, why });
      own.set(owner.title, set);
    }
  }
  const phaseOf = (node: Node, title: string) => phases.get(node)?.get(title);

  // Instances are found by asking every node for its needs.
  for (const node of site.nodes) for (const owner of ownersOf(node)) needs.of(node, owner);
  const instances = new Map<Instance, Vertex>();
  const byProvider = new Map<string, Vertex[]>();
  for (const instance of needs.instances) {
    const provider = phaseOf(instance.first, instance.provider.name);
    if (provider === undefined) continue;
    const made = vertex(instance.first, provider.after.owner, "instance", instance);
    made.after.push({ vertex: provider.after, why: () => instance.from });
    instances.set(instance, made);
    const key = `${instance.first.name}\n${instance.provider.name}`;
    const list = byProvider.get(key);
    if (list === undefined) byProvider.set(key, [made]);
    else list.push(made);
  }

  for (const node of site.nodes) {
    let previousLayer: Vertex | null = null;
    for (const owner of ownersOf(node)) {
      const own = phaseOf(node, owner.title);
      if (own === undefined) continue;
      const { component } = owner;
      if (component === null) {
        // Layers come after all components, in their order.
        for (const other of node.components) {
          const done = phaseOf(node, other.name)?.after;
          if (done !== undefined)
            own.before.after.push({ vertex: done, why: () => positionOf(owner.loaded, owner.path) });
        }
        if (previousLayer !== null)
          own.before.after.push({ vertex: previousLayer, why: () => positionOf(owner.loaded, owner.path) });
        previousLayer = own.after;
      } else {
        for (const [index, item] of (component.doc.requires ?? []).entries()) {
          const done = phaseOf(node, typeof item === "string" ? item : item.use)?.after;
          if (done !== undefined)
            own.before.after.push({
              vertex: done,
              why: () => positionOf(component.loaded, ["requires", index]),
            });
        }
        for (const [index, name] of (component.doc.after ?? []).entries()) {
          const done = phaseOf(node, name)?.after;
          if (done !== undefined)
            own.before.after.push({
              vertex: done,
              why: () => positionOf(component.loaded, ["after", index]),
            });
        }
        const first = site.groups.get(component.name)?.[0];
        if (first !== undefined && first !== node) {
          for (const [phase, list] of [
            ["before", component.doc.before_start],
            ["after", component.doc.after_start],
          ] as const) {
            const index = (list ?? []).findIndex((step) => step.at === "first");
            const leader = phaseOf(first, component.name)?.[phase];
            if (index >= 0 && leader !== undefined)
              own[phase].after.push({
                vertex: leader,
                why: () =>
                  positionOf(component.loaded, [phase === "before" ? "before_start" : "after_start", index]),
              });
          }
        }
      }
      for (const need of needs.of(node, owner).values()) {
        if (
          !need.wait ||
          need.instance === null ||
          (need.instance.provider === component && need.instance.members.includes(node))
        )
          continue;
        const made = instances.get(need.instance);
        if (made !== undefined) own.before.after.push({ vertex: made, why: () => need.from });
        // Without steps nothing is done on the first member only: what is asked may be any member.
        if (need.instance.resource.ready === undefined || (need.instance.resource.steps ?? []).length === 0) {
          for (const member of need.instance.members) {
            const up = phaseOf(member, need.instance.provider.name)?.up;
            if (up !== undefined) own.before.after.push({ vertex: up, why: () => need.from });
          }
        }
      }
    }
  }

  const result = new Map<Node, Vertex[]>(site.nodes.map((node) => [node, []]));
  const reported = new Set<string>();
  const told = new Set<string>();
  /** What is being visited, each because of the one before. */
  let chain: Link[] = [];
  /** Visits something for its own sake. */
  const visitAlone = (vertex: Vertex, why: Link["why"]): void => {
    const outer = chain;
    chain = [];
    visit({ vertex, why });
    chain = outer;
  };
  const visit = (link: Link): void => {
    if (link.vertex.mark === 2) return;
    chain.push(link);
    visitLast(link.vertex);
    chain.pop();
  };
  const visitLast = (one: Vertex): void => {
    if (one.mark === 1) {
      // The chain ends in the vertex that it began with: as many edges as vertices.
      const start = chain.findIndex((link) => link.vertex === one);
      const circle = chain.slice(start, -1);
      const edges = chain.slice(start + 1).map((link, index) => ({ ...link, to: circle[index]?.vertex }));
      // The same nodes and components by another of their phases are the same circle.
      const key = [...new Set(circle.map(({ vertex: { owner, node } }) => `${owner.title} on ${node.name}`))]
        .sort()
        .join();
      if (reported.has(key)) return;
      reported.add(key);
      const names = circle
        .map((link) => label(link.vertex))
        .filter((name, index, all) => name !== all[index - 1]);
      if (names.length > 1 && names.at(-1) === names[0]) names.pop();
      const whys = edges
        // That a thing is begun before it is done, nobody wrote.
        .filter(({ vertex, to }) => to === undefined || label(vertex) !== label(to))
        .map((link) => link.why())
        .filter(
          (why, index, all) => all.findIndex((other) => longPosition(other) === longPosition(why)) === index,
        );
      // The same lines give several rings where one thing is waited for in several ways: the first tells all.
      const places = whys.map(longPosition);
      if (places.length > 0 && places.every((place) => told.has(place))) return;
      for (const place of places) told.add(place);
      problems.add({
        code: "cycle",
        at: whys[0] ?? null,
        message: `these wait for each other in a circle: ${[...names, names[0]].join(" -> ")}`,
        hint: "one of them must not wait: say wait: false in a need, or take a requirement away",
        also: whys.slice(1).map((at) => ({ at, label: "and" })),
      });
      return;
    }
    one.mark = 1;
    for (const link of one.after) visit(link);
    one.mark = 2;
    result.get(one.node)?.push(one);
    // The instances of a provider come right after it.
    if (one.phase === "after")
      // One that is being visited asked for its provider just now, and comes next anyway.
      for (const made of byProvider.get(`${one.node.name}\n${one.owner.title}`) ?? [])
        if (made.mark === 0) visitAlone(made, made.after[0]?.why ?? (() => positionOf(one.owner.loaded, [])));
  };
  // By place in the profiles first, then by node: what comes first in a profile (time, say) comes first on a node,
  // wherever the graph leaves it open and however the site lists its nodes.
  const longest = Math.max(0, ...site.nodes.map((node) => ownersOf(node).length));
  for (let place = 0; place < longest; place++) {
    for (const node of site.nodes) {
      const owner = ownersOf(node)[place];
      const last = owner === undefined ? undefined : phaseOf(node, owner.title)?.after;
      if (owner !== undefined && last !== undefined)
        visitAlone(last, () => positionOf(owner.loaded, owner.path));
    }
  }
  for (const made of instances.values())
    visitAlone(made, made.after[0]?.why ?? (() => made.instance?.from ?? positionOf(made.owner.loaded, [])));
  // Between nodes what came before what has done its work; of ten thousand nodes it would be most of the memory.
  for (const list of result.values()) {
    for (const one of list) {
      for (const { vertex } of one.after)
        if (vertex.node === one.node && !one.here.includes(vertex)) one.here.push(vertex);
      one.after.length = 0;
    }
  }
  return result;
}

function label(vertex: Vertex): string {
  return vertex.instance === null
    ? `${vertex.owner.title} on ${vertex.node.name}`
    : `${vertex.instance.id} on ${vertex.node.name}`;
}

import type { Position } from "./position.ts";

/**
 * Something wrong with what a person wrote. Problems are values: they are gathered over a whole run and
 * reported together; a thrown error is a bug of ours.
 */
export interface Problem {
  /** From the closed list in docs/problems.md. */
  readonly code: ProblemCode;
  /** Null where no file is to blame (a missing output folder, say). */
  readonly at: Position | null;
  /** What is wrong, in one sentence without a full stop. */
  readonly message: string;
  /** What to do. */
  readonly hint?: string;
  /** Other places that belong to the story: the second claim on a path, the links of a cycle. */
  readonly also?: readonly { readonly at: Position; readonly label: string }[];
  /** The place holds what nobody else may read, so that no excerpt of it is shown. */
  readonly secret?: true;
  /** A notice does not fail the run; `--strict` turns it into a problem. */
  readonly notice?: true;
}

/** Every code with what it means; docs/problems.md is generated from this table. */
export const problemCodes = {
  "yaml-syntax": "The file is not YAML.",
  "yaml-duplicate-key": "A mapping has the same key twice; YAML readers would silently take the last.",
  "yaml-tab": "A tab stands where YAML wants blanks.",
  "yaml-bom": "The file begins with a byte order mark.",
  "yaml-control-character": "The file has a control character.",
  "yaml-alias": "Aliases refer to themselves or expand to too much.",
  "yaml-merge-key": "The YAML 1.1 merge key is not supported.",
  "file-unreadable": "A file cannot be read.",
  "file-encoding": "A file is not UTF-8.",
  "unknown-key": "A key that nothing reads.",
  "missing-key": "A key that must be there is not.",
  "wrong-type": "A value has the wrong type.",
  "wrong-value": "A value is not one of those allowed.",
  "unknown-component": "No component has this name.",
  "unknown-profile": "No profile has this name.",
  "unknown-target": "No target has this name.",
  "unknown-option": "The component has no such option.",
  "unknown-secret": "Nothing has a secret of this name.",
  "unknown-resource": "The component has no such resource.",
  "unknown-param": "The resource has no such parameter.",
  "unknown-name": "A template or a condition names something that is not in its scope.",
  "unknown-network": "The site has no such network.",
  "unused-definition": "Something is declared that nothing uses.",
  "unused-option": "An option is set for a component that no node here runs.",
  "missing-option": "An option without a default is not set.",
  "missing-param": "A parameter without a default is not given.",
  "missing-name": "A word has no value for this target.",
  "missing-front": "Several nodes run a component that others reach by one name, and the site has no front.",
  "missing-provider": "A component needs something that no node of the site provides.",
  "missing-steps-guard": "A step says neither when it is done nor that it may be repeated.",
  "template-syntax": "A template is not valid mustache.",
  "template-value": "A template puts a list, a map or nothing where a text must stand.",
  "secret-in-argv": "A secret stands in an argument list, which every user of the machine can read.",
  cycle: "Things wait for each other in a circle.",
  clash: "Two places claim the same thing differently.",
  "bad-path": "A path is not absolute, or leaves the folder it belongs to.",
  "bad-address": "An address is malformed, outside its network, used twice or the gateway.",
  "bad-network": "A network is malformed or overlaps another.",
  "bad-route": "A route is malformed, is a second default route, or leads away from where the nodes are.",
  "bad-link": "A card, bond, VLAN or bridge cannot be made like this.",
  carrier: "A carrier cannot hold what the node's seed has.",
  "bad-netboot": "Machines could not boot from the network as the site says.",
  "bad-mtu": "An MTU does not fit what the network lies over.",
  "mtu-differs": "A node's MTU differs from that of the network it is in.",
  "unknown-link": "The node has no such link.",
  "bad-mac": "A MAC address is malformed or used twice.",
  "bad-name": "A name is not valid for what it names.",
  "bad-duration": "A duration is not a number with s, m or h.",
  "bad-size": "A size is not a number with M, G or T.",
  rule: "A component states a rule, and a node breaks it.",
  "too-small": "A node is smaller than what it runs takes.",
  "no-match": "Nothing of the site matches what was asked for.",
  "no-site": "There is no site file.",
  "no-login": "Nobody will be able to log in.",
  "no-disk":
    "No disk of the machine fits, or not exactly as many as are wanted, or one that may not be taken.",
  "unsure-disk": "A disk that nobody means might be wiped, and nothing says that this is meant.",
  "bad-storage": "What is asked of the disks cannot be made.",
  "installer-lacks": "The installer of this release or medium does not know what is asked.",
  "no-installer": "The target has no unattended installer, so that what is said of installing is left out.",
  "bad-hardware": "What was given as a machine's hardware cannot be read, or is of no node.",
  "hosts-limited": "The site is so large that /etc/hosts names only the nodes that a node talks to.",
  "unowned-file": "Settings name a file that no component on the node owns.",
  "no-remote-ready": "Another node must wait for this, and nothing says how it could ask.",
  "secret-source": "A secret cannot be had from where the site says.",
  "output-unwritable": "The output folder cannot be written.",
  "output-foreign": "The output folder holds a file of that name which seedsmith did not write.",
  verification: "An independent reader disagrees with what was rendered.",
  "tool-failed": "An outside tool refuses what was rendered.",
  "tool-skipped": "An outside tool could not be run.",
} as const satisfies Record<string, string>;

export type ProblemCode = keyof typeof problemCodes;

const onceAPlace: ReadonlySet<ProblemCode> = new Set([
  "unknown-name",
  "unknown-component",
  "unknown-option",
  "unknown-resource",
  "unknown-param",
  "unowned-file",
  "template-syntax",
  "file-unreadable",
] as const);

/** Gathers problems; passed down through the stages. */
export class Problems {
  readonly #list: Problem[] = [];
  readonly #seen: Set<string> = new Set();
  #reports = 0;

  /** Adds a problem once: the same words at the same place, found for each of a thousand nodes, are one. */
  add(problem: Problem): void {
    this.#reports += 1;
    const at = problem.at;
    // A name is unknown once at its place, whatever is said of it for each node.
    const words = at !== null && onceAPlace.has(problem.code) ? "" : problem.message;
    const key = `${problem.code} ${at === null ? "" : `${at.file}:${at.line}:${at.column}`} ${words}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    this.#list.push(problem);
  }

  /** Counts something as wrong that was reported already, elsewhere. */
  addFollowing(): void {
    this.#reports += 1;
  }

  /** How often something was found wrong: grows also when the problem was known. For leaving out what follows from it. */
  get reports(): number {
    return this.#reports;
  }

  get list(): readonly Problem[] {
    return this.#list;
  }

  /** Whether anything but notices was found. */
  get failed(): boolean {
    return this.#list.some((problem) => problem.notice !== true);
  }
}

/**
 * What cloud-init did when, from its own log (/var/log/cloud-init.log). Read here rather than by `cloud-init analyze`
 * on the node, as a node that failed may not answer, and as the log is also in failure bundles.
 */

/** A stretch of time, in ms since 1970. */
export interface Stretch {
  readonly name: string;
  readonly start: number;
  /** Null when it had not ended by then. */
  readonly end: number | null;
}

/** The words of a stage's command line, and the name that the rest of the log gives the stage. */
const stages: Readonly<Record<string, string>> = {
  "init-local": "init-local",
  init: "init-network",
  "modules:config": "modules-config",
  "modules:final": "modules-final",
};

/**
 * Reads the stages (`init-network`) and, within them, the modules and other work (`init-network/config-ssh`), of all
 * boots, in the order of their beginnings. cloud-init writes its log in UTC whatever the node's time zone is
 * (cloudinit/log.py sets gmtime).
 */
export function readCloudInitLog(text: string): Stretch[] {
  const found: { name: string; start: number; end: number | null }[] = [];
  const open = new Map<string, { end: number | null }>();
  const begin = (name: string, start: number): void => {
    const stretch = { name, start, end: null };
    found.push(stretch);
    open.set(name, stretch);
  };
  for (const line of text.split("\n")) {
    const match = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)[,.](\d{3}) - (.*)$/.exec(line);
    if (match === null) continue;
    const time = Date.parse(`${match[1]}T${match[2]}.${match[3]}Z`);
    const said = match[4]!;
    const stage = stages[/Cloud-init v\. \S+ running '([^']+)'/.exec(said)?.[1] ?? ""];
    if (stage !== undefined) {
      begin(stage, time);
      continue;
    }
    const [, word, name] = /\]: (start|finish): ([\w./-]+): /.exec(said) ?? [];
    if (word === "start" && name !== undefined) {
      // The first line of a stage says that its program runs, which is earlier.
      if (name.includes("/") || !open.has(name)) begin(name, time);
    } else if (name !== undefined) {
      const stretch = open.get(name);
      if (stretch !== undefined) stretch.end = time;
      open.delete(name);
    }
  }
  return found;
}

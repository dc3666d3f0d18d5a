/** What dpkg spent time on, from its own log (/var/log/dpkg.log), which has whole seconds in local time. */

/** Work on one package, in ms since 1970. */
export interface DpkgWork {
  readonly kind: "unpack" | "configure" | "triggers" | "remove";
  readonly package: string;
  readonly start: number;
  readonly end: number;
}

const kinds: Readonly<Record<string, DpkgWork["kind"]>> = {
  install: "unpack",
  upgrade: "unpack",
  configure: "configure",
  trigproc: "triggers",
  remove: "remove",
  purge: "remove",
};

/**
 * Reads the work on each package. Every line of a dpkg run lasts until the next one; between two runs of dpkg apt
 * does something of its own, which is not listed. Work that took less than a second has no length and is left out.
 * @param offset minutes that the node's local time is ahead of UTC
 */
export function readDpkgLog(text: string, offset = 0): DpkgWork[] {
  const work: DpkgWork[] = [];
  let current: { kind: DpkgWork["kind"]; package: string; start: number; end: number } | null = null;
  const close = (): void => {
    if (current !== null && current.end > current.start) work.push(current);
    current = null;
  };
  for (const line of text.split("\n")) {
    const match = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (\w+) (\S+)/.exec(line);
    if (match === null) continue;
    const time = Date.parse(`${match[1]}T${match[2]}Z`) - offset * 60_000;
    const word = match[3]!;
    if (word === "startup") {
      close();
      continue;
    }
    if (current !== null) current.end = time;
    const kind = kinds[word];
    if (kind === undefined) continue;
    close();
    // Architecture is no part of a name that people know.
    current = { kind, package: match[4]!.replace(/:\w+$/, ""), start: time, end: time };
  }
  close();
  return work;
}

/** The minutes ahead of UTC that `date +%z` prints, such as `+0100`; 0 when it is no such text. */
export function minutesOf(zone: string): number {
  const match = /^([+-])(\d\d)(\d\d)\s*$/.exec(zone);
  if (match === null) return 0;
  return (match[1] === "-" ? -1 : 1) * (Number(match[2]) * 60 + Number(match[3]));
}

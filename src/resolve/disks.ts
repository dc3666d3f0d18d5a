/**
 * Which disk is meant. With the facts of a machine a match picks exactly one disk or is refused; without them it is
 * written for the installer to match, as far as that is able to.
 */
import { bytes } from "../core/duration.ts";
import type { DiskDoc, DiskMatch, SomeDisks } from "../validate/documents.ts";

/** What a match makes of one disk: it fits, it does not, or the facts do not say. */
type Fit = "yes" | "no" | "unknown";

export type Choice =
  | { readonly kind: "chosen"; readonly disks: readonly DiskDoc[] }
  | { readonly kind: "none" }
  /** More than were asked for fit. */
  | { readonly kind: "several"; readonly disks: readonly DiskDoc[] }
  /** A disk that an installer or a seed was on when the facts were recorded. */
  | { readonly kind: "medium"; readonly disk: DiskDoc }
  /** Whether it fits hangs on something that was not recorded. */
  | { readonly kind: "unknown"; readonly disk: DiskDoc; readonly what: string };

/** A shell glob as the installer reads it: `*`, `?` and sets, case-sensitive, the whole text. */
export function globs(pattern: string, text: string): boolean {
  let expression = "";
  for (let at = 0; at < pattern.length; at++) {
    const letter = pattern[at] as string;
    if (letter === "*") expression += ".*";
    else if (letter === "?") expression += ".";
    else if (letter === "[") {
      const end = pattern.indexOf("]", at + 2);
      if (end < 0) expression += "\\[";
      else {
        const set = pattern.slice(at + 1, end).replace(/[\\\]]/g, "\\$&");
        expression += `[${set.startsWith("!") ? `^${set.slice(1)}` : set.replace(/^\^/, "\\^")}]`;
        at = end;
      }
    } else expression += letter.replace(/[\\^$.|+(){}\]]/g, "\\$&");
  }
  try {
    return new RegExp(`^${expression}$`, "s").test(text);
  } catch {
    return false;
  }
}

/** The glob that matches this text and nothing else. */
export function literally(text: string): string {
  return text.replace(/[*?[]/g, "[$&]");
}

/** World wide names are written with and without `0x`, and in either case. */
function sameName(a: string, b: string): boolean {
  const plain = (name: string): string => name.toLowerCase().replace(/^0x|^naa\.|^wwn-0x/, "");
  return plain(a) === plain(b);
}

/** udev writes blanks of models as underscores, other tools do not. */
function fitsModel(pattern: string, model: string): boolean {
  return globs(pattern, model) || globs(pattern.replaceAll(" ", "_"), model.replaceAll(" ", "_"));
}

function both(a: Fit, b: Fit): Fit {
  if (a === "no" || b === "no") return "no";
  return a === "yes" ? b : a;
}

/** Whether a disk fits what is said of it alone; the largest and the smallest are found among others. */
export function fits(disk: DiskDoc, match: DiskMatch): Fit {
  let fit: Fit = disk.size === 0 ? "no" : "yes";
  const says = (holds: boolean): void => {
    if (!holds) fit = "no";
  };
  if (match.serial !== undefined)
    says(
      [disk.serial, disk.id_serial].some(
        (serial) => serial !== undefined && globs(match.serial as string, serial),
      ),
    );
  if (match.wwn !== undefined) says(disk.wwn !== undefined && sameName(match.wwn, disk.wwn));
  if (match.model !== undefined) says(disk.model !== undefined && fitsModel(match.model, disk.model));
  if (match.vendor !== undefined) says(disk.vendor !== undefined && globs(match.vendor, disk.vendor));
  if (match.path !== undefined) says(globs(match.path, disk.path));
  if (typeof match.size === "object") {
    const { at_least: least, at_most: most } = match.size;
    if (least !== undefined) says(disk.size >= (bytes(least) ?? 0));
    if (most !== undefined) says(disk.size <= (bytes(most) ?? Number.POSITIVE_INFINITY));
  }
  if (match.ssd !== undefined)
    fit = both(fit, disk.ssd === undefined ? "unknown" : disk.ssd === match.ssd ? "yes" : "no");
  for (const other of notOf(match)) {
    const excluded = fits(disk, other);
    fit = both(fit, excluded === "yes" ? "no" : excluded === "no" ? "yes" : "unknown");
  }
  return fit;
}

function notOf(match: DiskMatch): readonly SomeDisks[] {
  if (match.not === undefined) return [];
  return Array.isArray(match.not) ? (match.not as readonly SomeDisks[]) : [match.not as SomeDisks];
}

/**
 * Picks disks by the facts, or refuses.
 * @param count how many must fit; null for all that do, which must be at least one
 */
export function chooseDisks(disks: readonly DiskDoc[], match: DiskMatch, count: number | null): Choice {
  const found: DiskDoc[] = [];
  for (const disk of disks) {
    const fit = fits(disk, match);
    if (fit === "unknown") return { kind: "unknown", disk, what: "whether it is an SSD" };
    if (fit === "yes") found.push(disk);
  }
  if (found.length === 0) return { kind: "none" };
  let chosen: readonly DiskDoc[] = found;
  if (typeof match.size === "string") {
    const sizes = found.map(({ size }) => size);
    const wanted = match.size === "largest" ? Math.max(...sizes) : Math.min(...sizes);
    chosen = found.filter(({ size }) => size === wanted);
  }
  if (count !== null && chosen.length > count) return { kind: "several", disks: chosen };
  if (count !== null && chosen.length < count) return { kind: "none" };
  const medium = chosen.find((disk) => disk.medium === true);
  return medium === undefined ? { kind: "chosen", disks: chosen } : { kind: "medium", disk: medium };
}

/** A match as the installer reads it; everything in it must hold. */
export interface InstallerMatch {
  readonly serial?: string;
  readonly model?: string;
  readonly vendor?: string;
  readonly path?: string;
  readonly id_path?: string;
  readonly ssd?: boolean;
  readonly size?: "largest" | "smallest";
}

/** What is asked of the installer, and whether it can only ever be the one disk that is meant. */
export interface Asked {
  readonly match: InstallerMatch;
  readonly sure: boolean;
}

/** Serials shorter than this may well be part of another disk's. */
const shortestSerial = 6;

/** The serial as part of udev's ID_SERIAL, which begins with the model of most disks and may end with a number. */
function serialGlob(serial: string): Asked {
  return { match: { serial: `*${literally(serial)}*` }, sure: serial.length >= shortestSerial };
}

/**
 * What the installer is asked for a disk that the facts picked: by what cannot be another disk's, as far as is known.
 * @param others all disks of the machine: what also fits another one of them is not used
 * @param knowsPath whether this installer knows `id_path`; one that does not would take any disk
 */
export function askFor(disk: DiskDoc, others: readonly DiskDoc[], knowsPath: boolean): Asked {
  const asked: Asked[] = [];
  const { serial, id_serial: idSerial } = disk;
  // SCSI disks have their world wide name as ID_SERIAL and the serial elsewhere.
  const name = /^(?:0x|naa\.)?([0-9a-f]{16,32})$/i.exec(disk.wwn ?? "")?.[1]?.toLowerCase();
  if (idSerial !== undefined) {
    // What stands around the serial (the model, with or without blanks, a number) differs by udev's version.
    if (serial !== undefined && serial.length >= shortestSerial && idSerial.includes(serial))
      asked.push(serialGlob(serial));
    asked.push({ match: { serial: literally(idSerial) }, sure: idSerial.length >= shortestSerial });
  } else if (name !== undefined && ["sas", "fc", "scsi", "iscsi"].includes(disk.bus ?? ""))
    asked.push({ match: { serial: `*${name}*` }, sure: true });
  else if (serial !== undefined) asked.push(serialGlob(serial));
  if (disk.id_path !== undefined && knowsPath)
    asked.push({ match: { id_path: literally(disk.id_path) }, sure: false });
  const alone = ({ match }: Asked): boolean =>
    !others.some(
      (other) =>
        other !== disk &&
        ((match.serial !== undefined &&
          [other.id_serial, other.serial, other.wwn?.toLowerCase().replace(/^0x/, "")].some(
            (serial) => serial !== undefined && globs(match.serial as string, serial),
          )) ||
          (match.id_path !== undefined && match.id_path === literally(other.id_path ?? ""))),
    );
  // The path is what the kernel called it in the order of that boot.
  return asked.find(alone) ?? { match: { path: disk.path }, sure: false };
}

/**
 * What the installer is asked where no facts are known.
 * @returns null with what it cannot be asked
 */
export function askWithoutFacts(
  match: DiskMatch,
): { readonly asked: Asked } | { readonly cannot: "wwn" | "not" | "size" } {
  if (match.wwn !== undefined) return { cannot: "wwn" };
  if (match.not !== undefined) return { cannot: "not" };
  if (typeof match.size === "object") return { cannot: "size" };
  const { serial, model, vendor, path, ssd, size } = match;
  const glob = serial !== undefined && /[*?[]/.test(serial);
  const exact = serial === undefined || glob ? null : serialGlob(serial);
  return {
    asked: {
      match: {
        ...(serial === undefined ? {} : { serial: exact?.match.serial ?? serial }),
        // udev has an underscore or a blank there, by its version and the kind of disk.
        ...(model === undefined ? {} : { model: model.replaceAll(" ", "?") }),
        ...(vendor === undefined ? {} : { vendor }),
        ...(path === undefined ? {} : { path }),
        ...(ssd === undefined ? {} : { ssd }),
        ...(size === undefined ? {} : { size }),
      },
      sure: exact?.sure ?? false,
    },
  };
}

/** A disk as a person knows it: `/dev/sda Samsung SSD 860, serial S4EVNX0N123456, 447G SSD`. */
export function describeDisk(disk: DiskDoc): string {
  const words = [disk.path];
  if (disk.model !== undefined) words.push(disk.model);
  const more = [
    disk.serial === undefined
      ? disk.wwn === undefined
        ? "no serial"
        : `wwn ${disk.wwn}`
      : `serial ${disk.serial}`,
    `${formatSize(disk.size)}${disk.ssd === undefined ? "" : disk.ssd ? " SSD" : " HDD"}`,
  ];
  return `${words.join(" ")}, ${more.join(", ")}`;
}

/** Bytes in the largest power of 1024 that leaves at least 1, with one decimal where it is not whole. */
export function formatSize(size: number): string {
  const units = ["B", "K", "M", "G", "T", "P"];
  let unit = 0;
  let value = size;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number.isInteger(value) ? value : value.toFixed(1)}${units[unit]}`;
}

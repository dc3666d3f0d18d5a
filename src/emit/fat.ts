/**
 * Writes FAT images, for machines and services that take a seed as a disk rather than as a CD: FAT12 or FAT16 with
 * long names (VFAT), without any host tool. The bytes depend on the arguments alone, and not on the files' order.
 *
 * Layout in sectors of 512 bytes: boot sector, two equal FATs, the root directory, clusters: those of folders come
 * first, then those of files, each in order of its path and in one piece.
 *
 * Source: Microsoft, "FAT: General Overview of On-Disk Format", 1.03.
 */

const SECTOR = 512;
const RECORD = 32;
const ROOT_RECORDS = 512;
const ROOT_SECTORS = (ROOT_RECORDS * RECORD) / SECTOR;
/** Tools that think in cylinders want a whole number of tracks. */
const TRACK = 32;
const HEADS = 2;
const RESERVED = 1;
/** Fewer clusters than this are FAT12, fewer than the second FAT16: the only thing that tells them apart. */
const FAT16_FROM = 4085;
const FAT32_FROM = 65525;
/** Padding to whole tracks makes up to this many clusters more than are needed. */
const SPARE = 8;

const ATTRIBUTE = { readOnly: 0x01, label: 0x08, folder: 0x10, long: 0x0f } as const;
/** 2000-01-01 00:00:00, as any fixed date will do. */
const DATE = ((2000 - 1980) << 9) | (1 << 5) | 1;
/** What mkfs takes from the clock; blkid shows it as UUID. */
const SERIAL = 0x5eed_0001;

const LONGEST_NAME = 255;
const UNITS_A_RECORD = 13;
/** Where the 13 UCS-2 units of a long name's record lie. */
const UNIT_OFFSETS = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30] as const;
const NOT_IN_NAMES = /[\p{Cc}\p{Cs}"*/:<>?\\|\u{10000}-\u{10ffff}]/u;

interface Entry {
  readonly name: string;
  readonly short: string;
  readonly folder: Folder | null;
  readonly bytes: Uint8Array;
  cluster: number;
}

interface Folder {
  readonly entries: Entry[];
  readonly parent: Folder | null;
  cluster: number;
}

/**
 * Makes a FAT image.
 *
 * In: the label (1 to 11 of A-Z, 0-9, `-` and `_`; FAT labels are upper case), and files by their path in the image,
 * folders divided by `/`. Names are 1 to 255 UCS-2 units, no two of a folder equal but for case.
 *
 * Out: the image, a whole number of tracks of 16 KiB, with hardly more space than the files take.
 *
 * Throws RangeError for arguments that no such image can hold (of files, about 2 GiB in all); these are errors of the
 * calling program.
 */
export function writeFat(
  label: string,
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
): Uint8Array {
  if (!/^[A-Z0-9_-]{1,11}$/.test(label))
    throw new RangeError(`the label ${JSON.stringify(label)} must be 1 to 11 of A-Z, 0-9, - and _`);
  const root = toTree(files);
  const folders = [...inside(root)];
  // Room for the label, which is an entry of the root.
  if (recordsOf(root) + 1 > ROOT_RECORDS) throw new RangeError("the root folder has too many files");

  const { perCluster, clusters, wide } = geometry(root, folders);
  const size = perCluster * SECTOR;
  const fatSectors = Math.ceil(((clusters + SPARE + 2) * (wide ? 2 : 1.5)) / SECTOR);
  const before = RESERVED + 2 * fatSectors + ROOT_SECTORS;
  const sectors = Math.ceil((before + clusters * perCluster) / TRACK) * TRACK;
  const bytes = new Uint8Array(sectors * SECTOR);
  const view = new DataView(bytes.buffer);

  const fat: number[] = [wide ? 0xfff8 : 0xff8, wide ? 0xffff : 0xfff];
  const end = wide ? 0xffff : 0xfff;
  const take = (length: number): number => {
    const first = fat.length;
    const count = Math.ceil(length / size);
    for (let index = 1; index <= count; index++) fat.push(index === count ? end : first + index);
    return count === 0 ? 0 : first;
  };
  for (const { folder } of folders)
    folder.cluster = take(folder.entries.length === 0 ? 1 : folderLength(folder));
  for (const entry of allEntries(root)) entry.cluster = entry.folder?.cluster ?? take(entry.bytes.length);

  bootSector(view, { label, perCluster, sectors, fatSectors, wide });
  for (const copy of [0, 1]) writeTable(view, (RESERVED + copy * fatSectors) * SECTOR, fat, wide);
  let at = (RESERVED + 2 * fatSectors) * SECTOR;
  ascii(bytes, at, label.padEnd(11));
  record(view, at, ATTRIBUTE.label, 0, 0);
  at += RECORD;
  for (const entry of root.entries) at = writeEntry(view, at, entry);

  const place = (cluster: number): number => (before + (cluster - 2) * perCluster) * SECTOR;
  for (const { folder } of folders) {
    let here = place(folder.cluster);
    ascii(bytes, here, ".".padEnd(11));
    record(view, here, ATTRIBUTE.folder, folder.cluster, 0);
    ascii(bytes, here + RECORD, "..".padEnd(11));
    // The root is written as cluster 0 there.
    record(view, here + RECORD, ATTRIBUTE.folder, folder.parent?.cluster ?? 0, 0);
    here += 2 * RECORD;
    for (const entry of folder.entries) here = writeEntry(view, here, entry);
  }
  for (const entry of allEntries(root))
    if (entry.folder === null && entry.bytes.length > 0) bytes.set(entry.bytes, place(entry.cluster));
  return bytes;
}

/** Folders and files from paths, sorted, with their short names settled. */
function toTree(files: readonly { readonly name: string; readonly bytes: Uint8Array }[]): Folder {
  const root: Folder = { entries: [], parent: null, cluster: 0 };
  const shorts = new Map<Folder, ShortNames>();
  const named = new Map<Folder, Map<string, Entry>>();
  const add = (folder: Folder, name: string, bytes: Uint8Array | null): Entry => {
    checkName(name);
    const entries = named.get(folder) ?? new Map<string, Entry>();
    named.set(folder, entries);
    const known = entries.get(name.toUpperCase());
    if (known !== undefined) {
      if (bytes === null && known.folder !== null && known.name === name) return known;
      throw new RangeError(`two files are called ${JSON.stringify(name)}, case aside`);
    }
    const short = shorts.get(folder) ?? new ShortNames();
    shorts.set(folder, short);
    const entry: Entry = {
      name,
      short: short.take(name),
      folder: bytes === null ? { entries: [], parent: folder === root ? null : folder, cluster: 0 } : null,
      bytes: bytes ?? new Uint8Array(),
      cluster: 0,
    };
    entries.set(name.toUpperCase(), entry);
    folder.entries.push(entry);
    return entry;
  };
  for (const { name, bytes } of files.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))) {
    const parts = name.split("/");
    let folder = root;
    for (const part of parts.slice(0, -1)) folder = add(folder, part, null).folder as Folder;
    add(folder, parts.at(-1) ?? "", bytes);
  }
  return root;
}

function checkName(name: string): void {
  const shown = JSON.stringify(name);
  if (name === "" || name === "." || name === "..") throw new RangeError(`${shown} is not a file name`);
  if (name.length > LONGEST_NAME)
    throw new RangeError(`the name ${shown} is longer than ${LONGEST_NAME} units`);
  if (NOT_IN_NAMES.test(name))
    throw new RangeError(`the name ${shown} has a character that FAT does not hold`);
  if (/[. ]$/.test(name))
    throw new RangeError(`the name ${shown} ends with a dot or a space, which readers drop`);
}

/** Every folder below one, itself left out, parents first. */
function* inside(folder: Folder): Generator<{ readonly folder: Folder }> {
  for (const entry of folder.entries) {
    if (entry.folder === null) continue;
    yield { folder: entry.folder };
    yield* inside(entry.folder);
  }
}

function* allEntries(folder: Folder): Generator<Entry> {
  for (const entry of folder.entries) {
    yield entry;
    if (entry.folder !== null) yield* allEntries(entry.folder);
  }
}

/** Records of a folder's entries: one each, and as many more as a long name takes. */
function recordsOf(folder: Folder): number {
  return folder.entries.reduce((sum, { name, short }) => sum + 1 + longRecords(name, short), 0);
}

function folderLength(folder: Folder): number {
  return (2 + recordsOf(folder)) * RECORD;
}

/** A name that is its own short name needs no long one. */
function longRecords(name: string, short: string): number {
  return spelled(short) === name ? 0 : Math.ceil(name.length / UNITS_A_RECORD);
}

/** A short name as people write it: `USER-D~1` or `VENDOR.TXT`. */
function spelled(short: string): string {
  const extension = short.slice(8).trimEnd();
  return `${short.slice(0, 8).trimEnd()}${extension === "" ? "" : `.${extension}`}`;
}

function geometry(
  root: Folder,
  folders: readonly { readonly folder: Folder }[],
): { perCluster: number; clusters: number; wide: boolean } {
  for (const perCluster of [4, 8, 16, 32, 64]) {
    const size = perCluster * SECTOR;
    let clusters = 0;
    for (const { folder } of folders) clusters += Math.ceil(folderLength(folder) / size);
    for (const { bytes } of allEntries(root)) clusters += Math.ceil(bytes.length / size);
    if (clusters + SPARE < FAT16_FROM) return { perCluster, clusters: Math.max(clusters, 1), wide: false };
    if (clusters + SPARE < FAT32_FROM)
      return { perCluster, clusters: Math.max(clusters, FAT16_FROM), wide: true };
  }
  throw new RangeError("the files are too large for a FAT16 image");
}

function bootSector(
  view: DataView,
  {
    label,
    perCluster,
    sectors,
    fatSectors,
    wide,
  }: { label: string; perCluster: number; sectors: number; fatSectors: number; wide: boolean },
): void {
  const bytes = new Uint8Array(view.buffer);
  // A jump to code that is not there: whoever boots from it gets an endless loop rather than chance.
  bytes.set([0xeb, 0x3c, 0x90]);
  ascii(bytes, 3, "SEEDSMTH");
  view.setUint16(11, SECTOR, true);
  bytes[13] = perCluster;
  view.setUint16(14, RESERVED, true);
  bytes[16] = 2;
  view.setUint16(17, ROOT_RECORDS, true);
  if (sectors < 0x1_0000) view.setUint16(19, sectors, true);
  else view.setUint32(32, sectors, true);
  bytes[21] = 0xf8; // a disk
  view.setUint16(22, fatSectors, true);
  view.setUint16(24, TRACK, true);
  view.setUint16(26, HEADS, true);
  bytes[36] = 0x80;
  bytes[38] = 0x29; // serial, label and type follow
  view.setUint32(39, SERIAL, true);
  ascii(bytes, 43, label.padEnd(11));
  ascii(bytes, 54, wide ? "FAT16   " : "FAT12   ");
  bytes.set([0xeb, 0xfe], 62);
  bytes.set([0x55, 0xaa], 510);
}

function writeTable(view: DataView, at: number, fat: readonly number[], wide: boolean): void {
  if (wide) {
    for (const [index, value] of fat.entries()) view.setUint16(at + 2 * index, value, true);
    return;
  }
  for (const [index, value] of fat.entries()) {
    // Twelve bits each: two of them share the middle one of three bytes.
    const place = at + Math.floor(index * 1.5);
    const both = view.getUint16(place, true);
    view.setUint16(place, index % 2 === 0 ? (both & 0xf000) | value : (both & 0x000f) | (value << 4), true);
  }
}

function record(view: DataView, at: number, attributes: number, cluster: number, size: number): void {
  view.setUint8(at + 11, attributes);
  view.setUint16(at + 16, DATE, true); // made
  view.setUint16(at + 18, DATE, true); // read
  view.setUint16(at + 24, DATE, true); // changed
  view.setUint16(at + 26, cluster, true);
  view.setUint32(at + 28, size, true);
}

/** An entry's records, the long name's last piece first; returns where the next one goes. */
function writeEntry(view: DataView, at: number, entry: Entry): number {
  const { name, short, folder, bytes, cluster } = entry;
  const image = new Uint8Array(view.buffer);
  const pieces = longRecords(name, short);
  let sum = 0;
  for (let index = 0; index < 11; index++)
    sum = (((sum & 1) << 7) + (sum >> 1) + short.charCodeAt(index)) & 0xff;
  let here = at;
  for (let piece = pieces; piece >= 1; piece--) {
    image[here] = piece | (piece === pieces ? 0x40 : 0);
    image[here + 11] = ATTRIBUTE.long;
    image[here + 13] = sum;
    for (const [index, offset] of UNIT_OFFSETS.entries()) {
      const unit = (piece - 1) * UNITS_A_RECORD + index;
      // A name ends with a zero where there is room, and is filled up with ones.
      view.setUint16(
        here + offset,
        unit < name.length ? name.charCodeAt(unit) : unit === name.length ? 0 : 0xffff,
        true,
      );
    }
    here += RECORD;
  }
  ascii(image, here, short);
  record(view, here, folder === null ? ATTRIBUTE.readOnly : ATTRIBUTE.folder, cluster, bytes.length);
  return here + RECORD;
}

function ascii(bytes: Uint8Array, at: number, text: string): void {
  for (let index = 0; index < text.length; index++) bytes[at + index] = text.charCodeAt(index);
}

/** Hands out the 8.3 names of one folder, each one once: as eight characters and three, padded with spaces. */
class ShortNames {
  readonly #taken = new Set<string>();

  take(name: string): string {
    const dot = name.lastIndexOf(".");
    const fit = (text: string): string => text.toUpperCase().replace(/[^A-Z0-9_~-]/g, "_");
    const stem = fit((dot > 0 ? name.slice(0, dot) : name).replace(/[. ]/g, ""));
    const extension = fit(dot > 0 ? name.slice(dot + 1) : "")
      .slice(0, 3)
      .padEnd(3);
    const plain = stem.slice(0, 8).padEnd(8) + extension;
    let short = plain;
    // Only a name that loses nothing goes without a number.
    if (spelled(plain) !== name.toUpperCase() || this.#taken.has(plain)) {
      for (let number = 1; ; number++) {
        const tail = `~${number}`;
        short = (stem.slice(0, 8 - tail.length) + tail).padEnd(8) + extension;
        if (!this.#taken.has(short)) break;
      }
    }
    this.#taken.add(short);
    return short;
  }
}

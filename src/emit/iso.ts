/**
 * Writes the seed image: ISO 9660 (ECMA-119) with Rock Ridge (SUSP 1.10, RRIP 1.10) and Joliet, without any
 * host tool. The bytes depend on the arguments alone: no clock, locale or environment, and the order of the
 * files does not matter.
 *
 * Layout in sectors of 2048 bytes: 0-15 zeros, 16 primary descriptor, 17 Joliet descriptor, 18 terminator,
 * 19-22 path tables (primary L and M, Joliet L and M), then the primary directory, its continuation area, the
 * Joliet directory, one zero sector when some file is empty, and the files' data, shared by both trees.
 */

const SECTOR = 2048;
const PRIMARY_DESCRIPTOR = 16;
const JOLIET_DESCRIPTOR = 17;
const TERMINATOR = 18;
const PRIMARY_PATH_TABLE = 19;
const JOLIET_PATH_TABLE = 21;
const FIRST_DIRECTORY = 23;

/** A path table that holds only the root: one record of 8 bytes, a 1-byte name and a pad byte. */
const PATH_TABLE_SIZE = 10;
const LONGEST_RECORD = 254;

/** ECMA-119 9.1: 33 bytes before the identifier, which is padded so that what follows is at an even offset. */
const RECORD_HEADER = 33;
const SP_LENGTH = 7;
const PX_LENGTH = 36;
const CE_LENGTH = 28;
const NM_HEADER = 5;
/** The records of the primary directory for itself and for its parent. */
const SELF_LENGTH = even(34 + SP_LENGTH + PX_LENGTH + CE_LENGTH);
const PARENT_LENGTH = even(34 + PX_LENGTH);

const FILE_MODE = 0o100444;
const DIRECTORY_MODE = 0o040555;

const LONGEST_NAME = 64;
const LONGEST_VOLUME_ID = 16;
/** A file is one extent, and an extent's length is a 32-bit field. */
const LARGEST_FILE = 0xffff_ffff;

// Joliet, "Allowed character set": not these, and no control characters. UCS-2 ends at U+FFFF.
const NOT_IN_NAMES = /[\p{Cc}\p{Cs}*/:;?\\\u{10000}-\u{10ffff}]/u;
// Printable ASCII, less what Joliet forbids.
const VOLUME_ID = /^[\x20-\x7e]+$/;

/** 2000-01-01 00:00:00 UTC, in the two forms the format uses: any fixed date will do. */
const RECORD_DATE = [100, 1, 1, 0, 0, 0, 0] as const;
const DESCRIPTOR_DATE = "2000010100000000";
const NO_DATE = "0000000000000000";

const utf8 = new TextEncoder();

/** The extension record of RRIP 1.10 with its recommended texts; readers look at the identifier only. */
const EXTENSION = extension(
  "RRIP_1991A",
  "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
  "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  " +
    "SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME DESCRIPTOR FOR CONTACT INFORMATION.",
);

type Entry = {
  readonly name: string;
  readonly size: number;
  /** The name for Rock Ridge, in UTF-8. */
  readonly long: Uint8Array;
  /** The ISO 9660 level 1 identifier, e.g. `USER_DAT.;1`. */
  readonly short: string;
  /** Offset of the name in the continuation area, or -1 when it fits into the directory record. */
  readonly continued: number;
  extent: number;
};

/** An image before its files' contents are put in, which depends on the label and on the files' names and sizes alone. */
type Layout = {
  /** All that comes before the contents of the files. */
  readonly head: Uint8Array;
  readonly sectors: number;
  /** Where each file begins, in sectors, in the order in which the files were given. */
  readonly extents: readonly number[];
};

/** Nodes of one kind have files of a few sizes only, so that most images begin as one did that was laid out before. */
const layouts = new Map<string, Layout>();
const rememberedLayouts = 64;

/**
 * Makes an ISO image that holds the given files in its root directory (subdirectories are not supported).
 *
 * In: the volume label, kept exactly as given, lower case too, as `genisoimage -volid` does (1 to 16 printable
 * ASCII characters, the most that Joliet holds), and the files with their exact names (1 to 64 UCS-2 units
 * each; no `* / : ; ? \`, control characters, or dot at the end, which Joliet readers would change). Empty
 * files are legal. Files are 0444 root:root, the directory is 0555. The level 1 names are made up: unique,
 * upper case, 8.3.
 *
 * In besides: what gives the image its memory, which need not be zero.
 *
 * Out: the image, a whole number of 2048-byte sectors: those of the files and 26 more for a handful of files,
 * one more when a file is empty, and at most 32 more for up to 29 files with the longest names.
 *
 * Throws RangeError for arguments that no image can hold; these are errors of the calling program.
 *
 * Sources: ECMA-119; IEEE P1281 (SUSP) and P1282 (RRIP), drafts 1.10; the Joliet specification of 1995.
 */
export function writeIso(
  volumeId: string,
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  memory = (size: number): Uint8Array => new Uint8Array(size),
): Uint8Array {
  const sizes = files.map(({ name, bytes }) => ({ name, size: bytes.length }));
  const key = JSON.stringify([volumeId, sizes]);
  let layout = layouts.get(key);
  if (layout === undefined) {
    layout = layOut(volumeId, sizes);
    if (layouts.size >= rememberedLayouts) layouts.clear();
    layouts.set(key, layout);
  }
  const image = memory(layout.sectors * SECTOR);
  image.set(layout.head);
  for (const [index, { bytes }] of files.entries()) {
    const start = (layout.extents[index] as number) * SECTOR;
    image.set(bytes, start);
    image.fill(0, start + bytes.length, start + sectorsOf(bytes.length) * SECTOR);
  }
  return image;
}

function layOut(
  volumeId: string,
  files: readonly { readonly name: string; readonly size: number }[],
): Layout {
  checkVolumeId(volumeId);
  const continuation = new Packer();
  continuation.place(EXTENSION.length);
  const entries = toEntries(files, continuation);
  const bySort = entries.toSorted((a, b) => compare(sortKey(a.short), sortKey(b.short)));

  const primary = new Packer();
  primary.place(SELF_LENGTH);
  primary.place(PARENT_LENGTH);
  const primaryOffsets = bySort.map((entry) => primary.place(primaryLength(entry)));
  const joliet = new Packer();
  joliet.place(34);
  joliet.place(34);
  const jolietOffsets = entries.map((entry) => joliet.place(recordLength(2 * entry.name.length)));

  const primaryAt = FIRST_DIRECTORY;
  const continuationAt = primaryAt + primary.sectors;
  const jolietAt = continuationAt + continuation.sectors;
  const emptyAt = jolietAt + joliet.sectors;
  const contentsAt = emptyAt + (entries.some((entry) => entry.size === 0) ? 1 : 0);
  let end = contentsAt;
  for (const entry of entries) {
    // Some readers take the place of an extent for the file's identity or check that it is inside the image,
    // so empty files get a sector of their own, as libisofs does it.
    entry.extent = entry.size === 0 ? emptyAt : end;
    end += sectorsOf(entry.size);
  }

  // The contents come last, so that an image of no more than what stands before them is all that is to be drawn.
  const image = new Image(contentsAt, end);
  const primarySize = primary.sectors * SECTOR;
  const jolietSize = joliet.sectors * SECTOR;
  image.descriptor(PRIMARY_DESCRIPTOR, 1, volumeId, PRIMARY_PATH_TABLE, primaryAt, primarySize);
  image.descriptor(JOLIET_DESCRIPTOR, 2, volumeId, JOLIET_PATH_TABLE, jolietAt, jolietSize);
  image.descriptorHeader(TERMINATOR, 255);
  image.pathTables(PRIMARY_PATH_TABLE, primaryAt);
  image.pathTables(JOLIET_PATH_TABLE, jolietAt);

  const continuationStart = continuationAt * SECTOR;
  let at = primaryAt * SECTOR;
  let field = image.record(at, SELF_LENGTH, primaryAt, primarySize, 2, 1);
  // SP is the first field of the root's own record: check bytes, and no bytes to skip.
  image.bytes.set([0x53, 0x50, SP_LENGTH, 1, 0xbe, 0xef, 0], field);
  field = image.posix(field + SP_LENGTH, DIRECTORY_MODE, 2);
  image.continued(field, continuationAt, 0, EXTENSION.length);
  image.bytes.set(EXTENSION, continuationStart);
  at += SELF_LENGTH;
  field = image.record(at, PARENT_LENGTH, primaryAt, primarySize, 2, 1);
  image.bytes[at + RECORD_HEADER] = 1;
  image.posix(field, DIRECTORY_MODE, 2);
  for (const [index, entry] of bySort.entries()) {
    at = primaryAt * SECTOR + primaryOffsets[index]!;
    const { short, long, continued } = entry;
    field = image.record(at, primaryLength(entry), entry.extent, entry.size, 0, short.length);
    image.ascii(at + RECORD_HEADER, short);
    field = image.posix(field, FILE_MODE, 1);
    if (continued < 0) image.name(field, long);
    else {
      image.continued(field, continuationAt, continued, NM_HEADER + long.length);
      image.name(continuationStart + continued, long);
    }
  }

  at = jolietAt * SECTOR;
  image.record(at, 34, jolietAt, jolietSize, 2, 1);
  image.record(at + 34, 34, jolietAt, jolietSize, 2, 1);
  image.bytes[at + 34 + RECORD_HEADER] = 1;
  for (const [index, { name, size, extent }] of entries.entries()) {
    at = jolietAt * SECTOR + jolietOffsets[index]!;
    image.record(at, recordLength(2 * name.length), extent, size, 0, 2 * name.length);
    image.ucs2(at + RECORD_HEADER, name);
  }
  const byName = new Map(entries.map(({ name, extent }) => [name, extent]));
  return { head: image.bytes, sectors: end, extents: files.map(({ name }) => byName.get(name) as number) };
}

function checkVolumeId(volumeId: string): void {
  const shown = JSON.stringify(volumeId);
  if (volumeId.length === 0) throw new RangeError("the volume id is empty");
  if (volumeId.length > LONGEST_VOLUME_ID)
    throw new RangeError(
      `volume id ${shown} has ${volumeId.length} characters; Joliet holds at most ${LONGEST_VOLUME_ID}`,
    );
  if (!VOLUME_ID.test(volumeId) || NOT_IN_NAMES.test(volumeId))
    throw new RangeError(`volume id ${shown} must be printable ASCII without * / : ; ? \\`);
  // Ids are padded with spaces, so readers drop those at the end; blkid drops those at the start too.
  if (volumeId.trim() !== volumeId) throw new RangeError(`volume id ${shown} starts or ends with a space`);
}

function checkName(name: string): void {
  const shown = JSON.stringify(name);
  if (name === "") throw new RangeError("a file has an empty name");
  if (name.length > LONGEST_NAME)
    throw new RangeError(
      `file name ${shown} has ${name.length} UCS-2 units; Joliet holds at most ${LONGEST_NAME}`,
    );
  if (name.includes("/"))
    throw new RangeError(`file name ${shown} has a slash; the image has a root directory only`);
  if (NOT_IN_NAMES.test(name))
    throw new RangeError(
      `file name ${shown} has a character that Joliet does not hold: * : ; ? \\, control or outside UCS-2`,
    );
  if (name.endsWith("."))
    throw new RangeError(`file name ${shown} ends with a dot, which readers of Joliet drop`);
}

/** Checks the files, sorts them by name (the order of Joliet) and settles their names in the other trees. */
function toEntries(
  files: readonly { readonly name: string; readonly size: number }[],
  continuation: Packer,
): Entry[] {
  for (const { name, size } of files) {
    checkName(name);
    if (size > LARGEST_FILE)
      throw new RangeError(`file ${JSON.stringify(name)} has ${size} bytes, 4 GiB or more`);
  }
  const sorted = files.toSorted((a, b) => compare(a.name, b.name));
  const shortNames = new ShortNames();
  return sorted.map(({ name, size }, index) => {
    if (name === sorted[index - 1]?.name)
      throw new RangeError(`two files have the name ${JSON.stringify(name)}`);
    const long = utf8.encode(name);
    const short = shortNames.take(name);
    const named = NM_HEADER + long.length;
    const fits = recordLength(short.length) + PX_LENGTH + named <= LONGEST_RECORD;
    return { name, size, long, short, continued: fits ? -1 : continuation.place(named), extent: 0 };
  });
}

/** Hands out ISO 9660 level 1 identifiers: 8.3 in A-Z 0-9 _, each one once. */
class ShortNames {
  private readonly taken = new Set<string>();
  /** The last number tried for a name, so that many colliding names do not take quadratic time. */
  private readonly last = new Map<string, number>();

  take(name: string): string {
    const upper = name.replace(/[a-z]/g, (letter) => letter.toUpperCase()).replace(/[^A-Z0-9_.]/g, "_");
    const dot = upper.lastIndexOf(".");
    const hasExtension = dot > 0;
    const stem = (hasExtension ? upper.slice(0, dot) : upper).replaceAll(".", "_").slice(0, 8);
    const extension = hasExtension ? upper.slice(dot + 1, dot + 4) : "";
    const wanted = `${stem}.${extension}`;
    let short = wanted;
    let number = this.last.get(wanted) ?? 0;
    while (this.taken.has(short)) {
      number += 1;
      const digits = String(number);
      short = `${stem.slice(0, 8 - digits.length)}${digits}.${extension}`;
    }
    this.last.set(wanted, number);
    this.taken.add(short);
    return `${short};1`;
  }
}

/** Places pieces one after the other such that none crosses from one sector into the next. */
class Packer {
  private end = 0;

  /** The offset for a piece of `length` bytes, at most one sector. */
  place(length: number): number {
    const left = SECTOR - (this.end % SECTOR);
    const offset = length > left ? this.end + left : this.end;
    this.end = offset + length;
    return offset;
  }

  get sectors(): number {
    return sectorsOf(this.end);
  }
}

/** The image under construction. Positions are offsets in bytes, places ("extent", "at sector") are sectors. */
class Image {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly sectors: number;

  /**
   * @param drawn how many sectors are drawn
   * @param sectors how many it says that it has
   */
  constructor(drawn: number, sectors: number) {
    this.sectors = sectors;
    this.bytes = new Uint8Array(drawn * SECTOR);
    this.view = new DataView(this.bytes.buffer);
  }

  descriptorHeader(sector: number, type: number): void {
    const at = sector * SECTOR;
    this.bytes[at] = type;
    this.ascii(at + 1, "CD001");
    this.bytes[at + 6] = 1;
  }

  /** A primary (type 1) or Joliet (type 2) volume descriptor, ECMA-119 8.4 and 8.5. */
  descriptor(
    sector: number,
    type: 1 | 2,
    volumeId: string,
    tables: number,
    root: number,
    size: number,
  ): void {
    const at = sector * SECTOR;
    const wide = type === 2;
    const text = (offset: number, length: number, value: string): void => {
      if (wide) this.ucs2(at + offset, value.padEnd(length >> 1));
      else this.ascii(at + offset, value.padEnd(length));
    };
    this.descriptorHeader(sector, type);
    text(8, 32, ""); // system
    text(40, 32, volumeId);
    this.both32(at + 80, this.sectors);
    if (wide) this.ascii(at + 88, "%/E"); // UCS-2 level 3
    this.both16(at + 120, 1); // volumes in the set
    this.both16(at + 124, 1); // number of this one
    this.both16(at + 128, SECTOR);
    this.both32(at + 132, PATH_TABLE_SIZE);
    this.view.setUint32(at + 140, tables, true);
    this.view.setUint32(at + 148, tables + 1);
    this.record(at + 156, 34, root, size, 2, 1);
    text(190, 128, ""); // volume set
    text(318, 128, ""); // publisher
    text(446, 128, ""); // data preparer
    text(574, 128, "SEEDSMITH"); // application
    text(702, 37, ""); // copyright, abstract and bibliographic files
    text(739, 37, "");
    text(776, 37, "");
    this.ascii(at + 813, DESCRIPTOR_DATE); // creation; the byte after each date is its time zone, UTC
    this.ascii(at + 830, DESCRIPTOR_DATE); // modification, which blkid shows as UUID
    this.ascii(at + 847, NO_DATE); // expiration
    this.ascii(at + 864, NO_DATE); // effective
    this.bytes[at + 881] = 1; // version of the file structure
  }

  /** The L and M path tables, at `sector` and the next one. */
  pathTables(sector: number, root: number): void {
    for (const little of [true, false]) {
      const at = (little ? sector : sector + 1) * SECTOR;
      this.bytes[at] = 1;
      this.view.setUint32(at + 2, root, little);
      this.view.setUint16(at + 6, 1, little);
    }
  }

  /** A directory record without its identifier; returns where the system use area starts. */
  record(
    at: number,
    length: number,
    extent: number,
    size: number,
    flags: number,
    identifier: number,
  ): number {
    this.bytes[at] = length;
    this.both32(at + 2, extent);
    this.both32(at + 10, size);
    this.bytes.set(RECORD_DATE, at + 18);
    this.bytes[at + 25] = flags;
    this.both16(at + 28, 1);
    this.bytes[at + 32] = identifier;
    return at + recordLength(identifier);
  }

  /** PX: mode, links, owner and group (root). */
  posix(at: number, mode: number, links: number): number {
    this.signature(at, "PX", PX_LENGTH);
    this.both32(at + 4, mode);
    this.both32(at + 12, links);
    return at + PX_LENGTH;
  }

  /** CE: the record goes on in the continuation area. `offset` counts from the start of that area. */
  continued(at: number, area: number, offset: number, length: number): void {
    this.signature(at, "CE", CE_LENGTH);
    this.both32(at + 4, area + Math.floor(offset / SECTOR));
    this.both32(at + 12, offset % SECTOR);
    this.both32(at + 20, length);
  }

  /** NM: the file's name. */
  name(at: number, name: Uint8Array): void {
    this.signature(at, "NM", NM_HEADER + name.length);
    this.bytes.set(name, at + NM_HEADER);
  }

  ascii(at: number, text: string): void {
    for (let index = 0; index < text.length; index += 1) this.bytes[at + index] = text.charCodeAt(index);
  }

  ucs2(at: number, text: string): void {
    for (let index = 0; index < text.length; index += 1)
      this.view.setUint16(at + 2 * index, text.charCodeAt(index));
  }

  private signature(at: number, letters: string, length: number): void {
    this.ascii(at, letters);
    this.bytes[at + 2] = length;
    this.bytes[at + 3] = 1;
  }

  private both16(at: number, value: number): void {
    this.view.setUint16(at, value, true);
    this.view.setUint16(at + 2, value);
  }

  private both32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
    this.view.setUint32(at + 4, value);
  }
}

function extension(identifier: string, description: string, source: string): Uint8Array {
  const texts = utf8.encode(identifier + description + source);
  const field = new Uint8Array(8 + texts.length);
  const lengths = [identifier.length, description.length, source.length];
  field.set([0x45, 0x52, field.length, 1, ...lengths, 1]); // "ER", version 1, extension version 1
  field.set(texts, 8);
  return field;
}

/** The length of a directory record up to the system use area. */
function recordLength(identifier: number): number {
  return even(RECORD_HEADER + identifier);
}

function primaryLength(entry: Entry): number {
  const name = entry.continued < 0 ? NM_HEADER + entry.long.length : CE_LENGTH;
  return even(recordLength(entry.short.length) + PX_LENGTH + name);
}

/** ECMA-119 9.3 orders by the name filled up with spaces, then by the extension filled up with spaces. */
function sortKey(short: string): string {
  const dot = short.indexOf(".");
  return short.slice(0, dot).padEnd(8) + short.slice(dot + 1, -2).padEnd(3);
}

/** By UTF-16 code units: the same in every locale, and the order of big-endian UCS-2. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function even(length: number): number {
  return length + (length % 2);
}

function sectorsOf(bytes: number): number {
  return Math.ceil(bytes / SECTOR);
}

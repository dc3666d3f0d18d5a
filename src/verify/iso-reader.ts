/**
 * Reads an ISO 9660 image with Rock Ridge and Joliet back, strictly: everything the format says twice has to
 * agree. It shares no code with the writer, so that a mistake there cannot hide here.
 */

/** A file in the image's root directory. `bytes` is a view into the image, not a copy. */
export type IsoFile = { readonly name: string; readonly bytes: Uint8Array };

/** A file as Rock Ridge describes it; `mode` includes the type bits, e.g. 0o100444. */
export type RockRidgeFile = IsoFile & { readonly mode: number; readonly uid: number; readonly gid: number };

export type IsoImage = {
  /** From the primary volume descriptor; this is what blkid calls the label. */
  readonly volumeId: string;
  readonly jolietVolumeId: string;
  /** ISO 9660 level 1 names without `;1` and without a dot at the end. */
  readonly plain: readonly IsoFile[];
  readonly rockRidge: readonly RockRidgeFile[];
  readonly joliet: readonly IsoFile[];
};

export type IsoReading =
  | { readonly ok: true; readonly image: IsoImage }
  | { readonly ok: false; readonly reason: string };

/** Thrown inside this module only; `readIso` turns it into a result. */
class Malformed extends Error {}

type Extent = { readonly extent: number; readonly size: number };
type DirectoryRecord = Extent & {
  readonly offset: number;
  readonly flags: number;
  readonly identifier: Uint8Array;
  readonly systemUse: Uint8Array;
};
type Descriptor = {
  readonly label: "primary" | "Joliet";
  readonly sector: number;
  readonly volumeId: string;
  readonly root: DirectoryRecord;
};
type SystemField = { readonly signature: string; readonly data: Uint8Array };
type Posix = { readonly mode: number; readonly uid: number; readonly gid: number };

/**
 * Reads an image with files in its root directory only.
 *
 * In: the whole image. Out: the three views on it, or the first thing that is wrong with it: fields whose two
 * byte orders differ, path tables or trees that disagree, extents outside the image or overlapping, a volume
 * size that is not the image's, records that cross sectors, records out of order, and so on. Subdirectories,
 * links, files of several extents and boot records are not supported and given as the reason too. Never throws.
 *
 * Sources: ECMA-119; IEEE P1281 (SUSP) and P1282 (RRIP), drafts 1.10; the Joliet specification of 1995.
 */
export function readIso(bytes: Uint8Array): IsoReading {
  return reading(() => new Reader(bytes).read());
}

function reading(read: () => IsoImage): IsoReading {
  try {
    return { ok: true, image: read() };
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, reason: error.message };
    throw error;
  }
}

/** What comes before the contents of an image's files, and how an image that begins so reads. */
interface Known {
  readonly head: Uint8Array;
  readonly length: number;
  readonly read: (bytes: Uint8Array) => IsoImage;
}

/** By the sizes of the files, which the head of an image tells too. */
const known = new Map<string, Known>();
const remembered = 64;

/**
 * Reads an image. What is read of it stands before the contents of the files: where that is byte for byte what it was
 * in an image of the same length that was read, this one reads the same, and its files lie in the same places.
 */
function readAgain(bytes: Uint8Array, files: readonly { readonly bytes: Uint8Array }[]): IsoReading {
  const key = files.map((file) => file.bytes.length).join();
  const before = known.get(key);
  if (
    before !== undefined &&
    before.length === bytes.length &&
    Buffer.compare(bytes.subarray(0, before.head.length), before.head) === 0
  )
    return { ok: true, image: before.read(bytes) };
  return reading(() => {
    const reader = new Reader(bytes);
    const image = reader.read();
    const headLength = reader.headLength();
    if (headLength !== null) {
      if (known.size >= remembered) known.clear();
      const { plain, rockRidge, joliet, ...labels } = image;
      const places = { plain: placesIn(bytes, plain), rockRidge: placesIn(bytes, rockRidge) };
      const more = placesIn(bytes, joliet);
      known.set(key, {
        head: bytes.slice(0, headLength),
        length: bytes.length,
        read: (other) => ({
          ...labels,
          plain: filesIn(other, places.plain),
          rockRidge: filesIn(other, places.rockRidge),
          joliet: filesIn(other, more),
        }),
      });
    }
    return image;
  });
}

type Placed<File extends IsoFile> = Omit<File, "bytes"> & { readonly start: number; readonly end: number };

function placesIn<File extends IsoFile>(image: Uint8Array, files: readonly File[]): Placed<File>[] {
  return files.map(({ bytes, ...file }) => {
    const start = bytes.byteOffset - image.byteOffset;
    return { ...file, start, end: start + bytes.length };
  });
}

function filesIn<File extends IsoFile>(image: Uint8Array, places: readonly Placed<File>[]): File[] {
  return places.map(
    ({ start, end, ...file }) => ({ ...file, bytes: image.subarray(start, end) }) as unknown as File,
  );
}

/**
 * Says how an image differs from what was asked for, one sentence each; empty when it holds exactly the files
 * with the given names and bytes under the given label, in Rock Ridge and in Joliet, readable and owned by root.
 * The order of `files` does not matter.
 */
export function isoDifferences(
  bytes: Uint8Array,
  volumeId: string,
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
): string[] {
  const reading = readAgain(bytes, files);
  if (!reading.ok) return [reading.reason];
  const { image } = reading;
  const found: string[] = [];
  if (image.volumeId !== volumeId)
    found.push(`the volume id is ${quote(image.volumeId)}, not ${quote(volumeId)}`);
  if (image.jolietVolumeId !== volumeId)
    found.push(`the Joliet volume id is ${quote(image.jolietVolumeId)}, not ${quote(volumeId)}`);
  for (const [view, present] of [
    ["Rock Ridge", image.rockRidge],
    ["Joliet", image.joliet],
  ] as const) {
    const left = new Map(present.map((file) => [file.name, file.bytes]));
    for (const wanted of files) {
      const got = left.get(wanted.name);
      if (got === undefined) found.push(`${view} has no file ${quote(wanted.name)}`);
      else if (Buffer.compare(got, wanted.bytes) !== 0)
        found.push(
          `${quote(wanted.name)} in ${view} has other contents: ${got.length} bytes, asked for ${wanted.bytes.length}`,
        );
      left.delete(wanted.name);
    }
    for (const name of left.keys()) found.push(`${view} has a file ${quote(name)} that nobody asked for`);
  }
  for (const { name, mode, uid, gid } of image.rockRidge) {
    if ((mode & 0o7777) !== 0o444) found.push(`${quote(name)} has mode ${mode.toString(8)}, not 100444`);
    if (uid !== 0 || gid !== 0) found.push(`${quote(name)} belongs to ${uid}:${gid}, not to root`);
  }
  return found;
}

class Reader {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly sectors: number;
  /** What is where, in bytes, to find overlaps. */
  private readonly regions: { start: number; end: number; what: string; file: boolean }[] = [];

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.sectors = bytes.length / 2048;
  }

  read(): IsoImage {
    must(Number.isInteger(this.sectors), `${this.bytes.length} bytes are not a whole number of sectors`);
    must(this.sectors > 18, `${this.sectors} sectors are too few for a volume`);
    const { primary, joliet } = this.descriptors();
    this.pathTables(primary);
    this.pathTables(joliet);

    const primaryRecords = this.directory(primary);
    const jolietRecords = this.directory(joliet);
    const rockRidge = this.rockRidge(primary, primaryRecords);
    const primaryFiles = primaryRecords.slice(2);
    const plainNames = primaryFiles.map((record) => plainName(record.identifier));
    unique(plainNames, "primary");
    ordered(plainNames.map(plainSortKey), "primary");
    for (const { offset, systemUse } of jolietRecords)
      must(systemUse.length === 0, `the Joliet record at byte ${offset} has a system use area`);
    const jolietFiles = jolietRecords.slice(2);
    const jolietNames = jolietFiles.map((record) => ucs2(record.identifier, "a Joliet name"));
    unique(jolietNames, "Joliet");
    ordered(jolietNames, "Joliet");
    unique(
      rockRidge.map(({ name }) => name),
      "Rock Ridge",
    );

    const inJoliet = new Map(jolietFiles.map((record, index) => [jolietNames[index]!, record]));
    for (const [index, { name }] of rockRidge.entries()) {
      const one = primaryFiles[index]!;
      const other = inJoliet.get(name);
      if (other === undefined) throw new Malformed(`Rock Ridge names ${quote(name)}, Joliet does not`);
      must(
        one.extent === other.extent && one.size === other.size,
        `${quote(name)} is ${one.size} bytes at sector ${one.extent} in the primary tree, ${other.size} at ${other.extent} in Joliet`,
      );
    }
    must(
      rockRidge.length === jolietNames.length,
      `Joliet has ${jolietNames.length} files, Rock Ridge ${rockRidge.length}`,
    );

    const contents = primaryFiles.map((record, index) => {
      const what = `file ${quote(rockRidge[index]!.name)}`;
      const start = this.claim(record, what, true);
      return this.bytes.subarray(start, start + record.size);
    });
    this.overlaps();
    return {
      volumeId: primary.volumeId,
      jolietVolumeId: joliet.volumeId,
      plain: plainNames.map((name, index) => ({
        name: name.replace(/\.?;1$/, ""),
        bytes: contents[index]!,
      })),
      rockRidge: rockRidge.map((file, index) => ({ ...file, bytes: contents[index]! })),
      joliet: jolietFiles.map((record, index) => ({
        name: jolietNames[index]!,
        bytes: this.bytes.subarray(record.extent * 2048, record.extent * 2048 + record.size),
      })),
    };
  }

  /**
   * After reading: how many bytes come before the contents of the files. All that was read stands there, but for the
   * image's length. Null where something that was read comes later.
   */
  headLength(): number | null {
    const contents = this.regions.filter(({ file }) => file).map(({ start }) => start);
    const length = Math.min(this.bytes.length, ...contents);
    return this.regions.every(({ end, file }) => file || end <= length) ? length : null;
  }

  /** The volume descriptor set from sector 16 to its terminator. */
  private descriptors(): { primary: Descriptor; joliet: Descriptor } {
    let primary: Descriptor | undefined;
    let joliet: Descriptor | undefined;
    for (let sector = 16; ; sector += 1) {
      must(sector < this.sectors, "the volume descriptors have no terminator");
      const at = sector * 2048;
      const what = `the volume descriptor at sector ${sector}`;
      must(latin(this.bytes.subarray(at + 1, at + 6)) === "CD001", `${what} does not say CD001`);
      must(this.bytes[at + 6] === 1, `${what} has version ${this.bytes[at + 6]}`);
      const type = this.bytes[at];
      if (type === 255) {
        this.zeros(at + 7, at + 2048, what);
        this.regions.push({ start: 0, end: at + 2048, what: "the volume descriptors", file: false });
        break;
      }
      if (type === 1) {
        must(primary === undefined, "there are two primary volume descriptors");
        primary = this.descriptor(sector, "primary");
      } else if (type === 2) {
        must(joliet === undefined, "there are two supplementary volume descriptors");
        joliet = this.descriptor(sector, "Joliet");
      } else throw new Malformed(`${what} has type ${type}, which is not supported`);
    }
    if (primary === undefined) throw new Malformed("there is no primary volume descriptor");
    if (joliet === undefined) throw new Malformed("there is no Joliet volume descriptor");
    return { primary, joliet };
  }

  private descriptor(sector: number, label: "primary" | "Joliet"): Descriptor {
    const at = sector * 2048;
    const what = `the ${label} volume descriptor`;
    this.zeros(at + 7, at + 8, what);
    this.zeros(at + 72, at + 80, what);
    const space = this.both32(at + 80, `the volume size in ${what}`);
    must(space === this.sectors, `${what} says ${space} sectors, the image has ${this.sectors}`);
    if (label === "Joliet") {
      const charset = latin(this.bytes.subarray(at + 88, at + 91));
      must(charset === "%/E", `${what} has the escape sequence ${quote(charset)}, not that of UCS-2 level 3`);
      this.zeros(at + 91, at + 120, what);
    } else this.zeros(at + 88, at + 120, what);
    for (const [offset, name, value] of [
      [120, "set size", 1],
      [124, "sequence number", 1],
      [128, "block size", 2048],
    ] as const) {
      const got = this.both16(at + offset, `the ${name} in ${what}`);
      must(got === value, `the ${name} in ${what} is ${got}, not ${value}`);
    }
    must(this.bytes[at + 881] === 1, `${what} has file structure version ${this.bytes[at + 881]}`);
    this.zeros(at + 882, at + 883, what);
    this.zeros(at + 1395, at + 2048, what);
    for (const offset of [813, 830, 847, 864]) this.longDate(at + offset, what);
    const field = this.bytes.subarray(at + 40, at + 72);
    const padded = label === "Joliet" ? ucs2(field, `the volume id in ${what}`) : latin(field);
    const root = this.record(at + 156, `the root record in ${what}`);
    must(this.bytes[at + 156] === 34, `the root record in ${what} is ${this.bytes[at + 156]} bytes long`);
    must(
      root.flags === 2 && isDot(root.identifier, 0),
      `the root record in ${what} is not that of a directory`,
    );
    return { label, sector, volumeId: padded.replace(/ +$/, ""), root };
  }

  /** Both path tables (and their optional copies) have to hold the root, and only it. */
  private pathTables({ label, sector, root }: Descriptor): void {
    const at = sector * 2048;
    const size = this.both32(at + 132, `the ${label} path table size`);
    must(size === 10, `the ${label} path table has ${size} bytes; one that holds only the root has 10`);
    for (const [offset, name, little, required] of [
      [140, "L", true, true],
      [144, "optional L", true, false],
      [148, "M", false, true],
      [152, "optional M", false, false],
    ] as const) {
      const extent = this.view.getUint32(at + offset, little);
      if (extent === 0 && !required) continue;
      const what = `the ${label} ${name} path table`;
      const start = this.claim({ extent, size }, what);
      must(this.bytes[start] === 1 && this.bytes[start + 8] === 0, `${what} does not start with the root`);
      must(this.bytes[start + 1] === 0, `${what} has an extended attribute record`);
      must(this.bytes[start + 9] === 0, `${what} has a pad byte that is not zero`);
      const points = this.view.getUint32(start + 2, little);
      must(points === root.extent, `${what} has the root at sector ${points}, not ${root.extent}`);
      const parent = this.view.getUint16(start + 6, little);
      must(parent === 1, `${what} gives ${parent} as the root's parent`);
    }
  }

  /** All records of the root directory: itself, its parent, then files. */
  private directory({ label, root }: Descriptor): DirectoryRecord[] {
    const what = `the ${label} directory`;
    const start = this.claim(root, what);
    must(root.size > 0 && root.size % 2048 === 0, `${what} has ${root.size} bytes, not whole sectors`);
    const records: DirectoryRecord[] = [];
    for (let sector = start; sector < start + root.size; sector += 2048) {
      let at = sector;
      while (at < sector + 2048 && this.bytes[at] !== 0) {
        const crosses = at + this.bytes[at]! > sector + 2048;
        must(!crosses, `a record of ${what} at byte ${at} crosses a sector`);
        records.push(this.record(at, `the record at byte ${at} of ${what}`));
        at += this.bytes[at]!;
      }
      must(at > sector, `${what} has a sector without records`);
      this.zeros(at, sector + 2048, what);
    }
    for (const [index, name] of ["itself", "its parent"].entries()) {
      const record = records[index];
      must(
        record !== undefined && record.flags === 2 && isDot(record.identifier, index),
        `record ${index} of ${what} is not the directory's for ${name}`,
      );
      must(
        record?.extent === root.extent && record.size === root.size,
        `${what}'s record for ${name} does not point to the root`,
      );
    }
    for (const { offset, flags, size, extent } of records.slice(2)) {
      must(
        flags === 0,
        `the record at byte ${offset} of ${what} has flags ${flags}: only plain files will do`,
      );
      // An empty file has no bytes, but readers still look at its place.
      must(
        size > 0 || extent < this.sectors,
        `the empty file of the record at byte ${offset} of ${what} is outside the image`,
      );
    }
    return records;
  }

  private record(at: number, what: string): DirectoryRecord {
    const length = this.bytes[at]!;
    must(length >= 34 && length % 2 === 0, `${what} has a length of ${length} bytes`);
    const identifierLength = this.bytes[at + 32]!;
    const used = 33 + identifierLength + (identifierLength % 2 === 0 ? 1 : 0);
    must(identifierLength > 0 && used <= length, `${what} has a name of ${identifierLength} bytes`);
    if (identifierLength % 2 === 0) this.zeros(at + used - 1, at + used, what);
    must(this.bytes[at + 1] === 0, `${what} has an extended attribute record`);
    must(this.bytes[at + 26] === 0 && this.bytes[at + 27] === 0, `${what} is interleaved`);
    const volume = this.both16(at + 28, `the volume number in ${what}`);
    must(volume === 1, `${what} is on volume ${volume}`);
    const [, month, day, hour, minute, second] = this.bytes.subarray(at + 18, at + 24);
    must(
      month! >= 1 && month! <= 12 && day! >= 1 && day! <= 31 && hour! < 24 && minute! < 60 && second! < 60,
      `${what} has an impossible date`,
    );
    return {
      offset: at,
      extent: this.both32(at + 2, `the extent in ${what}`),
      size: this.both32(at + 10, `the size in ${what}`),
      flags: this.bytes[at + 25]!,
      identifier: this.bytes.subarray(at + 33, at + 33 + identifierLength),
      systemUse: this.bytes.subarray(at + used, at + length),
    };
  }

  /** Names, modes and owners of the files, in the order of their records. */
  private rockRidge(primary: Descriptor, records: readonly DirectoryRecord[]): (Posix & { name: string })[] {
    const [self, parent, ...files] = records;
    const { systemUse } = self!;
    must(
      latin(systemUse.subarray(0, 3)) === "SP\x07" && systemUse[3] === 1,
      "the root record has no SP field: there is no Rock Ridge",
    );
    must(systemUse[4] === 0xbe && systemUse[5] === 0xef, "the SP field has wrong check bytes");
    must(systemUse[6] === 0, `the SP field says to skip ${systemUse[6]} bytes, which is not supported`);
    const own = this.systemFields(self!, "the root directory");
    const extensions = own.filter(({ signature }) => signature === "ER").map(({ data }) => extensionId(data));
    must(
      extensions.some((id) => id === "RRIP_1991A" || id === "IEEE_P1282" || id === "IEEE_1282"),
      `no ER field announces Rock Ridge${extensions.length > 0 ? `, but ${extensions.map(quote).join(", ")}` : ""}`,
    );
    const parentFields = this.systemFields(parent!, "the parent directory");
    for (const [fields, what] of [
      [own, "the root directory"],
      [parentFields, "the parent directory"],
    ] as const) {
      const { mode, uid, gid } = posix(fields, what);
      must((mode & 0o170000) === 0o040000, `${what} of ${primary.label} has mode ${mode.toString(8)}`);
      must((mode & 0o555) === 0o555, `${what} has mode ${mode.toString(8)}: not everybody can read it`);
      must(uid === 0 && gid === 0, `${what} belongs to ${uid}:${gid}, not to root`);
    }
    return files.map((record) => {
      const what = `the file ${quote(latin(record.identifier))}`;
      const fields = this.systemFields(record, what);
      const name = rockRidgeName(fields, what);
      const attributes = posix(fields, what);
      must(
        (attributes.mode & 0o170000) === 0o100000,
        `${what} has mode ${attributes.mode.toString(8)}: not a plain file`,
      );
      return { name, ...attributes };
    });
  }

  /** The fields of a record's system use area and its continuations. */
  private systemFields(record: DirectoryRecord, what: string): SystemField[] {
    const fields: SystemField[] = [];
    let area: Uint8Array | undefined = record.systemUse;
    for (let round = 0; area !== undefined; round += 1) {
      must(round < 16, `${what} has more than 16 continuation areas`);
      let next: Uint8Array | undefined;
      let at = 0;
      // What is left when no field fits is padding (SUSP 4).
      while (area.length - at >= 4) {
        const signature = latin(area.subarray(at, at + 2));
        if (signature === "ST") {
          at = area.length;
          break;
        }
        const length = area[at + 2]!;
        must(/^[A-Z]{2}$/.test(signature), `${what} has a field with the signature ${quote(signature)}`);
        must(length >= 4 && at + length <= area.length, `${what}: its field ${signature} is ${length} long`);
        must(area[at + 3] === 1, `${what}: its field ${signature} has version ${area[at + 3]}`);
        if (["SL", "CL", "PL", "RE", "PN", "SF"].includes(signature))
          throw new Malformed(`${what} has a field ${signature}, which is not supported`);
        const data = area.subarray(at + 4, at + length);
        if (signature === "CE") {
          must(next === undefined, `${what} has two CE fields in one area`);
          must(length === 28, `${what}: its field CE is ${length} long`);
          next = this.continuation(data, what);
        } else fields.push({ signature, data });
        at += length;
      }
      must(
        area.subarray(at).every((byte) => byte === 0),
        `${what} has rests in its system use area`,
      );
      area = next;
    }
    return fields;
  }

  private continuation(data: Uint8Array, what: string): Uint8Array {
    const base = data.byteOffset - this.bytes.byteOffset;
    const sector = this.both32(base, `the sector of the continuation of ${what}`);
    const offset = this.both32(base + 8, `the offset of the continuation of ${what}`);
    const length = this.both32(base + 16, `the length of the continuation of ${what}`);
    must(length > 0, `the continuation of ${what} is empty`);
    must(sector < this.sectors, `the continuation of ${what} is outside the image`);
    // Linux reads one block for it.
    must(offset + length <= 2048, `the continuation of ${what} crosses a sector`);
    const start = sector * 2048 + offset;
    this.regions.push({ start, end: start + length, what: `the continuation of ${what}`, file: false });
    return this.bytes.subarray(start, start + length);
  }

  /** Notes that an extent is in use; returns its offset in bytes. */
  private claim({ extent, size }: Extent, what: string, file = false): number {
    const start = extent * 2048;
    const end = start + Math.ceil(size / 2048) * 2048;
    must(
      extent < this.sectors && end <= this.bytes.length,
      `${what} is outside the image: ${size} bytes at sector ${extent} of ${this.sectors}`,
    );
    if (size > 0) this.regions.push({ start, end, what, file });
    return start;
  }

  /** Two files may share an extent (hard links); nothing else may overlap. */
  private overlaps(): void {
    const sorted = this.regions.toSorted((a, b) => a.start - b.start || a.end - b.end);
    for (const [index, region] of sorted.entries()) {
      const before = sorted[index - 1];
      if (before === undefined || before.end <= region.start) continue;
      const same = before.file && region.file && before.start === region.start && before.end === region.end;
      must(same, `${before.what} and ${region.what} overlap at sector ${Math.floor(region.start / 2048)}`);
    }
  }

  private longDate(at: number, what: string): void {
    const digits = latin(this.bytes.subarray(at, at + 16));
    must(/^\d{16}$/.test(digits), `${what} has the date ${quote(digits)}`);
  }

  private zeros(start: number, end: number, what: string): void {
    for (let at = start; at < end; at += 1)
      if (this.bytes[at] !== 0) throw new Malformed(`${what} has a byte at ${at} that is not zero`);
  }

  private both16(at: number, what: string): number {
    const little = this.view.getUint16(at, true);
    const big = this.view.getUint16(at + 2);
    must(little === big, `${what} is ${little} in one byte order and ${big} in the other`);
    return little;
  }

  private both32(at: number, what: string): number {
    const little = this.view.getUint32(at, true);
    const big = this.view.getUint32(at + 4);
    must(little === big, `${what} is ${little} in one byte order and ${big} in the other`);
    return little;
  }
}

function posix(fields: readonly SystemField[], what: string): Posix {
  const found = fields.filter(({ signature }) => signature === "PX");
  const data = found[0]?.data;
  if (found.length !== 1 || data === undefined)
    throw new Malformed(`${what} has ${found.length} PX fields, not one`);
  // 36 bytes in RRIP 1.10, 44 with a serial number in 1.12.
  must(data.length === 32 || data.length === 40, `${what}: its field PX is ${data.length + 4} long`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [mode, links, uid, gid] = [0, 8, 16, 24].map((at) => {
    const value = view.getUint32(at, true);
    must(value === view.getUint32(at + 4), `${what}: its field PX differs in its two byte orders`);
    return value;
  });
  must(links! > 0, `${what} has no links`);
  return { mode: mode!, uid: uid!, gid: gid! };
}

function rockRidgeName(fields: readonly SystemField[], what: string): string {
  const parts = fields.filter(({ signature }) => signature === "NM").map(({ data }) => data);
  must(parts.length > 0, `${what} has no NM field`);
  for (const [index, part] of parts.entries()) {
    const flags = index < parts.length - 1 ? 1 : 0;
    must(part[0] === flags, `${what}: NM field ${index} has flags ${part[0]}, not ${flags}`);
  }
  const bytes = Buffer.concat(parts.map((part) => part.subarray(1)));
  let name: string;
  try {
    name = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Malformed(`${what} has a Rock Ridge name that is not UTF-8`);
  }
  must(name !== "" && !/[/\0]/.test(name), `${what} has the Rock Ridge name ${quote(name)}`);
  return name;
}

function extensionId(data: Uint8Array): string {
  const [id = 0, description = 0, source = 0, version] = data;
  must(data.length === 4 + id + description + source, "the lengths in an ER field do not add up");
  must(version === 1, `an ER field has extension version ${version}`);
  return latin(data.subarray(4, 4 + id));
}

/** Checks a level 1 identifier; the version stays. */
function plainName(identifier: Uint8Array): string {
  const name = latin(identifier);
  must(/^[A-Z0-9_]{1,8}\.[A-Z0-9_]{0,3};1$/.test(name), `${quote(name)} is not a name of ISO 9660 level 1`);
  return name;
}

/** ECMA-119 9.3: shorter names and extensions are compared as if filled up with spaces. */
function plainSortKey(name: string): string {
  const [stem = "", extension = ""] = name.replace(/;1$/, "").split(".");
  return `${stem.padEnd(8)}${extension.padEnd(3)}`;
}

function ordered(names: readonly string[], tree: string): void {
  for (const [index, name] of names.entries())
    must(
      index === 0 || names[index - 1]! < name,
      `the ${tree} directory is out of order at ${quote(name.trim())}`,
    );
}

function unique(names: readonly string[], tree: string): void {
  const seen = new Set<string>();
  for (const name of names) {
    must(!seen.has(name), `the ${tree} directory has ${quote(name)} twice`);
    seen.add(name);
  }
}

function isDot(identifier: Uint8Array, value: number): boolean {
  return identifier.length === 1 && identifier[0] === value;
}

function ucs2(bytes: Uint8Array, what: string): string {
  must(bytes.length % 2 === 0, `${what} has half a character`);
  let text = "";
  for (let at = 0; at < bytes.length; at += 2) text += String.fromCharCode(bytes[at]! * 256 + bytes[at + 1]!);
  return text;
}

function latin(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function quote(text: string): string {
  return JSON.stringify(text);
}

function must(holds: boolean, reason: string): void {
  if (!holds) throw new Malformed(reason);
}

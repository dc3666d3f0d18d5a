/** Reads FAT images back, independently of what writes them, and looks for what a reader could stumble over. */

export interface FatFile {
  /** Its path, folders divided by `/`. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface FatImage {
  readonly label: string;
  readonly files: readonly FatFile[];
  /** What is wrong with it, empty when nothing is. */
  readonly faults: readonly string[];
}

/** What an image must hold; returns the differences, empty when there are none. */
export function fatDifferences(
  bytes: Uint8Array,
  label: string,
  files: readonly { readonly name: string; readonly bytes: Uint8Array }[],
): string[] {
  const image = readFat(bytes);
  const found = new Map(image.files.map((file) => [file.name, file.bytes]));
  const differences = [...image.faults];
  if (image.label !== label) differences.push(`its label is ${JSON.stringify(image.label)}`);
  for (const { name, bytes: wanted } of files) {
    const there = found.get(name);
    if (there === undefined) differences.push(`${name} is missing`);
    else if (Buffer.compare(there, wanted) !== 0) differences.push(`${name} has other contents`);
    found.delete(name);
  }
  for (const name of found.keys()) differences.push(`${name} is there and should not be`);
  return differences;
}

/** Reads an image. Never throws: what cannot be read is a fault. */
export function readFat(bytes: Uint8Array): FatImage {
  try {
    return new Reader(bytes).read();
  } catch (error) {
    return { label: "", files: [], faults: [`it cannot be read: ${(error as Error).message}`] };
  }
}

class Reader {
  readonly #image: Buffer;
  readonly #faults: string[] = [];
  readonly #files: FatFile[] = [];
  /** Who owns each cluster. */
  readonly #owners = new Map<number, string>();
  #label = "";

  constructor(bytes: Uint8Array) {
    this.#image = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  read(): FatImage {
    const image = this.#image;
    const sector = image.readUInt16LE(11);
    const perCluster = image.readUInt8(13);
    const reserved = image.readUInt16LE(14);
    const copies = image.readUInt8(16);
    const rootEntries = image.readUInt16LE(17);
    const total = image.readUInt16LE(19) || image.readUInt32LE(32);
    const fatSectors = image.readUInt16LE(22);
    if (image.readUInt16LE(510) !== 0xaa55) this.#faults.push("the boot sector has no signature");
    if (sector !== 512) this.#faults.push(`its sectors have ${sector} bytes`);
    if (perCluster === 0 || (perCluster & (perCluster - 1)) !== 0)
      throw new Error(`${perCluster} sectors a cluster`);
    if (total * sector !== image.length)
      this.#faults.push(`it says ${total} sectors, and has ${image.length} bytes`);
    const rootAt = (reserved + copies * fatSectors) * sector;
    const dataAt = rootAt + rootEntries * 32;
    const clusters = Math.floor((total * sector - dataAt) / (perCluster * sector));
    const bits = clusters < 4085 ? 12 : clusters < 65525 ? 16 : 32;
    const named = image.toString("latin1", 54, 62).trimEnd();
    if (named !== `FAT${bits}`)
      this.#faults.push(`it calls itself ${named}, and its ${clusters} clusters make it FAT${bits}`);
    if (bits === 32) throw new Error("FAT32 is not read");
    if (fatSectors * sector * 8 < (clusters + 2) * bits)
      this.#faults.push("its FAT is too short for its clusters");
    for (let copy = 1; copy < copies; copy++) {
      const at = (index: number): Buffer =>
        image.subarray(
          (reserved + index * fatSectors) * sector,
          (reserved + (index + 1) * fatSectors) * sector,
        );
      if (!at(0).equals(at(copy))) this.#faults.push("its FATs differ");
    }
    const last = 2 ** bits - 1;
    const next = (cluster: number): number => {
      const fatAt = reserved * sector;
      if (bits === 16) return image.readUInt16LE(fatAt + cluster * 2);
      const both = image.readUInt16LE(fatAt + cluster + (cluster >> 1));
      return cluster & 1 ? both >> 4 : both & 0xfff;
    };
    if (next(0) !== (last & ~0xff) + image.readUInt8(21))
      this.#faults.push("the FAT does not begin with the media byte");

    const chain = (first: number, owner: string): Buffer => {
      const pieces: Buffer[] = [];
      for (let cluster = first; cluster !== 0; ) {
        if (cluster < 2 || cluster >= clusters + 2) throw new Error(`${owner} lies in cluster ${cluster}`);
        const other = this.#owners.get(cluster);
        if (other !== undefined) throw new Error(`${owner} and ${other} share cluster ${cluster}`);
        this.#owners.set(cluster, owner);
        const at = dataAt + (cluster - 2) * perCluster * sector;
        pieces.push(image.subarray(at, at + perCluster * sector));
        const following = next(cluster);
        if (following >= last - 7) break;
        cluster = following;
        if (cluster === 0) throw new Error(`the chain of ${owner} ends in a free cluster`);
      }
      return Buffer.concat(pieces);
    };
    this.#folder(image.subarray(rootAt, dataAt), "", chain, 0, 0);
    const label = image.toString("latin1", 43, 54).trimEnd();
    if (label !== this.#label) this.#faults.push(`its boot sector says ${label}, its root ${this.#label}`);
    for (let cluster = 2; cluster < clusters + 2; cluster++)
      if (next(cluster) !== 0 && !this.#owners.has(cluster))
        this.#faults.push(`cluster ${cluster} is nobody's`);
    return { label: this.#label, files: this.#files, faults: this.#faults };
  }

  #folder(
    records: Buffer,
    path: string,
    chain: (first: number, owner: string) => Buffer,
    own: number,
    parent: number,
  ): void {
    let long = "";
    let expected = 0;
    let sum = -1;
    const shorts = new Set<string>();
    for (let at = 0; at + 32 <= records.length; at += 32) {
      const first = records.readUInt8(at);
      if (first === 0) break;
      if (first === 0xe5) continue;
      const attributes = records.readUInt8(at + 11);
      if (attributes === 0x0f) {
        if ((first & 0x40) !== 0) {
          long = "";
          expected = first & 0x3f;
          sum = records.readUInt8(at + 13);
        } else if (expected !== (first & 0x3f) || sum !== records.readUInt8(at + 13))
          this.#faults.push(`a long name in /${path} is out of order`);
        const units = [
          records.subarray(at + 1, at + 11),
          records.subarray(at + 14, at + 26),
          records.subarray(at + 28, at + 32),
        ];
        long = Buffer.concat(units).toString("utf16le").replace(/\0.*$/s, "") + long;
        expected -= 1;
        continue;
      }
      const raw = records.subarray(at, at + 11);
      const short = raw.toString("latin1");
      const cluster = records.readUInt16LE(at + 26);
      const size = records.readUInt32LE(at + 28);
      if ((attributes & 0x08) !== 0) {
        if (path !== "") this.#faults.push(`a label stands in /${path}`);
        this.#label = short.trimEnd();
        continue;
      }
      if (shorts.has(short)) this.#faults.push(`two files of /${path} have the short name ${short}`);
      shorts.add(short);
      const flags = records.readUInt8(at + 12);
      // Windows NT keeps the case of a name that is all upper or all lower here.
      const cased = (text: string, lower: number): string =>
        (flags & lower) !== 0 ? text.trimEnd().toLowerCase() : text.trimEnd();
      const extension = cased(short.slice(8), 0x10);
      const dotted = `${cased(short.slice(0, 8), 0x08)}${extension === "" ? "" : `.${extension}`}`;
      if (dotted === "." || dotted === "..") {
        const wanted = dotted === "." ? own : parent;
        if (cluster !== wanted) this.#faults.push(`${dotted} of /${path} leads to cluster ${cluster}`);
        continue;
      }
      if (sum >= 0) {
        if (checksum(raw) !== sum)
          this.#faults.push(`the long name ${long} has the checksum of another short name`);
        if (expected !== 0) this.#faults.push(`the long name ${long} lacks a piece`);
      }
      const name = sum >= 0 ? long : dotted;
      long = "";
      sum = -1;
      expected = 0;
      const full = path === "" ? name : `${path}/${name}`;
      const content = cluster === 0 ? Buffer.alloc(0) : chain(cluster, full);
      if ((attributes & 0x10) !== 0) {
        if (size !== 0) this.#faults.push(`the folder ${full} has a size`);
        this.#folder(content, full, chain, cluster, own);
        continue;
      }
      if (size > content.length)
        this.#faults.push(`${full} has ${size} bytes and clusters for ${content.length}`);
      if (cluster !== 0 && size === 0) this.#faults.push(`${full} is empty and has a cluster`);
      this.#files.push({ name: full, bytes: new Uint8Array(content.subarray(0, size)) });
    }
  }
}

/** The checksum that ties a long name to its short one: rotate right, add, eleven times, in a byte. */
function checksum(short: Uint8Array): number {
  return short.reduce((sum, byte) => ((sum >> 1) + ((sum & 1) << 7) + byte) & 0xff, 0);
}

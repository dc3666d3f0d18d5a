/** Archives of the form "newc", which the kernel unpacks as its first root (Documentation/driver-api/early-userspace). */

export interface Entry {
  readonly path: string;
  /** With its type: 0o100755 is a program, 0o040755 a folder. */
  readonly mode: number;
  readonly content: Buffer;
}

/** The archive of these entries, folders before what is in them. */
export function cpio(entries: readonly Entry[]): Buffer {
  const pieces: Buffer[] = [];
  let size = 0;
  const put = (piece: Buffer): void => {
    const padding = (4 - ((size + piece.length) % 4)) % 4;
    pieces.push(piece, Buffer.alloc(padding));
    size += piece.length + padding;
  };
  const all = [...entries, { path: "TRAILER!!!", mode: 0, content: Buffer.alloc(0) }];
  all.forEach(({ path, mode, content }, index) => {
    const name = Buffer.from(`${path}\0`);
    const fields = [index + 1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
    put(Buffer.concat([Buffer.from(head), name]));
    put(content);
  });
  return Buffer.concat(pieces);
}

/** The folder from which boot loaders are given by TFTP. */
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

const prefix = "seedsmith-tftp-";

/**
 * Copies loaders to where anybody may read them: dnsmasq answers TFTP as a user of its own, which must not come into the
 * rendered tree, where the seeds are.
 * @param loaders the folder that is copied
 * @param kept the state folder, which remembers a copy that a killed server left
 */
export function tftpRoot(
  loaders: string,
  kept: string,
): { readonly folder: string; readonly remove: () => void } {
  const note = join(kept, "tftp");
  try {
    const old = readFileSync(note, "utf8");
    if (basename(old).startsWith(prefix)) rmSync(old, { recursive: true, force: true });
  } catch {
    // There is none.
  }
  const folder = mkdtempSync(join(tmpdir(), prefix));
  writeFileSync(note, folder, { mode: 0o600 });
  cpSync(loaders, folder, { recursive: true, dereference: true });
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    chmodSync(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  return {
    folder,
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
      rmSync(note, { force: true });
    },
  };
}

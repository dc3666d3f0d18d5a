/** What an installation will do to which disks, for `check`, `render` and `show`. */

import type { Position } from "../core/position.ts";
import { formatSize } from "../resolve/disks.ts";
import { describeChoice } from "../resolve/install.ts";
import type { Install } from "../resolve/model.ts";

/** An installation in the words of a person. */
export interface InstallSummary {
  readonly title: string;
  readonly disks: readonly string[];
}

/** One disk's line, with the place that chose it. */
export interface DiskLine {
  readonly text: string;
  readonly from: Position;
}

/** Every disk that an installation takes or keeps, in the order in which the installer claims them. */
export function diskLines({ storage }: Install): readonly DiskLine[] {
  if (storage.kind === "actions")
    return [{ text: `disks as ${storage.actions.length} storage actions say`, from: storage.from }];
  const lines: DiskLine[] = storage.os.map((disk) => ({
    text: `wiped for the system: ${describeChoice(disk)}`,
    from: disk.from,
  }));
  for (const role of storage.data)
    for (const [index, disk] of role.disks.entries()) {
      const use =
        role.as === "untouched"
          ? "kept as it is"
          : role.as === "lvm"
            ? `wiped for the volume group ${role.group}`
            : `wiped for ${role.as} at ${role.mount}${role.many ? `/${index + 1}` : ""}`;
      lines.push({ text: `${use}: ${describeChoice(disk)}`, from: disk.from });
    }
  return lines;
}

/** Firmware, layout and medium in one line. */
export function installTitle(install: Install): string {
  const { storage } = install;
  const words: string[] = [install.firmware];
  if (storage.kind === "layout") {
    words.push(storage.passphrase === null ? storage.layout : `${storage.layout} encrypted`);
    if (storage.layout !== "zfs")
      words.push(
        `root ${storage.filesystem}${storage.rootSize === null ? "" : ` of ${formatSize(storage.rootSize)}`}`,
      );
    if (storage.swap !== null)
      words.push(storage.swap === false ? "no swap" : `swap ${formatSize(storage.swap)}`);
  }
  return `${words.join(", ")}, from the medium ${install.medium} or a later one, then ${install.shutdown}`;
}

/** For `check` and `render`, and for programs. */
export function installSummary(install: Install): InstallSummary {
  return { title: installTitle(install), disks: diskLines(install).map(({ text }) => text) };
}

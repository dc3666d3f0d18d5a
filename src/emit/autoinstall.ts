/**
 * Files for Ubuntu's installer: a seed medium of its own, and the bare form for a remastered image. What the installed
 * system reads at its first boot is the node's user-data, word for word.
 */
import type { Position } from "../core/position.ts";
import { encode } from "../core/text.ts";
import type { NodePlan } from "../plan/model.ts";
import type { Install } from "../resolve/model.ts";
import type { Vault } from "./cloud-config.ts";
import { writeIso } from "./iso.ts";
import { type Artifact, artifact, Lines, type Run, YamlFile, yamlArtifact } from "./lines.ts";
import { seedLabel } from "./seed-label.ts";
import { storageActions } from "./storage-actions.ts";
import { toYaml } from "./yaml.ts";

/** Where the files lie in the node's folder. */
export const autoinstallFolder = "autoinstall";

/** A stick with this label takes the logs of an installation that failed. */
export const logLabel = "SEEDLOGS";

/** The files of an installation. */
export function autoinstallFiles(
  plan: NodePlan,
  install: Install,
  userData: YamlFile,
  network: YamlFile,
  vault: Vault,
): readonly Artifact[] {
  const bare = autoinstall(plan, install, userData, network, vault);
  const whole = new Lines()
    .add("#cloud-config\nautoinstall:\n", install.from)
    .addAll(indented(bare.lines.text, "  "), bare.lines.origins);
  const meta = new YamlFile().put(
    { "instance-id": `${plan.site}-${plan.node}-${plan.generation}-install` },
    plan.from,
  );
  const seed: readonly Artifact[] = [
    { ...artifact("user-data", whole), meant: { autoinstall: bare.meant } },
    yamlArtifact("meta-data", meta),
  ];
  const inFolder = (one: Artifact): Artifact => ({ ...one, name: `${autoinstallFolder}/${one.name}` });
  return [
    ...seed.map(inFolder),
    { name: `${autoinstallFolder}/seed.iso`, bytes: writeIso(seedLabel, seed), origins: [] },
    inFolder({ ...artifact("autoinstall.yaml", bare.lines), meant: bare.meant }),
  ];
}

/** Runs of lines without the first line. */
function afterFirst([first, ...rest]: readonly Run[]): readonly Run[] {
  if (first === undefined || first.count === 1) return rest;
  return [{ ...first, count: first.count - 1, line: first.line + first.step }, ...rest];
}

function indented(text: string, by: string): string {
  return text.replace(/^(?=.)/gm, by);
}

/** The keys of autoinstall. */
function autoinstall(
  plan: NodePlan,
  install: Install,
  userData: YamlFile,
  network: YamlFile,
  vault: Vault,
): { readonly lines: Lines; readonly meant: object } {
  const meant: Record<string, unknown> = {};
  const lines = new Lines();
  const { from } = install;
  const own = new Map(install.keys.map((one) => [one.key, one]));
  const put = (key: string, value: unknown, at: Position): void => {
    lines.add(toYaml({ [key]: value }), own.get(key)?.from ?? at);
    meant[key] = value;
  };
  /** A key whose value is another file, word for word. */
  const embed = (key: string, text: string, origins: readonly Run[], value: unknown): void => {
    lines.add(`${key}:\n`, plan.from).addAll(indented(text, "  "), origins);
    meant[key] = value;
  };
  const commands = (key: string, ours: readonly unknown[], last: readonly unknown[] = []): void => {
    const theirs = (own.get(key)?.value ?? []) as readonly unknown[];
    put(key, [...ours, ...theirs, ...last], from);
  };
  put("version", 1, from);
  const serials = serialsOf(install);
  commands("early-commands", [rightMedium(install), ...(serials.length === 0 ? [] : [onceEach(serials)])]);
  // Written always: the installer's own default would be applied to the first boot too.
  put("locale", own.get("locale")?.value ?? "C.UTF-8", from);
  // A newer installer may read the rest of this file differently.
  put("refresh-installer", own.get("refresh-installer")?.value ?? { update: false }, from);
  embed("network", network.lines.text, network.lines.origins, network.meant);
  const { proxy, mirrors, from: aptFrom } = plan.apt;
  if (proxy !== null) put("proxy", proxy, aptFrom);
  put(
    "apt",
    {
      // The form that every installer reads; it also skips the test that would fall back to another mirror.
      ...(mirrors.primary === null ? {} : { primary: [{ arches: ["default"], uri: mirrors.primary }] }),
      ...(mirrors.security === null ? {} : { security: [{ arches: ["default"], uri: mirrors.security }] }),
      ...(knowsFallback(install) ? { fallback: install.withoutArchive } : {}),
      ...(own.get("apt")?.value as object | undefined),
    },
    aptFrom,
  );
  const { storage } = install;
  const swap = swapOf(install);
  put(
    "storage",
    {
      ...(swap === null ? {} : { swap }),
      config:
        storage.kind === "actions"
          ? storage.actions
          : storageActions(
              storage,
              install.firmware,
              storage.passphrase === null ? null : vault.reveal(storage.passphrase),
            ),
    },
    storage.from,
  );
  put(
    "ssh",
    { "install-server": true, "allow-pw": false, ...(own.get("ssh")?.value as object | undefined) },
    from,
  );
  put("updates", own.get("updates")?.value ?? "security", from);
  put("shutdown", install.shutdown, from);
  for (const { key, value, from: at } of install.keys) if (!written.has(key)) put(key, value, at);
  const { report } = plan;
  if (report !== undefined)
    put(
      "reporting",
      {
        seedsmith: { type: "webhook", endpoint: report },
        ...(own.get("reporting")?.value as object | undefined),
      },
      from,
    );
  commands("late-commands", lateCommands(install), report === undefined ? [] : [tell(report, "installed")]);
  commands("error-commands", [...(report === undefined ? [] : [tell(report, "failed")]), ...errorCommands()]);
  // Without its header, which is no part of the value.
  const { text, origins } = userData.lines;
  embed("user-data", text.slice(text.indexOf("\n") + 1), afterFirst(origins), userData.meant);
  return { lines, meant };
}

/** Keys that stand at a place of their own above. */
const written: ReadonlySet<string> = new Set([
  ...[
    "apt",
    "early-commands",
    "error-commands",
    "late-commands",
    "locale",
    "refresh-installer",
    "reporting",
    "ssh",
    "updates",
  ],
]);

/** `fallback` came with 23.04: before, an archive that is away ends the installation. */
function knowsFallback({ installer }: Install): boolean {
  return Number.parseFloat(installer) >= 23.04;
}

/** @returns what `swap` says, or null where the installer's own choice stands */
function swapOf({ storage }: Install): { readonly size: number } | null {
  if (storage.kind === "layout" && storage.layout === "zfs") return { size: 0 };
  if (storage.swap === null) return null;
  return { size: storage.swap === false ? 0 : storage.swap };
}

/**
 * Ends the installation before anything is written when the medium is another release's, or older than what this was
 * made for: an installer takes any disk for a match that it does not know.
 */
function rightMedium({ release, medium }: Install): string {
  return [
    ". /etc/os-release",
    `[ "$VERSION_ID" = ${release} ] && dpkg --compare-versions "\${VERSION%% *}" ge ${medium} || {`,
    `  echo "seedsmith: this medium is Ubuntu $VERSION, and this seed is for ${medium} or a later medium of ${release}"`,
    "  exit 1",
    "}",
    "",
  ].join("\n");
}

/** The serials that disks are chosen by, as they stand in ID_SERIAL. */
function serialsOf({ storage }: Install): readonly string[] {
  if (storage.kind === "actions") return [];
  const disks = [
    ...storage.os,
    ...storage.data.filter(({ as }) => as !== "untouched").flatMap((one) => one.disks),
  ];
  return disks.flatMap(({ match }) => {
    const text = match.serial?.replace(/^\*|\*$/g, "").replace(/\[([*?[])\]/g, "$1");
    return text === undefined ||
      (match.serial as string).replace(/^\*|\*$|\[[*?[]\]/g, "").match(/[*?[]/) !== null
      ? []
      : [text];
  });
}

/**
 * Ends the installation before anything is written when not exactly one disk has a serial: the installer would take
 * the first of several, such as where a serial is only the beginning of two.
 */
function onceEach(serials: readonly string[]): string {
  return [
    `for serial in ${serials.map((serial) => encode("sh", serial)).join(" ")}; do`,
    '  found=$(for disk in /sys/block/*; do udevadm info --query=property --path="$disk"; done |',
    "    sed -n 's/^ID_SERIAL=//p' | sort -u | grep -cF -- \"$serial\")",
    '  [ "$found" = 1 ] || {',
    '    echo "seedsmith: $found disks here have the serial $serial, and one was to be wiped; nothing was changed"',
    "    exit 1",
    "  }",
    "done",
    "",
  ].join("\n");
}

/** What later installation steps leave for us to do, each followed by a look at whether it is done. */
function lateCommands(install: Install): unknown[] {
  const commands: unknown[] = [
    // The network's place differs by the installer's version and that of its cloud-init.
    "test -s /target/etc/netplan/00-installer-config.yaml || test -s /target/etc/cloud/cloud.cfg.d/90-installer-network.cfg",
    ["grep", "-q", "seedsmith-node", "/target/etc/cloud/cloud.cfg.d/99-installer.cfg"],
  ];
  if (install.console.length > 0) {
    const words = install.console.map((one) => `console=${one}`).join(" ");
    commands.push(
      `mkdir -p /target/etc/default/grub.d && echo 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX ${words}"' > /target/etc/default/grub.d/90-seedsmith.cfg`,
      ["curtin", "in-target", "--target=/target", "--", "update-grub"],
      ["grep", "-q", words, "/target/boot/grub/grub.cfg"],
    );
  }
  return commands;
}

/**
 * Tells the boot server how an installation ended. One that does not answer just then is asked for a minute, and is no
 * reason to throw an installation away: the server finds out by the first boot.
 */
function tell(url: string, event: "installed" | "failed"): string {
  const body = JSON.stringify({ origin: "installer", event });
  return [
    "for try in 1 2 3 4 5 6 7 8 9 10; do",
    `  curl -fsS -m 10 -o /dev/null -H 'Content-Type: application/json' -d '${body}' ${encode("sh", url)} && break`,
    "  sleep 5",
    "done || true",
    "",
  ].join("\n");
}

/**
 * Where nobody stands at the machine, what went wrong must be found afterwards: on the disk if it got that far, on a
 * stick with the label SEEDLOGS, and the last lines on every console. The copy of this very file, which has secrets,
 * is left out.
 */
function errorCommands(): unknown[] {
  return [
    "journalctl -b --no-pager > /var/log/installer/installer-journal.txt",
    "tar -C /var/log -czf /run/installer-logs.tar.gz --exclude=autoinstall-user-data --exclude='*.autoinstall.yaml' installer",
    "if mountpoint -q /target; then install -m 0600 -D /run/installer-logs.tar.gz /target/var/log/installer-failed.tar.gz; sync; fi",
    `stick=$(blkid -L ${logLabel}) && mkdir -p /run/seedlogs && mount "$stick" /run/seedlogs && cp /run/installer-logs.tar.gz "/run/seedlogs/$(cat /sys/class/dmi/id/product_serial 2>/dev/null | tr -cd A-Za-z0-9)-logs.tgz" && umount /run/seedlogs`,
    'for tty in $(cat /sys/class/tty/console/active); do tail -n 30 /var/log/installer/curtin-install.log /var/log/installer/subiquity-server-debug.log > "/dev/$tty"; done',
  ];
}

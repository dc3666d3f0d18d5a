/**
 * What the official Debian cloud image has that a first boot touches. Base roots and built images stand in for
 * it: both have these packages and files, and a built image a kernel and a boot loader on top.
 */
import { type AptConfiguration, toDeb822 } from "./apt-sources.ts";

/** Packages of the official image; `locales` is left out as there. */
export const cloudPackages: readonly string[] = [
  ...[
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "udev",
    "kmod",
    "systemd-timesyncd",
    "systemd-resolved",
    "netplan.io",
  ],
  ...[
    "cloud-init",
    "openssh-server",
    "sudo",
    "ca-certificates",
    "python3",
    "unattended-upgrades",
    "cron",
    "logrotate",
  ],
  ...["iproute2", "iputils-ping", "nftables", "procps", "less", "tzdata", "curl", "wget"],
];

/** Units that are enabled there. */
export const cloudUnits: readonly string[] = ["systemd-networkd.service", "systemd-resolved.service"];

function cloudMirrors(apt: AptConfiguration, release: string): string {
  const of = (suite: string) => apt.sources.find((source) => source.suites.includes(suite))?.uris[0];
  const primary = of(release) ?? "";
  const mirrors = {
    arches: ["default"],
    failsafe: { primary, security: of(`${release}-security`) ?? primary },
  };
  // JSON is YAML. Used only where a seed lets cloud-init write sources.list without naming a mirror.
  return `${JSON.stringify({ system_info: { package_mirrors: [mirrors] } })}\n`;
}

/** Files of a root that no machine has used yet, by path; packages come from where this machine has them. */
export function cloudFiles(apt: AptConfiguration, release: string): Readonly<Record<string, string>> {
  return {
    "/etc/hostname": "localhost\n",
    "/etc/hosts": "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n",
    // Empty, so that each machine makes its own at first boot.
    "/etc/machine-id": "",
    "/etc/apt/sources.list.d/debian.sources": toDeb822(apt.sources),
    "/etc/apt/apt.conf.d/90lab": apt.settings.map((line) => `${line}\n`).join(""),
    "/etc/cloud/cloud.cfg.d/90_lab.cfg": cloudMirrors(apt, release),
  };
}

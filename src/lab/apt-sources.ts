/** The machine's own apt configuration, so that base roots and guests use the mirrors that are reachable here. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LabError, must } from "./command.ts";

/** One entry of apt's sources, as a deb822 stanza holds it. */
export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** `Signed-By` and the like, by field name; a value may have several lines. */
  readonly options: Readonly<Record<string, string>>;
}

/** What a base root takes over from the machine it is built on. */
export interface AptConfiguration {
  readonly sources: readonly AptSource[];
  /** apt.conf statements for reaching the mirrors: proxies, checks that are switched off. */
  readonly settings: readonly string[];
}

const optionNames: Readonly<Record<string, string>> = {
  "signed-by": "Signed-By",
  trusted: "Trusted",
  "check-valid-until": "Check-Valid-Until",
  "allow-insecure": "Allow-Insecure",
};

/** Reads a file in the one-line form (`deb [signed-by=...] uri suite component ...`). */
export function readOneLine(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split("\n")) {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (match === null) continue;
    const options: Record<string, string> = {};
    for (const pair of (match[1] ?? "").trim().split(/\s+/)) {
      const [key = "", value = ""] = pair.split(/=(.*)/s);
      const name = optionNames[key.toLowerCase()];
      if (name !== undefined) options[name] = value.replaceAll(",", " ");
    }
    sources.push({
      uris: [match[2]!],
      suites: [match[3]!],
      components: match[4]!.trim().split(/\s+/).filter(Boolean),
      options,
    });
  }
  return sources;
}

/** Reads a file in the deb822 form. */
export function readDeb822(text: string): AptSource[] {
  const sources: AptSource[] = [];
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  for (const stanza of lines.join("\n").split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    for (const match of stanza.matchAll(/^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)/gm))
      fields.set(match[1]!.toLowerCase(), match[2]!);
    const words = (name: string) => (fields.get(name) ?? "").split(/\s+/).filter(Boolean);
    if (!words("types").includes("deb") || /^\s*no\s*$/i.test(fields.get("enabled") ?? "")) continue;
    const options: Record<string, string> = {};
    for (const [key, name] of Object.entries(optionNames)) {
      const value = fields.get(key);
      if (value !== undefined) options[name] = value;
    }
    sources.push({ uris: words("uris"), suites: words("suites"), components: words("components"), options });
  }
  return sources;
}

/**
 * The entries that are the distribution's own archive for a release. Third parties use its code name too
 * (`bookworm-pgdg`, or `bookworm` with a component of their own), so suite and component must both fit.
 */
export function archivesOf(release: string, sources: readonly AptSource[]): AptSource[] {
  const own = new Set(["", "-updates", "-security", "/updates"].map((ending) => release + ending));
  return sources
    .map((source) => ({ ...source, suites: source.suites.filter((suite) => own.has(suite)) }))
    .filter(
      (source) => source.suites.length > 0 && source.uris.length > 0 && source.components.includes("main"),
    );
}

/** The deb822 text of sources. */
export function toDeb822(sources: readonly AptSource[]): string {
  return sources
    .map((source) => {
      const options = Object.entries(source.options).map(([name, value]) => `${name}: ${value}\n`);
      return `Types: deb\nURIs: ${source.uris.join(" ")}\nSuites: ${source.suites.join(" ")}\nComponents: ${source.components.join(" ")}\n${options.join("")}`;
    })
    .join("\n");
}

/** The statements of `apt-config dump` that say how mirrors are reached. */
export function reachSettings(dump: string): string[] {
  return dump.split("\n").filter(
    (line) =>
      // Proxy-Auto-Detect names a program of this machine, which the guest does not have.
      /^Acquire::(?:(?:https?|ftp)::(?:[^ ]+::)?Proxy |https::(?:Verify|CaInfo)|Check-(?:Valid-Until|Date) |Retries )/i.test(
        line,
      ) && !/"";$/.test(line),
  );
}

/**
 * Reads the apt configuration of this machine.
 * @param release code name such as `bookworm`
 * @throws LabError when the machine has no source for that release
 */
export async function machineApt(release: string, folder = "/etc/apt"): Promise<AptConfiguration> {
  const found: AptSource[] = [];
  const list = join(folder, "sources.list");
  if (existsSync(list)) found.push(...readOneLine(readFileSync(list, "utf8")));
  const parts = join(folder, "sources.list.d");
  for (const name of existsSync(parts) ? readdirSync(parts).sort() : []) {
    const text = () => readFileSync(join(parts, name), "utf8");
    if (name.endsWith(".list")) found.push(...readOneLine(text()));
    if (name.endsWith(".sources")) found.push(...readDeb822(text()));
  }
  const sources = archivesOf(release, found);
  if (!sources.some((source) => source.suites.includes(release))) {
    throw new LabError(
      `apt on this machine has no archive of ${release}`,
      `add one below ${parts}, with its keyring; it is used for the lab's machines too`,
    );
  }
  const settings = reachSettings(await must(["apt-config", "dump"]));
  const known = (key: string) => settings.some((line) => line.toLowerCase().startsWith(key.toLowerCase()));
  for (const scheme of ["http", "https"]) {
    const proxy = process.env[`${scheme}_proxy`];
    if (proxy && !known(`Acquire::${scheme}::Proxy`)) settings.push(`Acquire::${scheme}::Proxy "${proxy}";`);
  }
  return { sources, settings };
}

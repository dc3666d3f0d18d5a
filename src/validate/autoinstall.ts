/**
 * The language of Ubuntu's installer as its programs read it, stricter than they are: they drop unknown keys of open
 * sections without a word, take any disk for a match that they do not know, and any layout name for `direct`.
 *
 * `since` is the installer's version that came to know a key. In the schema for an older one such a key is refused.
 * Sources: subiquity's controllers and models at its tags 22.04.2 to 26.04, curtin's storage schemas, the manual.
 */
import type { Problems } from "../core/problem.ts";
import { isAtLeast } from "../core/version.ts";
import { type Data, type Loaded, positionOf, subtree } from "../load/marks.ts";
import type { Firmware } from "./documents.ts";
import { type Schema, withParts } from "./schema.ts";
import { checkReferencesOfActions } from "./storage-actions.ts";
import { validateBy } from "./validate.ts";

const text: Schema = { type: "string" };
const string: Schema = { type: "string", minLength: 1 };
const boolean: Schema = { type: "boolean" };
const list = (items: Schema): Schema => ({ type: "array", items });
const object = (properties: Record<string, Schema>, required: string[] = [], more: Schema = {}): Schema => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
  ...more,
});
const since = (version: string, schema: Schema): Schema => ({ ...schema, since: version });

/** A text for `sh -c`, or the words of a command. */
const commands: Schema = list({
  type: ["string", "array"],
  minLength: 1,
  minItems: 1,
  items: { type: "string" },
});

const oneOf = (...words: (string | boolean | null)[]): Schema => ({ enum: words });

/** What crypt(3) of the releases reads: bcrypt, SHA-256, SHA-512, yescrypt; or a lock. */
const passwordHash: Schema = {
  type: "string",
  pattern: "^(\\$(2[abxy]?|5|6|7|y|gy)\\$[^\\s:]{10,}|[!*])$",
  description: "a hash as crypt(3) makes it, in quotes",
  secret: "make one with: mkpasswd --method=sha-512; the installer takes a plain word and nobody can log in",
};

const proToken: Schema = object({
  token: {
    type: "string",
    pattern: "^C[1-9A-HJ-NP-Za-km-z]{23,29}$",
    description: "a token of Ubuntu Pro: C and 23 to 29 letters and digits",
    secret: "copy it from ubuntu.com/pro/dashboard",
  },
});

const mirror: Schema = object({
  arches: list(string),
  uri: string,
  search: list(string),
  search_dns: boolean,
  key: string,
  keyid: string,
  keyserver: string,
});

const apt: Schema = object({
  preserve_sources_list: boolean,
  primary: list(mirror),
  security: list(mirror),
  "mirror-selection": since(
    "23.04.1",
    object({
      primary: list({
        type: ["string", "object"],
        pattern: "^country-mirror$",
        description: "country-mirror, or a map with uri",
        properties: { uri: string, arches: list(string) },
        required: ["uri"],
        additionalProperties: false,
      }),
    }),
  ),
  geoip: boolean,
  sources: {
    type: "object",
    additionalProperties: object({
      source: string,
      key: string,
      keyid: string,
      keyserver: string,
      filename: string,
      append: boolean,
    }),
  },
  disable_components: list(oneOf("universe", "multiverse", "restricted", "contrib", "non-free")),
  disable_suites: list(string),
  preferences: list(
    object({ package: string, pin: string, "pin-priority": { type: "integer" } }, [
      "package",
      "pin",
      "pin-priority",
    ]),
  ),
  conf: string,
  fallback: since("23.04.1", oneOf("abort", "offline-install", "continue-anyway")),
});

// Storage

const matchProperties: Record<string, Schema> = {
  serial: { ...string, description: "a serial in quotes" },
  model: string,
  vendor: string,
  path: string,
  id_path: since("23.10.1", string),
  devpath: since("23.10.1", string),
  ssd: boolean,
  size: oneOf("largest", "smallest"),
  "install-media": since("23.10.1", boolean),
};
const match: Schema = object(matchProperties);

const id: Schema = { ...string, description: "a name that other actions refer to" };
const ids: Schema = { type: "array", items: id, minItems: 1 };
const preserve: Schema = boolean;
const wipe: Schema = oneOf("superblock", "superblock-recursive", "zero", "random");
const ptable: Schema = oneOf("gpt", "msdos");
/** Upper-case letters, powers of 1024: what both halves of the installer, subiquity and curtin, read. */
const actionSize: Schema = {
  type: ["integer", "string"],
  pattern: "^[1-9]\\d*(\\.\\d+)?[KMGT]?$|^[1-9]\\d?%$|^100%$",
  description: "a size that the installer reads: bytes, 512M, 1.5T, 50%, or -1 for the rest",
};
const scalars: Schema = {
  type: "object",
  additionalProperties: { type: ["string", "integer", "boolean", "null"] },
};
const action = (type: string, properties: Record<string, Schema>, required: string[]): Schema =>
  object({ type: { enum: [type] }, id, ...properties }, ["type", "id", ...required]);

/** Storage actions by their type. One that the installer does not know is dropped with all that needs it. */
const actions: Readonly<Record<string, Schema>> = {
  disk: action(
    "disk",
    {
      serial: { ...string, description: "a serial in quotes" },
      path: { type: "string", pattern: "^/dev/", description: "a path such as /dev/sda" },
      match,
      ptable,
      wipe,
      preserve,
      name: text,
      grub_device: boolean,
      multipath: string,
    },
    [],
  ),
  partition: action(
    "partition",
    {
      device: id,
      size: actionSize,
      number: { type: "integer", minimum: 1, maximum: 128 },
      flag: oneOf(
        ...["bios_grub", "boot", "extended", "home", "linux", "logical", "lvm", "mbr", "msftres", "prep"],
        ...["raid", "swap", ""],
      ),
      wipe,
      preserve,
      grub_device: boolean,
      name: string,
      offset: since("22.05.1", { type: "integer", minimum: 0 }),
      resize: since("22.05.1", boolean),
      partition_type: since("22.10.1", string),
      partition_name: since("22.10.1", string),
    },
    ["device", "size"],
  ),
  raid: action(
    "raid",
    {
      name: string,
      raidlevel: oneOf(
        ...([0, 1, 5, 6, 10] as unknown as string[]),
        ...["raid0", "raid1", "raid5", "raid6", "raid10", "container"],
      ),
      devices: ids,
      spare_devices: list(id),
      container: id,
      metadata: string,
      ptable,
      wipe,
      preserve,
    },
    ["name", "raidlevel"],
  ),
  lvm_volgroup: action("lvm_volgroup", { name: string, devices: ids, preserve }, ["name", "devices"]),
  lvm_partition: action("lvm_partition", { name: string, volgroup: id, size: actionSize, wipe, preserve }, [
    "name",
    "volgroup",
  ]),
  dm_crypt: action(
    "dm_crypt",
    {
      volume: id,
      key: string,
      keyfile: string,
      dm_name: string,
      options: since("24.02.1", list(string)),
      preserve,
    },
    ["volume", "dm_name"],
  ),
  format: action(
    "format",
    {
      volume: id,
      fstype: oneOf("ext4", "ext3", "ext2", "xfs", "btrfs", "fat32", "vfat", "swap"),
      label: string,
      uuid: string,
      extra_options: list(string),
      preserve,
    },
    ["volume", "fstype"],
  ),
  mount: action("mount", { device: id, path: text, options: string, spec: string, fstype: string }, ["path"]),
  zpool: action(
    "zpool",
    {
      vdevs: ids,
      pool: string,
      mountpoint: string,
      pool_properties: scalars,
      fs_properties: scalars,
      default_features: boolean,
    },
    ["vdevs", "pool", "mountpoint"],
  ),
  zfs: action("zfs", { pool: id, volume: string, properties: scalars }, ["pool", "volume"]),
};
/** The version since which an action exists; a type that is not here is as old as the oldest installer. */
const actionsSince: Readonly<Record<string, string>> = { zpool: "23.10.1", zfs: "23.10.1" };

const storage: Schema = object({
  layout: object(
    {
      name: oneOf("lvm", "direct", "zfs", "hybrid"),
      match: {
        type: ["object", "array"],
        properties: matchProperties,
        additionalProperties: false,
        items: match,
      },
      ptable,
      mode: oneOf("reformat_disk", "use_gap"),
      password: { ...string, secret: "it is the passphrase of the disk" },
      "sizing-policy": since("23.02.1", oneOf("scaled", "all")),
      "reset-partition": since("23.10.1", { type: ["boolean", "string", "integer"] }),
      "reset-partition-only": since("23.10.1", boolean),
      encrypted: since("23.10.1", { type: ["boolean", "string"] }),
      "recovery-key": since("23.10.1", { type: ["object", "boolean"] }),
    },
    ["name"],
  ),
  config: list({ type: "object" }),
  swap: object({
    filename: string,
    size: { type: ["integer", "string"] },
    maxsize: { type: ["integer", "string"] },
    force: boolean,
  }),
  grub: object({
    reorder_uefi: boolean,
    replace_linux_default: boolean,
    probe_additional_os: boolean,
    update_nvram: boolean,
    remove_duplicate_entries: boolean,
    remove_old_uefi_loaders: boolean,
    terminal: string,
  }),
});

/** All keys of autoinstall. */
const keys: Readonly<Record<string, Schema>> = {
  version: { enum: [1] },
  "interactive-sections": list(string),
  "early-commands": commands,
  "late-commands": commands,
  "error-commands": commands,
  locale: string,
  keyboard: object({ layout: string, variant: text, toggle: { type: ["string", "null"] } }, ["layout"]),
  "refresh-installer": object({ update: boolean, channel: string }),
  source: since("22.10.1", object({ id: string, search_drivers: boolean })),
  // netplan has its own reader, which check --tools asks; here is what the installer looks at.
  network: {
    type: "object",
    properties: {
      version: { enum: [2] },
      renderer: oneOf("networkd", "NetworkManager"),
      ethernets: { type: "object" },
      bonds: { type: "object" },
      bridges: { type: "object" },
      vlans: { type: "object" },
      tunnels: { type: "object" },
      wifis: { type: "object" },
    },
    required: ["version"],
    additionalProperties: false,
  },
  proxy: { type: ["string", "null"] },
  apt,
  storage,
  identity: object(
    {
      realname: text,
      username: {
        type: "string",
        pattern: "^(?!(root|daemon|sudo|kvm|lpadmin|admin)$)[a-z_][a-z0-9_-]{0,31}$",
        description: "a Linux user name that the system does not use itself",
      },
      hostname: string,
      password: passwordHash,
      groups: since("26.04.1", { type: ["array", "object"] }),
    },
    ["username", "hostname", "password"],
  ),
  "active-directory": since("23.04.1", object({ "admin-name": string, "domain-name": string })),
  "ubuntu-pro": since("22.10.1", proToken),
  "ubuntu-advantage": proToken,
  ssh: object({ "install-server": boolean, "authorized-keys": list(string), "allow-pw": boolean }),
  codecs: since("23.04.1", object({ install: boolean })),
  drivers: object({ install: boolean }),
  oem: since("23.10.1", object({ install: oneOf(true, false, "auto") }, ["install"])),
  snaps: list(object({ name: string, channel: string, classic: boolean }, ["name"])),
  "debconf-selections": text,
  packages: list(string),
  kernel: object({ package: string, flavor: string }, [], { minProperties: 1, maxProperties: 1 }),
  "kernel-crash-dumps": since("24.10.1", object({ enabled: oneOf(true, false, null) }, ["enabled"])),
  timezone: text,
  updates: oneOf("security", "all"),
  shutdown: oneOf("reboot", "poweroff"),
  reporting: {
    type: "object",
    additionalProperties: object(
      {
        type: oneOf("print", "webhook", "none"),
        endpoint: string,
        level: oneOf("DEBUG", "INFO", "WARN", "WARNING", "ERROR"),
        consumer_key: string,
        token_key: string,
        token_secret: string,
        consumer_secret: string,
        timeout: { type: "integer", minimum: 1 },
        retries: { type: "integer", minimum: 0 },
      },
      ["type"],
    ),
  },
  "user-data": { type: "object" },
  zdevs: since("25.04", list(object({ id: string, enabled: boolean }, ["id", "enabled"]))),
};

/**
 * Schemas in which what this installer does not know is refused. Tags of a release's own branch (24.04.2 came after
 * 24.08.1) count by their name, which errs towards knowing less.
 * @returns gives a schema as this installer knows it, the same one for the same schema
 */
function asKnownTo(installer: string): (schema: Schema) => Schema {
  const made = new Map<Schema, Schema>();
  const known = (schema: Schema): Schema => {
    let found = made.get(schema);
    if (found === undefined) {
      const since = schema["since"];
      found =
        typeof since === "string" && !isAtLeast(installer, since)
          ? { not: {}, since }
          : withParts(schema, known);
      made.set(schema, found);
    }
    return found;
  };
  return known;
}

const known = new Map<
  string,
  { readonly whole: Schema; readonly keys: Schema; readonly actions: typeof actions }
>();

function schemasFor(installer: string): { whole: Schema; keys: Schema; actions: typeof actions } {
  let found = known.get(installer);
  if (found === undefined) {
    const asKnown = asKnownTo(installer);
    found = {
      whole: asKnown(object(keys, ["version"])),
      keys: asKnown(object(keys)),
      actions: Object.fromEntries(Object.entries(actions).map(([type, schema]) => [type, asKnown(schema)])),
    };
    known.set(installer, found);
  }
  return found;
}

/** The whole schema, for editors: `autoinstall:` of the newest installer that is known here. */
export const autoinstallSchema: Schema = object(keys, ["version"]);

/** Checks some keys of autoinstall that a person wrote. */
export function checkAutoinstallKeys(doc: Loaded, installer: string, problems: Problems): void {
  validateBy(schemasFor(installer).keys, doc, problems, installer);
}

/** Checks a whole autoinstall document, its storage actions too. */
export function checkAutoinstall(
  doc: Loaded,
  firmware: Firmware,
  installer: string,
  problems: Problems,
): void {
  validateBy(schemasFor(installer).whole, doc, problems, installer);
  const config = (doc.value as { storage?: { config?: Data } } | null)?.storage?.config;
  if (config !== undefined)
    checkStorageActions(subtree(doc, ["storage", "config"]), firmware, installer, problems);
}

/**
 * Checks a list of storage actions: each one's shape, what they refer to, and that a machine of this firmware can boot
 * from what they make.
 */
export function checkStorageActions(
  doc: Loaded,
  firmware: Firmware,
  installer: string,
  problems: Problems,
): void {
  const before = problems.reports;
  const schemas = schemasFor(installer).actions;
  for (const [index, item] of (doc.value as readonly { readonly [key: string]: Data }[]).entries()) {
    const type = item["type"];
    const where = positionOf(doc, [index, "type"]);
    if (typeof type !== "string") {
      problems.add({
        code: "missing-key",
        at: where,
        message: 'a storage action lacks the key "type"',
        hint: `one of: ${Object.keys(schemas).join(", ")}`,
      });
      continue;
    }
    const schema = Object.hasOwn(schemas, type) ? schemas[type] : undefined;
    const came = actionsSince[type];
    if (schema === undefined)
      problems.add({
        code: "wrong-value",
        at: where,
        message: `the installer has no storage action "${type}" and would drop it with all that needs it`,
        hint: `one of: ${Object.keys(schemas).join(", ")}`,
      });
    else if (came !== undefined && !isAtLeast(installer, came))
      problems.add({
        code: "installer-lacks",
        at: where,
        message: `the installer of this medium (${installer}) does not know the storage action "${type}"`,
        hint: `it came with ${came}: name a newer medium in install: { medium: ... }`,
      });
    else validateBy(schema, subtree(doc, [index]), problems, installer);
  }
  if (problems.reports === before) checkReferencesOfActions(doc, firmware, problems);
}

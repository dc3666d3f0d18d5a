/**
 * The shapes of what people write, as JSON Schema. schemas/*.json are written from here for editors. Unions are
 * written as lists of types and never as oneOf, so that a mistake is reported where it stands.
 */
export type Schema = { readonly [key: string]: unknown };

/** A schema with another in place of each that an item, a key's value or any other key's value must fit. */
export function withParts(schema: Schema, other: (part: Schema) => Schema): Schema {
  const result: Record<string, unknown> = { ...schema };
  for (const key of ["items", "additionalProperties"]) {
    const part = schema[key];
    if (part !== null && typeof part === "object") result[key] = other(part as Schema);
  }
  const properties = schema["properties"];
  if (properties !== undefined)
    result["properties"] = Object.fromEntries(
      Object.entries(properties as Record<string, Schema>).map(([key, part]) => [key, other(part)]),
    );
  return result;
}

const string: Schema = { type: "string", minLength: 1 };
const text: Schema = { type: "string" };
/** A scalar that may be a template: what it renders to is typed later. */
const scalar: Schema = { type: ["string", "number", "boolean"] };
const boolean: Schema = { type: "boolean" };
const duration: Schema = {
  type: "string",
  pattern: "^\\d{1,6}(s|m|h)$",
  description: 'a duration such as "30s", "5m", "2h"',
};
const mode: Schema = {
  type: "string",
  pattern: "^0[0-7]{3}$",
  description: 'a mode in quotes such as "0644"',
};
const owner: Schema = {
  type: "string",
  pattern: "^[a-z_][a-z0-9_-]*:[a-z_][a-z0-9_-]*$",
  description: '"user:group"',
};
const absolute: Schema = { type: "string", pattern: "^(/|\\{\\{)", description: "an absolute path" };
const webAddress: Schema = {
  type: "string",
  pattern: "^https?://[^\\s/]+/\\S+$",
  description: "an address that begins with https:// or http://",
};
const word: Schema = {
  type: "string",
  pattern: "^[a-z][a-z0-9-]*$",
  description: "lower-case letters, digits and dashes",
};

const module: Schema = {
  type: "string",
  pattern: "^[a-z0-9][a-z0-9_-]*$",
  description: "the name of a module of the kernel",
};

const object = (properties: Record<string, Schema>, required: string[] = [], more: Schema = {}): Schema => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
  ...more,
});
const list = (items: Schema): Schema => ({ type: "array", items });
const map = (values: Schema, names?: Schema): Schema => ({
  type: "object",
  additionalProperties: values,
  ...(names === undefined ? {} : { propertyNames: names }),
});

const when: Schema = {
  type: "object",
  additionalProperties: {
    type: ["string", "number", "boolean", "array"],
    items: { type: ["string", "number", "boolean"] },
  },
  minProperties: 1,
};
const environment: Schema = map(scalar);

const probeProperties: Record<string, Schema> = {
  tcp: string,
  http: string,
  status: { type: ["string", "integer"] },
  contains: text,
  run: { type: "array", items: scalar, minItems: 1 },
  script: string,
  args: list(scalar),
  user: string,
  env: environment,
  stdin: text,
  exit: { type: "integer", minimum: 0, maximum: 255 },
  prints: scalar,
  file: string,
  unit: string,
  timeout: duration,
};
const probe: Schema = object(probeProperties);

const step: Schema = object(
  {
    name: string,
    run: { type: "array", items: scalar, minItems: 1 },
    script: string,
    args: list(scalar),
    user: string,
    env: environment,
    stdin: text,
    within: duration,
    hint: string,
    at: { enum: ["first"] },
    unless: probe,
    repeat: { enum: ["safe"] },
    when,
  },
  ["name"],
);

const namedProbe: Schema = object(
  { name: string, ...probeProperties, within: duration, hint: string, when },
  ["name"],
);

/** Characters that a secret's value must not have, as something that reads it cannot take them. */
const without: Schema = object({ characters: { type: "string", minLength: 1 }, because: string }, [
  "characters",
  "because",
]);

const param: Schema = object(
  {
    type: { enum: ["string", "identifier", "integer", "boolean", "list", "secret"] },
    default: {},
    of: string,
    without,
    help: string,
  },
  ["type"],
);

const option: Schema = object(
  {
    type: { enum: ["string", "identifier", "integer", "boolean", "list", "map", "address", "cidr", "pool"] },
    default: {},
    enum: { type: "array", minItems: 1 },
    help: string,
  },
  ["type"],
);

/** Sizes as people write them here; the installer reads the same letters, in powers of 1024. */
const size: Schema = { type: "string", pattern: "^\\d{1,6}(M|G|T)$", description: "a size such as 8G" };

/** Something about a node that must be so. */
const rule: Schema = object(
  {
    message: string,
    hint: string,
    option: string,
    when,
    given: text,
    inside: object({ value: string, of: string }, ["value", "of"]),
    apart: object({ value: string, of: string }, ["value", "of"]),
    at_most: object({ value: scalar, limit: scalar, less: { type: "integer", minimum: 0 } }, [
      "value",
      "limit",
    ]),
  },
  ["message"],
);

const givesValue: Schema = { type: ["string", "number", "boolean", "object"], additionalProperties: scalar };

/** The nouns that components, profiles, the site and nodes may all carry. */
export const nouns: Record<string, Schema> = {
  archives: list(
    object(
      {
        name: word,
        uri: string,
        suite: string,
        components: list(string),
        keyring: object({ package: string, source: string }),
        when,
      },
      ["name", "uri", "suite", "components"],
    ),
  ),
  debconf: list(
    object({ package: string, question: string, type: string, value: scalar, when }, [
      "package",
      "question",
      "type",
      "value",
    ]),
  ),
  packages: list({
    type: ["string", "object"],
    minLength: 1,
    properties: { name: string, when },
    required: ["name"],
    additionalProperties: false,
  }),
  directories: list(object({ path: absolute, owner, mode, when }, ["path"])),
  ports: list(
    object({ port: { type: ["integer", "string"] }, protocol: { enum: ["tcp", "udp"] }, when }, ["port"]),
  ),
  files: list(
    object(
      {
        path: absolute,
        owner,
        mode,
        once: boolean,
        template: text,
        template_file: string,
        source: string,
        format: { enum: ["ini", "oslo", "env"] },
        base: { enum: ["package"] },
        when,
      },
      ["path"],
    ),
  ),
  settings: list(object({ file: absolute, set: { type: "object" }, when }, ["file", "set"])),
  units: list(
    object(
      {
        unit: string,
        validate: probe,
        drop_in: map(map({ type: ["string", "number", "boolean", "array"], items: scalar })),
        within: duration,
        when,
      },
      ["unit"],
    ),
  ),
  before_start: list(step),
  after_start: list(step),
  ready: list(namedProbe),
  checks: list(namedProbe),
};

const needs: Schema = map(
  object({ use: string, with: map({}), when, wait: boolean, optional: boolean }, ["use"]),
  { pattern: "^[a-z][a-z0-9_]*$" },
);
const names: Schema = map(
  { type: ["string", "object"], additionalProperties: string },
  { pattern: "^[a-z][a-z0-9_]*$" },
);
const secrets: Schema = map(
  object({ kind: { enum: ["password", "fernet", "token"] }, without, help: string }, ["kind"]),
  {
    pattern: "^[a-z][a-z0-9_]*$",
  },
);

export const component: Schema = object(
  {
    component: word,
    summary: string,
    requires: list({
      type: ["string", "object"],
      properties: { use: string, when },
      required: ["use"],
      additionalProperties: false,
    }),
    after: list(string),
    imports: list(string),
    options: map(option, { pattern: "^[a-z][a-z0-9_]*$" }),
    secrets,
    names,
    front: boolean,
    rules: list(rule),
    takes: object({ memory: size, disk: size, cpus: { type: "integer", minimum: 1 }, kernel: list(module) }),
    ...nouns,
    resources: map(
      object({
        key: string,
        params: map(param, { pattern: "^[a-z][a-z0-9_]*$" }),
        steps: list(step),
        ready: probe,
        gives: map(givesValue),
        when,
      }),
      { pattern: "^[a-z][a-z0-9_]*$" },
    ),
    needs,
  },
  ["component", "summary"],
);

const optionValues: Schema = map(map({}));
/** cloud-init keys that seedsmith does not write; which ones those are is checked by validate/site. */
const cloudConfig: Schema = { type: "object" };
const ownNouns: Record<string, Schema> = { ...nouns, needs, cloud_config: cloudConfig };

const diskProperties: Record<string, Schema> = {
  serial: string,
  wwn: string,
  model: string,
  vendor: string,
  path: { type: "string", pattern: "^/dev/", description: "a path such as /dev/sda" },
  ssd: boolean,
  size: {
    type: ["string", "object"],
    pattern: "^(largest|smallest)$",
    description: "largest, smallest or a map with at_least and at_most",
    properties: { at_least: size, at_most: size },
    additionalProperties: false,
    minProperties: 1,
  },
};
/** The largest of what is left out would be a riddle. */
const someDisks: Schema = object(
  {
    ...diskProperties,
    size: {
      type: "object",
      description: "a map with at_least and at_most",
      properties: { at_least: size, at_most: size },
      additionalProperties: false,
      minProperties: 1,
    },
  },
  [],
  { minProperties: 1 },
);
const disk: Schema = object({
  ...diskProperties,
  not: { ...someDisks, type: ["object", "array"], items: someDisks },
});
const disks: Schema = { ...disk, type: ["object", "array"], items: disk, minItems: 1 };

/** A UUID as firmware tells it. */
export const uuidPattern = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

/** What a machine of metal is, and what an installation makes of its disks. Profiles, the site and nodes have these. */
const machine: Record<string, Schema> = {
  firmware: { enum: ["uefi", "bios"] },
  console: list({
    type: "string",
    pattern: "^tty[A-Za-z0-9]{1,12}(,[0-9]{3,7}[a-z0-9]{0,3})?$",
    description: "a console such as tty0 or ttyS0,115200n8",
  }),
  storage: object({
    os: object({
      layout: { enum: ["lvm", "direct", "raid1", "zfs"] },
      disk,
      disks,
      filesystem: { enum: ["ext4", "xfs"] },
      size,
      wipe: boolean,
    }),
    swap: { ...size, type: ["string", "boolean"], description: "a size such as 8G, or false" },
    encryption: { enum: ["luks", "none"] },
    data: list(
      object(
        {
          as: { enum: ["lvm", "ext4", "xfs", "untouched"] },
          group: {
            type: "string",
            pattern: "^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,99}$",
            description: "the name of a volume group",
          },
          mount: { type: "string", pattern: "^/.", description: "an absolute path" },
          disk,
          disks,
          wipe: boolean,
        },
        ["as"],
      ),
    ),
    actions: list({ type: "object" }),
  }),
  install: object({
    medium: string,
    shutdown: { enum: ["poweroff", "reboot"] },
    without_archive: { enum: ["abort", "offline-install", "continue-anyway"] },
  }),
  /** Keys of autoinstall that seedsmith does not write; validate/autoinstall.ts has their shapes. */
  autoinstall: { type: "object" },
};

export const profile: Schema = object(
  {
    profile: word,
    summary: string,
    extends: string,
    components: list({
      type: ["string", "object"],
      properties: { use: string, with: map({}) },
      required: ["use"],
      additionalProperties: false,
    }),
    options: optionValues,
    ...machine,
    ...ownNouns,
  },
  ["profile"],
);

const address: Schema = { type: "string", description: "an IP address" };
const addresses: Schema = {
  type: ["string", "array"],
  items: address,
  minItems: 1,
  description: "an IP address, or a list with one of each family",
};
const mtu: Schema = { type: "integer", minimum: 576, maximum: 9216 };
/** Linux takes 15 characters for an interface's name. */
const interfaceName: Schema = {
  type: "string",
  pattern: "^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$",
  description: "an interface name",
};
const mac: Schema = { type: "string", description: "a MAC address in quotes" };

/** A file that machines boot, with the digest that it must have. */
const bootFile: Schema = object({
  url: webAddress,
  file: string,
  sha256: { type: "string", pattern: "^[0-9a-f]{64}$", description: "a SHA-256 in lower-case hexadecimal" },
});
const netboot: Schema = object(
  {
    server: address,
    port: { type: "integer", minimum: 1, maximum: 65535 },
    dhcp: { enum: ["full", "proxy", "none"] },
    range: string,
    loaders: object({
      bios: { enum: ["ipxe", "pxelinux", "grub"] },
      uefi: { enum: ["grub", "ipxe", "pxelinux"] },
    }),
    seeds: object({ for: duration }, ["for"]),
    installers: map(
      object(
        {
          kernel: bootFile,
          initrd: bootFile,
          image: bootFile,
          arguments: list({
            type: "string",
            // A word that every loader passes on as it is: without blanks, quotes, backslashes, backticks and $.
            pattern: "^[A-Za-z0-9_/][A-Za-z0-9_.,:;/=+@%&?~-]*$",
            description: "one word of a kernel's command line: no blanks, quotes, backslashes or $",
          }),
        },
        ["kernel", "initrd"],
      ),
    ),
  },
  ["server"],
);

/** Forms of the seed beside the ISO image. */
const carriers: Schema = list({ enum: ["vfat", "config-drive", "user-data"] });

export const site: Schema = object(
  {
    site: word,
    target: string,
    domain: string,
    front: object({ name: string, address }, ["name", "address"]),
    networks: map(
      object(
        {
          role: { enum: ["management", "provider", "overlay", "storage"] },
          cidr: {
            type: ["string", "array"],
            items: string,
            minItems: 1,
            description: "a network such as 10.0.0.0/24, or a list with an IPv4 and an IPv6 one",
          },
          gateway: addresses,
          nameservers: list(address),
          search: list(string),
          routes: list(object({ to: string, via: address }, ["to", "via"])),
          vlan: { type: "integer", minimum: 1, maximum: 4094 },
          mtu,
        },
        ["cidr"],
      ),
      { pattern: "^[a-z][a-z0-9]{0,14}$" },
    ),
    access: object({
      users: list(
        object(
          {
            name: { type: "string", pattern: "^[a-z_][a-z0-9_-]{0,31}$", description: "a Linux user name" },
            ssh_authorized_keys: list(string),
            password: boolean,
            sudo: boolean,
          },
          ["name"],
        ),
      ),
    }),
    apt: object({
      proxy: { type: ["string", "null"] },
      mirrors: object({ primary: string, security: string }),
    }),
    carriers,
    netboot,
    hosts: { enum: ["auto", "all", "peers"] },
    first_boot: object({ wait_for_nodes: duration }),
    lab: object({
      without: map(object({ options: optionValues }, ["options"]), { pattern: module["pattern"] }),
    }),
    secrets: map(
      object({ env: string, file: string, command: { type: "array", items: string, minItems: 1 } }),
    ),
    nodes: map(
      object(
        {
          profile: string,
          target: string,
          generation: { type: "integer", minimum: 1 },
          size: object({
            cpus: { type: "integer", minimum: 1 },
            memory: { type: "string", pattern: "^\\d{1,6}(M|G|T)$", description: "a size such as 8G" },
            disk: { type: "string", pattern: "^\\d{1,6}(M|G|T)$", description: "a size such as 40G" },
          }),
          carriers,
          netboot: object({
            loader: { enum: ["ipxe", "pxelinux", "grub"] },
            serial: string,
            uuid: {
              type: "string",
              pattern: uuidPattern,
              description: "the UUID that the firmware tells",
            },
            macs: list(mac),
          }),
          links: map(
            object({
              mac,
              mode: { enum: ["lacp", "active-backup"] },
              members: { type: "array", items: string, minItems: 1 },
              primary: string,
              hash: { enum: ["layer2", "layer2+3", "layer3+4"] },
              rate: { enum: ["slow", "fast"] },
            }),
            interfaceName,
          ),
          interfaces: map(
            object(
              {
                mac,
                over: string,
                tagged: boolean,
                bridge: interfaceName,
                address: {
                  type: ["string", "array"],
                  items: address,
                  minItems: 1,
                  description: "an IP address, dhcp or slaac, or a list of these",
                },
                name: interfaceName,
                mtu,
              },
              [],
            ),
          ),
          options: optionValues,
          ...machine,
          ...ownNouns,
        },
        ["profile"],
      ),
    ),
    options: optionValues,
    ...machine,
    ...ownNouns,
  },
  ["site", "target", "networks", "nodes"],
);

export const target: Schema = object(
  {
    target: { type: "string", pattern: "^[a-z][a-z0-9.-]*$", description: "a target name" },
    summary: string,
    family: { enum: ["ubuntu", "debian"] },
    version: string,
    codename: string,
    arch: string,
    cloud_init: { type: "object" },
    netplan: { type: ["string", "boolean"] },
    ipv6_default_route: { enum: ["route", "gateway6"] },
    renderer: string,
    python: string,
    image: object({ url: webAddress, digests: webAddress }, ["url", "digests"]),
    /** The installer's version on each medium of the release, by the name of the medium; where there is an installer. */
    installer: object({ media: map(string), medium: string }, ["media", "medium"]),
    facts: { type: "object" },
  },
  ["target", "family", "version", "codename"],
);

/** What is known of one node's disks; `seedsmith hardware import` writes it. */
export const hardware: Schema = object(
  {
    hardware: string,
    recorded: { enum: ["lsblk", "lshw", "probe"] },
    disks: list(
      object(
        {
          path: { type: "string", pattern: "^/dev/", description: "a path such as /dev/sda" },
          size: { type: "integer", minimum: 0 },
          serial: string,
          id_serial: string,
          wwn: string,
          model: string,
          vendor: string,
          bus: string,
          id_path: string,
          ssd: boolean,
          medium: boolean,
          holds: list(string),
        },
        ["path", "size"],
      ),
    ),
  },
  ["hardware", "disks"],
);

/** Every kind of document. */
export const kinds = { component, profile, site, target, hardware } as const;
export type Kind = keyof typeof kinds;

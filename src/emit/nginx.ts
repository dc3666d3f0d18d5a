/** nginx's configuration: the static part of a boot server, for a copy that `publish` made. */
import type { Site } from "../resolve/model.ts";
import { autoinstallFolder } from "./autoinstall.ts";

/**
 * A server block that serves a published site. Seeds go to the node's own addresses alone; entries are files, so that
 * whoever changes a node's answer replaces its file.
 * @param root the published folder, absolute
 * @returns null where the site has no netboot
 */
export function nginxConfig(site: Site, root: string): string | null {
  const { netboot, management } = site;
  if (netboot === null) return null;
  const text = (path: string): string => `"${path.replace(/["\\$]/g, "\\$&")}"`;
  const seeds = site.nodes.map((node) => {
    const own = (node.interfaces.get(management.name)?.addresses ?? []).map((one) => one.text);
    const rules = own.map((address) => `allow ${address};`).join(" ");
    return `  location /seed/${node.name}/ { ${rules}${rules === "" ? "" : " "}deny all; }`;
  });
  return `# The static part of the boot server of the site ${site.name}, by seedsmith. One server block, to be included in http.
# Seeds hold secrets, and go over plain HTTP: each is given to its node's own addresses alone. Nobody takes reports here:
# a node's entry is a file below ipxe/, grub/ and pxelinux/, and says install until its file is replaced.
server {
  listen ${netboot.server}:${netboot.port};
  root ${text(root)};
  default_type application/octet-stream;
  autoindex off;
  disable_symlinks on from=$document_root;
  sendfile on;
  location = / { return 404; }
${seeds.join("\n")}
  location /seed/ { deny all; }
  # Machines that are no nodes are told so; a loader shows no body of a 404.
  location /ipxe/ { default_type text/plain; error_page 404 =200 /refusals/ipxe; }
  # Entries alone: GRUB also asks for lists of modules there, and does without.
  location ~ "^/grub/[0-9a-f:-]{17}$" { default_type text/plain; error_page 404 =200 /refusals/grub; }
  location /grub/ { default_type text/plain; }
  location /pxelinux/ { default_type text/plain; }
  location /loaders/ { }
  location /assets/ { }
  location /refusals/ { internal; default_type text/plain; }
  location / { return 404; }
}
`;
}

/** Where the copy of a node's seed lies that is given to it. */
export function servedSeed(node: { readonly install: unknown }): string {
  return node.install === null ? "" : `${autoinstallFolder}/`;
}

/**
 * What Ubuntu's installer leaves on a machine, made by its own rules (subiquity's models at 22.04.2, 24.04.1 and
 * 24.08.1) from a rendered autoinstall file. The installer itself is not run: it cannot be had everywhere.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** PyYAML, as the installer writes with it. */
const script = `
import json, sys, yaml
task = json.load(sys.stdin)
auto = yaml.safe_load(task["autoinstall"])["autoinstall"]

def merge(config, new):
    for key, value in new.items():
        old = config.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merge(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            config[key] = old + value
        else:
            config[key] = value

assert "identity" not in auto
config = {"growpart": {"mode": "off"}, "resize_rootfs": False, "locale": auto["locale"]}
if auto["ssh"]["install-server"]:
    config["ssh_pwauth"] = auto["ssh"]["allow-pw"]
merge(config, auto["user-data"])
if task["release"] not in ("20.04", "22.04"):
    config.setdefault("write_files", []).append({
        "path": "/etc/cloud/cloud-init.disabled",
        "content": "Disabled by Ubuntu live installer after first boot.\\n",
        "defer": True,
    })
installer = {
    "datasource_list": ["None"],
    "datasource": {"None": {
        "userdata_raw": "#cloud-config\\n" + yaml.dump(config),
        "metadata": {"instance-id": task["uuid"]},
    }},
}
network = yaml.dump({"network": auto["network"]}, default_flow_style=False)
files = {
    "/etc/cloud/cloud.cfg.d/99-installer.cfg": yaml.dump(installer),
    "/etc/cloud/ds-identify.cfg": "policy: enabled\\n",
}
if task["release"] == "22.04":
    files["/etc/netplan/00-installer-config.yaml"] = network
    files["/etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg"] = "network: {config: disabled}\\n"
else:
    files["/etc/cloud/cloud.cfg.d/90-installer-network.cfg"] = network
    files["/etc/cloud/cloud.cfg.d/20-disable-cc-dpkg-grub.cfg"] = yaml.dump({"grub_dpkg": {"enabled": False}})
json.dump(files, sys.stdout)
`;

/**
 * Puts the installer's files into a root, in place of a seed.
 * @param autoinstall path of the rendered `autoinstall/user-data`
 * @param release whose installer: they differ in where the network stands and in what they switch off
 */
export function leaveInstalled(root: string, autoinstall: string, release: "22.04" | "24.04"): void {
  const files = JSON.parse(
    execFileSync("python3", ["-c", script], {
      input: JSON.stringify({
        autoinstall: readFileSync(autoinstall, "utf8"),
        release,
        uuid: "6f1c0d0e-4f5b-4a58-9f0e-2d7c1f6f2b11",
      }),
      encoding: "utf8",
      maxBuffer: 2 ** 26,
    }),
  ) as Record<string, string>;
  rmSync(join(root, "var/lib/cloud/seed"), { recursive: true, force: true });
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text, { mode: path.includes("ds-identify") ? 0o644 : 0o600 });
  }
  // The installer keeps what it was told, readable by root only.
  mkdirSync(join(root, "var/log/installer"), { recursive: true });
  writeFileSync(join(root, "var/log/installer/autoinstall-user-data"), readFileSync(autoinstall), {
    mode: 0o600,
  });
}

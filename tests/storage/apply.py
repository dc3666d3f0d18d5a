"""Applies storage actions to the disks of this machine, for tests: a small stand-in for Ubuntu's installer and curtin.

Runs inside of a virtual machine that has nothing to lose. `task` is a list of cases, each with a name, a firmware,
commands to run before and actions; what came of each is written behind the control disk's first MiB.
"""
import fnmatch
import glob
import hashlib
import json
import os
import subprocess

TARGET = "/target"
OWN = {os.path.realpath(control), "/dev/vda"}


def run(*argv, **more):
    done = subprocess.run([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.returncode}: {done.stdout.strip()[-600:]}")
    return done.stdout


def quietly(*argv):
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def settle():
    run("udevadm", "settle")


def properties(disk):
    out = run("udevadm", "info", "--query=property", f"--name={disk}")
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def disks():
    found = []
    for path in sorted(glob.glob("/sys/block/*")):
        name = "/dev/" + os.path.basename(path)
        if name in OWN or not os.path.basename(path).startswith(("sd", "nvme", "vd")):
            continue
        size = int(open(f"{path}/size").read()) * 512
        ssd = open(f"{path}/queue/rotational").read().strip() == "0"
        found.append({"path": name, "size": size, "ssd": ssd, "udev": properties(name)})
    return found


def matches(disk, match):
    """As the installer's model does: shell globs, case-sensitive, on udev's values; all must hold."""
    udev = disk["udev"]
    values = {
        "serial": udev.get("ID_SERIAL", ""),
        "model": udev.get("ID_MODEL", ""),
        "vendor": udev.get("ID_VENDOR", ""),
        "path": disk["path"],
        "id_path": udev.get("ID_PATH", ""),
    }
    for key, wanted in match.items():
        if key == "size":
            continue
        if key == "ssd":
            if disk["ssd"] != wanted:
                return False
        elif not fnmatch.fnmatchcase(values[key], wanted):
            return False
    return disk["size"] > 0


def choose(actions):
    """Every disk action's disk, in order; a disk is used once."""
    left = disks()
    chosen = {}
    for action in actions:
        if action["type"] != "disk":
            continue
        if "serial" in action:
            fit = [one for one in left if one["udev"].get("ID_SERIAL") == action["serial"]]
        elif "path" in action:
            fit = [one for one in left if one["path"] == action["path"]]
        else:
            fit = [one for one in left if matches(one, action["match"])]
            if action["match"].get("size") == "largest":
                fit.sort(key=lambda one: -one["size"])
            if action["match"].get("size") == "smallest":
                fit.sort(key=lambda one: one["size"])
        if not fit:
            raise RuntimeError(f"{action['id']} matched no disk")
        left.remove(fit[0])
        chosen[action["id"]] = fit[0]["path"]
    return chosen


def part(disk, number):
    return f"{disk}p{number}" if disk[-1].isdigit() else f"{disk}{number}"


TYPES = {"boot": "ef00", "bios_grub": "ef02", "lvm": "8e00", "raid": "fd00", "swap": "8200"}


def amount(size):
    if isinstance(size, int):
        return size
    units = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
    return int(float(size[:-1]) * units[size[-1]]) if size[-1] in units else int(size)


class Applier:
    def __init__(self, actions):
        self.actions = actions
        self.chosen = choose(actions)
        self.device = {}
        self.byid = {}

    def apply(self):
        for action in self.actions:
            getattr(self, action["type"])(action)
            self.byid[action["id"]] = action
            settle()

    def disk(self, a):
        path = self.device[a["id"]] = self.chosen[a["id"]]
        if a.get("wipe") == "superblock-recursive":
            for one in sorted(glob.glob(part(path, "[0-9]*"))):
                quietly("wipefs", "--all", "--force", one)
        if a.get("wipe"):
            run("wipefs", "--all", "--force", path)
        if a.get("ptable") == "gpt":
            run("sgdisk", "--clear", path)

    def partition(self, a):
        disk = self.device[a["device"]]
        number = a["number"]
        end = 0 if a["size"] == -1 else f"+{amount(a['size']) // 1024}K"
        run("sgdisk", f"--new={number}:0:{end}", f"--typecode={number}:{TYPES.get(a.get('flag'), '8300')}", disk)
        settle()
        path = self.device[a["id"]] = part(disk, number)
        if a.get("wipe") == "superblock":
            run("wipefs", "--all", "--force", path)

    def raid(self, a):
        level = str(a["raidlevel"]).replace("raid", "")
        members = [self.device[one] for one in a["devices"]]
        # As curtin names it.
        name = a["name"]
        path = self.device[a["id"]] = f"/dev/{name}" if name[:2] == "md" and name[2:].isdigit() else f"/dev/md/{name}"
        run("mdadm", "--create", path, "--run", "--metadata=1.2", "--assume-clean", "--homehost=any",
            f"--level={level}", f"--raid-devices={len(members)}", *members)

    def dm_crypt(self, a):
        volume = self.device[a["volume"]]
        cheap = ["--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000"]
        run("cryptsetup", "luksFormat", "--batch-mode", *cheap, "--key-file=-", volume, input=a["key"])
        run("cryptsetup", "open", "--key-file=-", volume, a["dm_name"], input=a["key"])
        self.device[a["id"]] = f"/dev/mapper/{a['dm_name']}"

    def lvm_volgroup(self, a):
        devices = [self.device[one] for one in a["devices"]]
        run("vgcreate", "--yes", a["name"], *devices)
        self.device[a["id"]] = a["name"]

    def lvm_partition(self, a):
        group = self.device[a["volgroup"]]
        size = ["--extents=100%FREE"] if a["size"] == -1 else [f"--size={amount(a['size'])}B"]
        run("lvcreate", "--yes", "--wipesignatures=y", f"--name={a['name']}", *size, group)
        self.device[a["id"]] = f"/dev/{group}/{a['name']}"

    def format(self, a):
        volume = self.device[a["volume"]]
        label = a.get("label")
        if a["fstype"] in ("fat32", "vfat"):
            run("mkfs.vfat", "-F", "32", *(["-n", label] if label else []), volume)
        elif a["fstype"] == "swap":
            run("mkswap", volume)
        else:
            force = "-f" if a["fstype"] == "xfs" else "-F"
            run(f"mkfs.{a['fstype']}", "-q", force, *(["-L", label] if label else []), volume)
        self.device[a["id"]] = volume

    def mount(self, a):
        path = a["path"]
        if path in ("none", ""):
            return
        at = TARGET if path == "/" else TARGET + path
        os.makedirs(at, exist_ok=True)
        # nofail is for fstab; what is mounted here must be there.
        run("mount", self.device[a["device"]], at)


def boot_loader(firmware, applier):
    """GRUB's own judgement: it must find /boot by what the partitions are, and a place for itself."""
    if firmware == "uefi":
        run("grub-install", "--target=x86_64-efi", f"--efi-directory={TARGET}/boot/efi",
            f"--boot-directory={TARGET}/boot", "--no-nvram", "--removable")
        assert os.path.exists(f"{TARGET}/boot/efi/EFI/BOOT/BOOTX64.EFI")
        return
    targets = [applier.device[a["id"]] for a in applier.actions if a["type"] == "disk" and a.get("grub_device")]
    assert targets
    for disk in targets:
        run("grub-install", "--target=i386-pc", f"--boot-directory={TARGET}/boot", disk)


def release():
    """Everything is let go as a power cycle would, and what is on the disks stays."""
    quietly("umount", "--recursive", TARGET)
    quietly("vgchange", "-an")
    for path in glob.glob("/dev/mapper/*"):
        if not path.endswith("/control"):
            quietly("cryptsetup", "close", path)
    quietly("mdadm", "--stop", "--scan")
    settle()


def digest(path):
    # What partitions have written is not seen through the whole disk's own cache.
    run("sync")
    run("blockdev", "--flushbufs", path)
    with open(path, "rb") as disk:
        return hashlib.sha256(disk.read(2**21)).hexdigest()


# Debian puts together what it finds; the installer has its own way of letting go, which is no part of this.
for rule in ("64-md-raid-assembly.rules", "69-lvm.rules", "69-dm-lvm.rules", "69-lvm-metad.rules"):
    if not os.path.exists(f"/etc/udev/rules.d/{rule}"):
        os.symlink("/dev/null", f"/etc/udev/rules.d/{rule}")
quietly("udevadm", "control", "--reload")
results = []
for case in task:
    result = {"name": case["name"]}
    results.append(result)
    release()
    before = {one["path"]: digest(one["path"]) for one in disks()}
    try:
        for command in case["before"]:
            run("sh", "-c", command)
        applier = Applier(case["actions"])
        result["chosen"] = applier.chosen
        applier.apply()
        boot_loader(case["firmware"], applier)
        run("sync")
        # lsblk tells what udev saw last, which may be from before a tool had written its superblock.
        run("udevadm", "trigger", "--action=change", "--subsystem-match=block")
        settle()
        result["lsblk"] = json.loads(run("lsblk", "--json", "--bytes", "--output",
                                         "PATH,NAME,TYPE,SIZE,FSTYPE,LABEL,PARTTYPENAME,PTTYPE,MOUNTPOINT,SERIAL"))
        result["groups"] = json.loads(run("vgs", "--reportformat=json", "--options=vg_name,pv_count,lv_count"))
        result["serials"] = {one["path"]: one["udev"].get("ID_SERIAL") for one in disks()}
    except Exception as error:
        result["error"] = f"{type(error).__name__}: {error}"
    others = [path for path in before if path not in result.get("chosen", {}).values()]
    result["untouched"] = {path: digest(path) == before[path] for path in others}
    print(f"storage: {case['name']}: {result.get('error', 'applied')}", flush=True)
release()
with open(control, "r+b") as out:
    out.seek(1 << 20)
    out.write(json.dumps(results).encode())

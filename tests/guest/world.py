"""A machine for the runner's tests: a folder as root, a clock that does not wait, and commands in this process.

What the commands change (packages, units, objects in a database) lies in a file beside the root, so that it
outlives a runner that is killed. The runner itself is the shipped file, loaded as a module.
"""
import contextlib
import hashlib
import importlib.machinery
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
GUEST = os.path.join(HERE, "..", "..", "guest")
RUNNER = os.path.join(GUEST, "seedsmith-node")

sys.dont_write_bytecode = True
_loader = importlib.machinery.SourceFileLoader("seedsmith_node", RUNNER)
_spec = importlib.util.spec_from_loader("seedsmith_node", _loader)
node = importlib.util.module_from_spec(_spec)
_loader.exec_module(node)

CONF = "/etc/keystone/keystone.conf"
STAGED = node.BASE + "/seed/files/"


def run_probe(*argv, **more):
    return dict(run=list(argv), user=None, env={}, stdin=None, exit=0, prints=None, timeout=10, **more)


def step(name, *argv, unless=None, repeat_safe=False, **more):
    action = dict(kind="step", id="c/" + name, name=name, run=list(argv), user=None, env={}, stdin=None, within=60)
    action.update(hint=None, unless=unless, repeat_safe=repeat_safe, **{"from": "c.yaml:" + name})
    return dict(action, **more)


def probing(kind, name, probe, within=10, **more):
    return dict(kind=kind, id="c/" + name, name=name, probe=probe, within=within, hint=None,
                **{"from": "c.yaml:" + name}, **more)


def unit(name, validate=None, within=30):
    return {"kind": "unit", "id": "c/" + name, "unit": name, "validate": validate, "within": within,
            "from": "c.yaml:" + name}


def file(path, text=None, **more):
    entry = dict(path=path, owner="root:root", mode="0644", once=False, stage=None, edits=None, restarts=[],
                 **{"from": "c.yaml:" + path})
    return dict(entry, text=text, **more)


def package(name):
    return {"name": name, "from": "c.yaml:" + name}


def block(name, *actions, after=()):
    return {"id": name, "title": name, "after": list(after), "actions": list(actions)}


def program(actions=(), checks=(), files=(), packages=(), archives=(), debconf=(), directories=(), **more):
    """A program in format 1, in one block unless `blocks` says more. A file's or archive's `text` gets staged."""
    value = dict(format=1, site="lab", node="con01", generation=1, address=None, names=[], min_free_disk=0, secrets=[])
    value.update(
        apt=dict(archives=list(archives), debconf=list(debconf), packages=list(packages), recommends=False),
        directories=list(directories),
        files=list(files),
        blocks=[{"id": "c", "title": "c", "actions": list(actions)}],
        checks=list(checks),
    )
    value.update(more)
    return value


class Fake(node.Machine):
    """The machine: everything that would touch a real one is answered from `sim`."""

    def __init__(self, folder, tuning=None):
        super().__init__(os.path.join(folder, "root"), tuning=tuning)
        self.store = os.path.join(folder, "sim.json")
        self.clock, self.points, self.crash_at, self.later = 0.0, 0, None, []
        self.lock = threading.RLock()  # the runner does things side by side
        self.answers = {}  # argv[0] -> function(argv, env, stdin) giving (code, output)
        self.real = False  # whether unknown commands are run for real
        self.room = 1 << 40
        self.full = None  # a path below which the disk is full

    # what a test says of the machine

    @property
    def sim(self):
        with open(self.store, encoding="utf-8") as stored:
            return json.load(stored)

    @contextlib.contextmanager
    def change(self):
        with self.lock:
            value = self.sim
            yield value
            beside = self.store + ".new"
            with open(beside, "w", encoding="utf-8") as stored:
                stored.write(json.dumps(value))
            os.rename(beside, self.store)

    def at(self, seconds, action):
        """Does something when the clock has come to `seconds`."""
        self.later.append((seconds, action))

    def point(self):
        with self.lock:
            self.points += 1
            now = self.points == self.crash_at
        if now:
            os.kill(os.getpid(), signal.SIGKILL)

    # Machine

    def monotonic(self):
        return self.clock

    def sleep(self, seconds):
        with self.lock:
            self.clock += max(seconds, 0.001)
            for due in [item for item in self.later if item[0] <= self.clock]:
                self.later.remove(due)
                due[1]()

    def boot(self):
        return self.sim["boot"]

    def free(self, path):
        return self.room

    def resolve(self, name):
        return ["10.0.0.1"]

    def has_address(self, address):
        return True

    def hostname(self):
        return "con01"

    def owner(self, owner):
        if owner.partition(":")[0] not in self.sim["users"]:
            raise node.Failure("owner %s: no such user" % owner)
        return os.getuid(), os.getgid()

    def write(self, path, data, mode=0o600, owner=None):
        if self.full and path.startswith(self.full):
            raise OSError(28, os.strerror(28), path)
        super().write(path, data, mode, owner)

    def run(self, argv, within=None, env=None, stdin=None, user=None):
        name = os.path.basename(argv[0])
        with open(self.store + ".calls", "a", encoding="utf-8") as calls:
            calls.write(" ".join(argv) + "\n")
        self.point()
        if name in self.answers:
            code, out = self.answers[name](argv, env or {}, stdin)
        elif hasattr(self, "do_" + name.replace("-", "_")):
            code, out = getattr(self, "do_" + name.replace("-", "_"))(argv, env or {}, stdin)
        elif self.real:
            return super().run(argv, within, env, stdin, user)
        else:
            code, out = 127, "%s: not found" % name
        self.point()
        return node.Result(124 if code is None else code, out, out, code is None)

    # commands

    def do_true(self, argv, env, stdin):
        return 0, ""

    def do_false(self, argv, env, stdin):
        return 1, "no\n"

    def do_has(self, argv, env, stdin):
        return (0, "yes\n") if argv[1] in self.sim["objects"] else (1, "no %s\n" % argv[1])

    def do_make(self, argv, env, stdin):
        with self.change() as sim:
            sim["objects"][argv[1]] = sim["objects"].get(argv[1], 0) + 1
        return 0, "made\n"

    def do_put(self, argv, env, stdin):
        with self.change() as sim:
            if sim["puts"].get(argv[1]) != stdin:
                sim["puts"][argv[1]] = stdin
                sim["objects"]["put " + argv[1]] = sim["objects"].get("put " + argv[1], 0) + 1
        return 0, ""

    def do_dpkg_query(self, argv, env, stdin):
        sim = self.sim
        rows = ["installed\t%s\t%s\t%s" % (name, version, sim["provides"].get(name, "")) for name, version in sim["installed"].items()]
        rows += ["half-configured\t%s\t1\t" % name for name in sim["half"]]
        return 0, "\n".join(rows) + "\n"

    def do_dpkg(self, argv, env, stdin):
        return self.configure(env)

    def configure(self, env):
        for name in self.sim["half"]:
            for service in self.sim["available"][name].get("units", []):
                policy = self.path(node.POLICY)
                allowed = 0
                if os.path.exists(policy):
                    allowed = subprocess.run(["sh", policy, service, "start"], env=env, check=False).returncode
                with self.change() as sim:
                    sim["units"].setdefault(service, {"enabled": "enabled"})
                    if allowed == 0:
                        self.begin(sim, service)
            with self.change() as sim:
                sim["half"].remove(name)
                sim["installed"][name] = sim["available"][name].get("version", "1")
            self.point()
        return 0, ""

    def do_apt_get(self, argv, env, stdin):
        words = [word for word in argv[1:] if not word.startswith("-")]
        if self.clock < self.sim["mirror_back"]:
            return 100, "E: Failed to fetch http://mirror/x  Could not connect to mirror:80 (10.0.0.9).\n"
        if "update" in words:
            with self.change() as sim:
                sim["updates"] += 1
            return 0, ""
        if "-f" in argv:
            return self.configure(env)
        wanted = words[words.index("install") + 1 :]
        unknown = [name for name in wanted if name not in self.sim["available"]]
        if unknown:
            return 100, "".join("E: Unable to locate package %s\n" % name for name in unknown)
        if "-s" in argv:
            return 0, ""
        if self.sim["half"]:
            return 100, "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\n"
        for name in wanted:
            for path, text in self.sim["available"][name].get("files", {}).items():
                os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
                if not os.path.exists(self.path(path)):
                    with open(self.path(path) + ".dpkg-new", "w", encoding="utf-8") as target:
                        target.write(text)
                    os.rename(self.path(path) + ".dpkg-new", self.path(path))
            with self.change() as sim:
                sim["half"].append(name)
                sim["users"] += sim["available"][name].get("users", [])
            self.point()
        return self.configure(env)

    def do_apt_cache(self, argv, env, stdin):
        have = self.sim["available"]
        rows = ["%s:\n  Installed: (none)\n  Candidate: 1\n" % name for name in argv[2:] if name in have]
        return 0, "".join(rows)

    def do_debconf_set_selections(self, argv, env, stdin):
        with self.change() as sim:
            sim["debconf"] = stdin
        return 0, ""

    def do_timedatectl(self, argv, env, stdin):
        return 0, self.sim["ntp"] + "\n"

    def do_journalctl(self, argv, env, stdin):
        return 0, "journal of %s\n" % argv[2]

    def begin(self, sim, name):
        """Starts a unit: what it reads now is what it runs with."""
        entry = sim["units"].setdefault(name, {})
        sim["invocation"] += 1
        entry["invocation"] = sim["invocation"]
        entry["read"] = self.digest(entry.get("config"))
        if entry.get("refuse", 0):
            entry["refuse"] -= 1
            entry.update(active="failed", result="exit-code")
        elif entry.get("type") == "oneshot":
            entry.update(active="inactive", result="success", exited="5")
        else:
            entry.update(active="active", result="success")

    def digest(self, path):
        if path is None or not os.path.exists(self.path(path)):
            return None
        with open(self.path(path), "rb") as content:
            return hashlib.sha256(content.read()).hexdigest()

    def do_systemctl(self, argv, env, stdin):
        verb, names = argv[1], [word for word in argv[2:] if not word.startswith("-")]
        name = names[-1] if names else ""
        if verb == "show" and len(names) > 2:  # the first is what to show
            return 0, "\n".join(self.do_systemctl(["systemctl", "show", "-p", names[0], name], env, stdin)[1] for name in names[1:])
        if verb in ("start", "stop") and len(names) > 1:
            for name in names:
                self.do_systemctl(["systemctl", verb, name], env, stdin)
            return 0, ""
        entry = self.sim["units"].get(name, {})
        active = entry.get("active", "inactive")
        if verb == "show":
            values = dict(ActiveState=active, LoadState="loaded" if entry else "not-found", SubState="",
                          Result=entry.get("result", ""), Type=entry.get("type", "simple"), Job=entry.get("job", ""),
                          InvocationID=entry.get("invocation", ""), RemainAfterExit="no",
                          ConditionResult=entry.get("condition", "yes"),
                          ExecMainExitTimestampMonotonic=entry.get("exited", "0"))
            return 0, "".join("%s=%s\n" % item for item in values.items())
        if verb == "is-active":
            return (0 if active == "active" else 3), active + "\n"
        if verb == "is-enabled":
            word = entry.get("enabled", "disabled")
            return (0 if word == "enabled" else 1), word + "\n"
        with self.change() as sim:
            if verb == "enable":
                sim["units"].setdefault(name, {})["enabled"] = "enabled"
            elif verb == "restart" or (verb == "start" and active != "active") or (verb == "try-restart" and active == "active"):
                if entry.get("condition") != "no":
                    self.begin(sim, name)
            elif verb == "stop":
                sim["units"].setdefault(name, {})["active"] = "inactive"
            elif verb == "daemon-reload":
                sim["reloads"] += 1
            elif verb == "mask":
                sim["masked"] += names
            elif verb == "unmask":
                sim["masked"] = [masked for masked in sim["masked"] if masked not in names]
        return 0, ""


SIM = dict(units={}, installed={"bash": "5"}, available={}, provides={}, half=[], objects={}, puts={},
           boot="boot-1", users=["root"], mirror_back=0, updates=0, debconf=None, ntp="no", invocation=0, reloads=0,
           masked=[])


class World(unittest.TestCase):
    """A test with a machine of its own."""

    def setUp(self):
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix="seedsmith-guest-", dir=base)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        os.mkdir(os.path.join(self.folder, "root"))
        with open(os.path.join(self.folder, "sim.json"), "w", encoding="utf-8") as stored:
            json.dump(SIM, stored)
        self.machine = Fake(self.folder)
        # In memory anyway: a real fsync would only make these tests slow.
        synced, os.fsync = os.fsync, lambda end: None
        self.addCleanup(setattr, os, "fsync", synced)

    def path(self, path):
        return self.machine.path(path)

    def put(self, path, text, mode=0o644):
        os.makedirs(os.path.dirname(self.path(path)), exist_ok=True)
        with open(self.path(path), "w", encoding="utf-8") as target:
            target.write(text)
        os.chmod(self.path(path), mode)

    def read(self, path):
        with open(self.path(path), encoding="utf-8") as content:
            return content.read()

    def sow(self, value):
        """Puts a program and its staged files where cloud-init would."""
        number = 0
        for entry in [*value["files"], *value["apt"]["archives"]]:
            text = entry.pop("text", None)
            if text is not None:
                entry["stage"] = "%s%d-%s" % (STAGED, number, os.path.basename(entry["path"]))
                self.put(entry["stage"], text, 0o600)
            number += 1
        self.put(node.PROGRAM, json.dumps(value), 0o600)
        return value

    def go(self, *argv, machine=None):
        """Runs a command of the runner; returns its exit code and what it printed."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = node.main(list(argv) or ["run"], machine or self.machine)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return code, out.getvalue()

    def ready(self):
        code, out = self.go()
        self.assertEqual(code, 0, out)
        self.assertTrue(out.endswith("SEEDSMITH con01 READY\n"), out)
        return out

    def failed(self, *words):
        """Expects a run to fail with these words in its last line."""
        code, out = self.go()
        last = out.rstrip("\n").rsplit("\n", 1)[-1]
        self.assertEqual(code, 1, out)
        self.assertTrue(last.startswith("SEEDSMITH con01 FAILED step="), last)
        for word in words:
            self.assertIn(word, last)
        self.assertNotEqual(self.go("status")[0], 0)
        self.assertEqual(self.go("needed")[0], 0)
        return out

    def events(self, kind=None):
        found = node.read_events(self.machine)
        return [event for event in found if kind is None or event["event"] == kind]

    def calls(self, word):
        """Commands run so far that contain a word."""
        with contextlib.suppress(FileNotFoundError):
            with open(self.machine.store + ".calls", encoding="utf-8") as calls:
                return [call.rstrip("\n") for call in calls if word in call]
        return []

    def forget_calls(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.machine.store + ".calls")

    def snapshot(self, times=True):
        """Every file that is not the runner's own history, with content, mode and mtime."""
        found = {}
        for folder, folders, names in os.walk(self.path("")):
            for name in [*folders, *names]:
                path = os.path.join(folder, name)
                short = path[len(self.path("")) :]
                if short.startswith((node.BASE + "/state", node.RUN, node.PENDING)) or "/lock" in short:
                    continue
                info = os.lstat(path)
                content = ""
                if os.path.isfile(path):
                    with open(path, "rb") as data:
                        content = data.read().decode("utf-8", "replace")
                stamp = info.st_mtime_ns if times and os.path.isfile(path) else None
                found[short] = (oct(info.st_mode), content, stamp)
        return found

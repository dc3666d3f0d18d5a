"""A runner killed with SIGKILL at any point of a first boot, and what the next run makes of it."""
import os
import shutil
import signal
import sys
import unittest

from world import CONF, World, block, node, package, probing, program, run_probe, step, unit

DROP_IN = "/etc/systemd/system/chrony.service.d/50-seedsmith.conf"


def whole():
    """One of everything that leaves a trace."""
    return program(
        archives=[
            {"name": "cloud", "path": "/etc/apt/sources.list.d/cloud.sources", "text": "Types: deb\n",
             "keyring": {"package": "cloud-keyring"}, "from": "c.yaml:archive"},
        ],
        debconf=[{"package": "keystone", "question": "keystone/db", "type": "boolean", "value": "false", "from": "c.yaml:d"}],
        packages=[package("chrony"), package("keystone")],
        directories=[{"path": "/srv/data", "owner": "keystone:keystone", "mode": "0750", "from": "c.yaml:dir"}],
        files=[
            {"path": "/etc/chrony.conf", "owner": "root:root", "mode": "0644", "once": False, "text": "server a\n",
             "stage": None, "edits": None, "restarts": ["chrony.service"], "from": "c.yaml:chrony"},
            {"path": DROP_IN, "owner": "root:root", "mode": "0644", "once": False, "text": "[Service]\n",
             "stage": None, "edits": None, "restarts": ["chrony.service"], "from": "c.yaml:drop"},
            {"path": CONF, "owner": "root:keystone", "mode": "0640", "once": False, "stage": None,
             "edits": {"format": "oslo", "changes": [{"section": "token", "key": "provider", "value": "fernet"}]},
             "restarts": ["keystone.service"], "from": "c.yaml:keystone"},
            {"path": "/etc/keystone/key", "owner": "root:root", "mode": "0600", "once": True, "text": "first\n",
             "stage": None, "edits": None, "restarts": [], "from": "c.yaml:once"},
        ],
        blocks=[
            block("time", unit("chrony.service", validate=run_probe("true"))),
            block("database", step("database", "make", "db", unless=run_probe("has", "db"))),
            block(
                "user",
                probing("wait", "broker", run_probe("true")),
                step("user", "put", "user", stdin="ALTER USER 'secret-word-1';", repeat_safe=True),
            ),
            block("keystone", unit("keystone.service"), probing("ready", "answers", run_probe("true")),
                  after=["database", "user"]),
        ],
        checks=[probing("check", "time", run_probe("true"))],
    )


class Kill(World):
    maxDiff = None

    def setUp(self):
        super().setUp()
        self.prepare()

    def prepare(self):
        with self.machine.change() as sim:
            sim["available"] = {
                "cloud-keyring": {},
                "chrony": {"units": ["chrony.service"], "files": {"/etc/chrony.conf": "server packaged\n"}},
                "keystone": {
                    "users": ["keystone"],
                    "units": ["keystone.service", "epmd.socket"],
                    "files": {CONF: "# the identity service\n[token]\n#provider = uuid\n"},
                },
            }
            # Already running with the packaged file, as on a machine that had it before: only a restart helps.
            sim["units"] = {
                "chrony.service": {"config": "/etc/chrony.conf", "active": "active", "invocation": 1, "enabled": "enabled"},
                "keystone.service": {"config": CONF, "enabled": "disabled"},
                "dbus.service": {"active": "active", "invocation": 2, "enabled": "static"},
                "apt-daily.timer": {"enabled": "enabled", "active": "active", "invocation": 2},
                "apt-daily.service": {"enabled": "static", "active": "inactive"},
            }
            sim["invocation"] = 2
        self.put("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 0\n", 0o755)
        self.sow(whole())

    def fork(self, crash_at=None, delete_state=False):
        """Runs in a process that may be killed; returns whether it was, or its exit code."""
        child = os.fork()
        if child == 0:
            code = 70
            try:
                if delete_state:
                    shutil.rmtree(self.path(node.BASE + "/state"), ignore_errors=True)
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, 1)
                os.dup2(null, 2)
                sys.stdout = os.fdopen(os.dup(null), "w")
                machine = self.machine
                machine.points, machine.crash_at = 0, crash_at
                for name in ("replace", "unlink", "link", "fsync", "fchmod", "chmod", "mkdir", "write", "ftruncate"):
                    self.count(machine, name)
                code = node.main(["run"], machine)
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        return "killed" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else os.WEXITSTATUS(status)

    def count(self, machine, name):
        real = getattr(os, name)

        def counted(*args, **more):
            machine.point()
            return real(*args, **more)

        setattr(os, name, counted)

    def reset(self):
        shutil.rmtree(self.path(""))
        os.mkdir(self.path(""))
        with self.machine.change() as sim:
            sim.update(units={}, installed={"bash": "5"}, available={}, half=[], objects={}, puts={},
                       users=["root"], boot="boot-1", updates=0, debconf=None, invocation=0, reloads=0, masked=[])
        self.prepare()

    def outcome(self):
        """What must be the same however often the run was killed."""
        sim = self.machine.sim
        units = {name: (entry.get("active"), entry.get("enabled"), entry.get("read")) for name, entry in sim["units"].items()}
        seen = {key: sim[key] for key in ("installed", "half", "objects", "puts", "users", "masked", "debconf")}
        return {**seen, "units": units, "files": self.snapshot(times=False)}

    def every_point(self, stride=1, between=lambda: None, **more):
        self.go()  # in this process, so that every fork below finds its regular expressions compiled
        self.reset()
        self.assertEqual(self.fork(), 0)
        wanted = self.outcome()
        self.assertEqual(wanted["objects"], {"db": 1, "put user": 1})
        self.assertEqual(wanted["units"]["chrony.service"][2], self.machine.digest("/etc/chrony.conf"))
        self.assertEqual(wanted["units"]["epmd.socket"][0], "active")
        self.assertEqual(wanted["masked"], [])
        at = 1 - stride
        while True:
            at += stride
            self.reset()
            if self.fork(at) != "killed":
                break
            between()
            self.assertEqual(self.fork(**more), 0, "point %d" % at)
            self.assertEqual(self.outcome(), wanted, "point %d" % at)
            self.assertEqual(os.listdir(self.path(node.PENDING)), [], "point %d" % at)
        return at

    def test_resumes_after_a_kill_at_every_point(self):
        points = self.every_point()
        self.assertGreater(points, 150)

    def test_resumes_after_a_kill_at_every_point_with_its_state_deleted(self):
        self.every_point(stride=5, delete_state=True)

    def test_resumes_after_a_power_cut_at_every_point(self):
        self.every_point(stride=5, between=self.power_cycle)

    def power_cycle(self):
        """What a new boot makes of the machine: /run is empty, enabled units were started with the files that lay there."""
        shutil.rmtree(self.path("/run"), ignore_errors=True)
        with self.machine.change() as sim:
            sim.update(boot="boot-2", masked=[])
            for name, entry in sim["units"].items():
                entry.update(active="inactive", invocation="")
                if entry.get("enabled") == "enabled" or name == "dbus.service":
                    self.machine.begin(sim, name)

    def test_a_second_run_changes_nothing_even_with_its_state_deleted(self):
        self.assertEqual(self.fork(), 0)
        before, units = self.snapshot(), self.machine.sim["units"]
        objects = self.machine.sim["objects"]
        for delete_state in (False, True):
            self.forget_calls()
            self.assertEqual(self.fork(delete_state=delete_state), 0)
            self.assertEqual(self.snapshot(), before)
            self.assertEqual(self.machine.sim["units"], units)
            self.assertEqual(self.machine.sim["objects"], objects)
            changing = ("apt-get", "apt-cache", "debconf", "dpkg ", " start", "restart", " enable ", "daemon-reload", "mask", "make")
            for word in changing:
                self.assertEqual(self.calls(word), [])

    def test_killed_twice_in_a_row(self):
        self.assertEqual(self.fork(), 0)
        wanted = self.outcome()
        for first in range(5, 200, 13):
            self.reset()
            if self.fork(first) != "killed":
                break
            self.fork(40)
            self.assertEqual(self.fork(), 0, "point %d" % first)
            self.assertEqual(self.outcome(), wanted, "point %d" % first)


if __name__ == "__main__":
    unittest.main()

"""Archives and packages: locks, mirrors that are away, wrong names, services held back, what a kill leaves."""
import os
import signal
import subprocess
import sys
import unittest

from world import World, node, package, probing, program, run_probe

HOLDER = """
import fcntl, sys, time
end = open(sys.argv[1], "r+")
fcntl.lockf(end, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


class AptWorld(World):
    def setUp(self):
        super().setUp()
        with self.machine.change() as sim:
            sim["available"] = {"chrony": {"units": ["chrony.service"]}, "etcd": {}, "keyring": {}}
            sim["units"]["apt-daily.service"] = {"enabled": "static"}

    def sow_packages(self, *names, **more):
        return self.sow(program(packages=map(package, names), checks=[probing("check", "ok", run_probe("true"))], **more))

    def hold(self, path):
        """Another process takes a lock; returns a function that makes it let go."""
        self.put(path, "")
        holder = subprocess.Popen([sys.executable, "-c", HOLDER, self.path(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(holder.stdout.readline(), b"held\n")

        def free():
            if holder.poll() is None:
                holder.communicate()

        self.addCleanup(free)
        return free


class Packages(AptWorld):
    def test_each_lock_held_for_120_s(self):
        for number, path in enumerate(node.LOCKS):
            with self.subTest(path):
                name = "package%d" % number
                with self.machine.change() as sim:
                    sim["available"][name] = {}
                self.machine.clock = 0.0
                self.machine.at(120, self.hold(path))
                value = self.sow_packages(name)
                value["generation"] = number
                self.sow(value)
                self.forget_calls()
                self.ready()
                retries = [event["message"] for event in self.events("step-retry")]
                self.assertTrue(any(text.startswith("waits for %s, held by" % path) for text in retries), retries)
                self.assertTrue(any("the locks are free after 12" in text for text in retries), retries)
                self.assertGreaterEqual(self.machine.clock, 120)
                self.assertEqual(len(self.calls(" install " + name)), 1, "apt did not have to find out itself")

    def test_names_who_holds_a_lock(self):
        self.machine.at(10, self.hold(node.LOCKS[0]))
        self.sow_packages("chrony")
        self.ready()
        if os.path.exists("/proc/locks"):
            self.assertRegex(self.events("step-retry")[0]["message"], r"held by \S+ \(pid \d+\)")

    def test_says_when_it_waits_for_another_lock(self):
        for number, path in enumerate(node.LOCKS):
            self.machine.at(10 * (number + 1), self.hold(path))
        self.sow_packages("chrony")
        self.ready()
        said = [event["message"].split(",")[0] for event in self.events("step-retry")]
        self.assertEqual(said, ["waits for " + path for path in node.LOCKS] + ["the locks are free after 40 s"])

    def test_a_lock_that_is_never_freed_fails_by_name(self):
        self.hold(node.LOCKS[2])
        self.sow_packages("chrony")
        self.failed("step=apt-update", "waited 1800 s for /var/lib/apt/lists/lock")
        self.assertEqual(self.calls("apt-get"), [])

    def test_missing_lock_files_are_free(self):
        self.sow_packages("chrony")
        self.ready()

    def test_a_mirror_away_for_60_s(self):
        with self.machine.change() as sim:
            sim["mirror_back"] = 60
        self.sow_packages("chrony")
        self.ready()
        self.assertGreaterEqual(self.machine.clock, 60)
        self.assertLess(self.machine.clock, 120)
        self.assertIn("Could not connect to mirror:80", self.events("step-retry")[0]["message"])

    def test_a_mirror_that_goes_away_between_update_and_install(self):
        def install(argv, env, stdin):
            if self.machine.clock < 60 and "-s" not in argv and "install" in argv:
                return 100, "E: Failed to fetch http://m/x.deb  Connection failed [IP: 10.0.0.9 80]\nE: Unable to fetch some archives\n"
            return self.machine.do_apt_get(argv, env, stdin)

        self.machine.answers["apt-get"] = install
        self.sow_packages("chrony")
        self.ready()
        self.assertGreaterEqual(self.machine.clock, 60)

    def test_a_mirror_that_stays_away_fails_in_the_end(self):
        with self.machine.change() as sim:
            sim["mirror_back"] = 1e9
        self.sow_packages("chrony")
        self.failed("step=apt-update", "Could not connect to mirror:80")
        self.assertGreater(self.machine.clock, 1700)
        self.assertLess(self.machine.clock, 2000)

    def test_update_that_ends_with_0_and_a_warning_is_a_failure(self):
        def update(argv, env, stdin):
            if "update" in argv and self.machine.clock < 30:
                return 0, "W: Failed to fetch http://m/InRelease  Temporary failure resolving 'm'\nW: Some index files failed to download.\n"
            return self.machine.do_apt_get(argv, env, stdin)

        self.machine.answers["apt-get"] = update
        self.sow_packages("chrony")
        self.ready()
        self.assertGreaterEqual(self.machine.clock, 30)

    def test_a_hung_apt_is_tried_again(self):
        hung = [True]

        def update(argv, env, stdin):
            if hung and "update" in argv:
                hung.clear()
                return None, ""
            return self.machine.do_apt_get(argv, env, stdin)

        self.machine.answers["apt-get"] = update
        self.sow_packages("chrony")
        self.ready()
        self.assertIn("did not end in time", self.events("step-retry")[0]["message"])

    def test_hopeless_errors_get_three_tries(self):
        texts = {
            "E: Failed to fetch http://m/Release  404  Not Found\n": "404",
            "W: GPG error: http://m InRelease: NO_PUBKEY 1234\nE: The repository 'http://m' is not signed.\n": "not signed",
            "E: Release file for http://m is not valid yet (invalid for another 3h).\n": "is the clock right?",
            "E: You don't have enough free space in /var/cache/apt/archives/.\n": "disk full",
        }
        for number, (text, words) in enumerate(texts.items()):
            with self.subTest(text):
                self.machine.answers["apt-get"] = lambda argv, env, stdin, text=text: (100, text)
                self.sow(dict(self.sow_packages("chrony"), generation=number))
                self.forget_calls()
                self.failed("step=apt-update", words)
                self.assertEqual(len(self.calls("update")), 3)

    def test_a_broken_maintainer_script_names_its_source(self):
        def install(argv, env, stdin):
            if "install" in argv and "-s" not in argv:
                return 100, "dpkg: error processing package etcd (--configure):\n postinst exit 1\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n"
            return self.machine.do_apt_get(argv, env, stdin)

        self.machine.answers["apt-get"] = install
        self.sow_packages("chrony", "etcd")
        out = self.failed("step=apt-install", "from=c.yaml:etcd")
        self.assertIn("  |  postinst exit 1", out)
        self.assertTrue(self.calls("dpkg --configure -a"))
        self.assertFalse(os.path.lexists(self.path(node.POLICY)), "nothing holds services after a failure")
        self.assertEqual(self.machine.sim["masked"], [])

    def test_every_wrong_name_is_reported_with_its_source(self):
        self.sow_packages("chrony", "etcdd", "keystne")
        self.failed("step=apt-names", "from=c.yaml:etcdd", "2 package names", "etcdd (c.yaml:etcdd): E: Unable to locate package etcdd",
                    "keystne (c.yaml:keystne)")
        self.assertEqual(self.machine.sim["installed"], {"bash": "5"}, "nothing was installed")

    def test_a_virtual_name_is_asked_of_apt_itself(self):
        with self.machine.change() as sim:
            sim["available"]["mail-transport-agent"] = {}
        self.machine.answers["apt-cache"] = lambda argv, env, stdin: (0, "mail-transport-agent:\n  Installed: (none)\n  Candidate: (none)\n")
        self.sow_packages("mail-transport-agent")
        self.ready()
        self.assertTrue(self.calls("-s install mail-transport-agent"))

    def test_nothing_is_fetched_when_all_is_installed(self):
        with self.machine.change() as sim:
            sim["installed"].update(chrony="1", postfix="3")
            sim["provides"] = {"postfix": "mail-transport-agent, foo (= 1)"}
            sim["mirror_back"] = 1e9
        self.sow_packages("chrony", "mail-transport-agent", "foo", "chrony:amd64", "chrony=1", min_free_disk=1 << 60)
        self.ready()
        self.assertEqual(self.calls("apt"), [])
        self.assertEqual(self.calls("mask"), [])

    def test_another_version_is_missing(self):
        with self.machine.change() as sim:
            sim["installed"]["chrony"] = "1"
            sim["available"]["chrony=2"] = {}
        self.sow_packages("chrony=2")
        self.ready()
        self.assertTrue(self.calls("install chrony=2"))

    def test_debconf_is_answered_before_packages(self):
        answer = {"package": "p", "question": "p/q", "type": "password", "value": "secret-word", "from": "c.yaml:1"}
        self.sow_packages("chrony", debconf=[answer])
        self.ready()
        self.assertEqual(self.machine.sim["debconf"], "p p/q password secret-word\n")
        calls = [call.split()[0] for call in self.calls("")]
        self.assertLess(calls.index("debconf-set-selections"), len(calls) - calls[::-1].index("apt-get"))

    def test_debconf_that_is_locked_is_tried_again(self):
        def locked(argv, env, stdin):
            if self.machine.clock < 30:
                return 1, "debconf: DbDriver config: config.dat is locked by another process\n"
            return self.machine.do_debconf_set_selections(argv, env, stdin)

        self.machine.answers["debconf-set-selections"] = locked
        answer = {"package": "p", "question": "p/q", "type": "string", "value": "v", "from": "c.yaml:1"}
        self.sow_packages("chrony", debconf=[answer])
        self.ready()
        self.assertEqual(self.machine.sim["debconf"], "p p/q string v\n")

    def test_how_apt_is_called(self):
        seen = {}

        def spy(argv, env, stdin):
            seen.update(env, stdin=stdin, argv=" ".join(argv))
            return self.machine.do_apt_get(argv, env, stdin)

        self.machine.answers["apt-get"] = spy
        self.sow_packages("chrony")
        self.ready()
        self.assertEqual(seen["DEBIAN_FRONTEND"], "noninteractive")
        self.assertEqual(seen["NEEDRESTART_SUSPEND"], "1")
        self.assertNotIn("NEEDRESTART_MODE", seen)
        self.assertEqual(seen["SEEDSMITH_HOLD"], "1")
        self.assertIsNone(seen["stdin"])
        for word in ("--force-confdef", "--force-confold", "--no-install-recommends"):
            self.assertIn(word, seen["argv"])

    def compiling(self, *calls):
        """An apt-get whose packages call py3compile as maintainer scripts do."""

        def apt_get(argv, env, stdin):
            if "install" in argv and "-s" not in argv and "-f" not in argv:
                path = next(word for word in argv if word.startswith("DPkg::Path=")).partition("=")[2]
                self.assertTrue(path.endswith(node.SEARCH))
                for call in calls:
                    subprocess.run(["sh", "-c", "py3compile " + call], env={"PATH": path + ":/bin"}, check=True)
            return self.machine.do_apt_get(argv, env, stdin)

        self.machine.answers["apt-get"] = apt_get
        for name in ("python3", "py3compile"):
            self.machine.answers[name] = lambda *_: (0, "")
        self.sow_packages("chrony")

    def test_python_modules_are_compiled_once_for_all_packages(self):
        self.compiling("-p python3-a:amd64", "-p python3-b", "-p python3-c /usr/share/c -V 3.11-")
        out = self.ready()
        self.assertEqual(self.calls("compileall"), ["python3 -m compileall -q -j 0 /usr/lib/python3/dist-packages"])
        self.assertEqual(self.calls("py3compile"), ["py3compile -p python3-c /usr/share/c -V 3.11-"])
        self.assertEqual(os.listdir(self.path(node.LATER)) + os.listdir(self.path(node.PENDING)), [])
        self.assertIn("7/13 ok Python modules of new packages, compiled once for all: of 3 packages", out)
        self.ready()
        self.assertEqual(len(self.calls("compileall")), 1)

    def test_packages_without_python_modules_compile_nothing(self):
        self.compiling()
        self.ready()
        self.assertEqual(self.calls("compileall"), [])

    def test_modules_that_a_killed_run_left_uncompiled_are_compiled(self):
        self.compiling("-p python3-a")
        self.machine.answers["python3"] = lambda *_: os.kill(os.getpid(), signal.SIGTERM) or (0, "")
        self.assertEqual(self.go()[0], 1)
        self.machine.answers["python3"] = lambda *_: (0, "")
        self.ready()
        self.assertEqual(len(self.calls("compileall")), 2)

    def test_modules_that_cannot_be_compiled_stop_nothing(self):
        self.compiling("-p python3-a")
        self.machine.answers["python3"] = lambda *_: (1, "SyntaxError")
        self.assertIn("again Python modules of new packages, compiled once for all: python3 exit 1: SyntaxError", self.ready())

    def test_keys_come_before_archives(self):
        places = []
        real = self.machine.write

        def spy(path, *args, **more):
            if path.startswith("/etc/apt") or path.startswith("/usr/share"):
                places.append((path, "keyring" in self.machine.sim["installed"]))
            return real(path, *args, **more)

        self.machine.write = spy
        key = node.BASE + "/seed/files/9-key.gpg"
        self.put(key, "key")
        archive = {"name": "a", "path": "/etc/apt/sources.list.d/a.sources", "text": "Types: deb\n", "from": "c.yaml:a"}
        self.sow_packages("chrony", archives=[
            dict(archive, keyring={"package": "keyring"}),
            dict(archive, path="/etc/apt/sources.list.d/b.sources", keyring={"path": "/usr/share/keyrings/b.gpg", "stage": key}),
        ])
        self.ready()
        self.assertEqual(places, [
            ("/usr/share/keyrings/b.gpg", False),
            ("/etc/apt/sources.list.d/a.sources", True),
            ("/etc/apt/sources.list.d/b.sources", True),
        ])
        self.assertEqual(self.machine.sim["updates"], 2)

    def test_background_updates_are_masked_for_the_run_only(self):
        with self.machine.change() as sim:
            sim["units"]["apt-daily.timer"] = {"enabled": "enabled", "active": "active"}
            sim["units"]["apt-daily-upgrade.timer"] = {"enabled": "disabled", "active": "inactive"}

        def install(argv, env, stdin):
            self.assertEqual(self.machine.sim["masked"], ["apt-daily.timer", "apt-daily-upgrade.timer", "apt-daily.service"])
            self.assertEqual(self.machine.sim["units"]["apt-daily.timer"]["active"], "inactive")
            return self.machine.do_apt_get(argv, env, stdin)

        self.machine.answers["apt-get"] = install
        self.sow_packages("chrony")
        self.ready()
        self.assertEqual(self.machine.sim["masked"], [])
        units = self.machine.sim["units"]
        self.assertEqual(units["apt-daily.timer"]["active"], "active")
        self.assertEqual(units["apt-daily-upgrade.timer"]["active"], "inactive")
        self.assertEqual(self.calls("stop"), ["systemctl stop apt-daily.timer"], "stopping a service would kill its dpkg")

    def test_masks_of_a_killed_run_are_taken_back(self):
        self.put(node.RUN + "/masked", '{"apt-daily.timer": "start", "apt-daily.service": null}')
        with self.machine.change() as sim:
            sim.update(masked=["apt-daily.timer", "apt-daily.service"])
        self.sow_packages()
        self.ready()
        self.assertEqual(self.machine.sim["masked"], [])
        self.assertEqual(self.machine.sim["units"]["apt-daily.timer"]["active"], "active")

    def test_disk_space_is_asked_for_before_packages(self):
        self.machine.room = 100 << 20
        self.sow_packages("chrony", min_free_disk=2 << 30)
        self.failed("step=preflight", "disk space: 100 MiB free on /, 2048 MiB needed")
        self.assertEqual(self.calls("apt"), [])


class Resume(AptWorld):
    def test_begins_with_repairs(self):
        with self.machine.change() as sim:
            sim["half"] = ["etcd"]
        self.sow_packages("chrony", "etcd")
        self.ready()
        calls = [call for call in self.calls("") if call.startswith(("dpkg ", "apt-get"))]
        self.assertTrue(calls[0].startswith("dpkg --configure -a"))
        self.assertIn(" -f install", calls[1])
        self.assertIn("update", calls[2])

    def test_a_journal_of_dpkg_is_a_reason_too(self):
        self.put("/var/lib/dpkg/updates/0001", "x")
        self.sow_packages()
        self.ready()
        self.assertTrue(self.calls("dpkg --configure -a"))

    def test_a_transaction_that_was_begun_is_a_reason_too(self):
        self.put(node.PENDING + "/apt", "")  # torn
        self.sow_packages()
        self.ready()
        self.assertTrue(self.calls("dpkg --configure -a"))
        self.assertFalse(os.path.exists(self.path(node.PENDING + "/apt")))


class Hold(AptWorld):
    def policy(self, *args, **env):
        return subprocess.run(["sh", self.path(node.POLICY), *args], env={"PATH": os.environ["PATH"], **env}, check=False).returncode

    def during(self, look):
        """Looks at the policy while packages are installed."""

        def install(argv, env, stdin):
            if "install" in argv and "-s" not in argv:
                look()
            return self.machine.do_apt_get(argv, env, stdin)

        self.machine.answers["apt-get"] = install
        self.sow_packages("chrony")
        self.ready()

    def test_refuses_only_its_own_callers_and_records(self):
        def look():
            self.assertEqual(self.policy("epmd.service", "start"), 0)
            self.assertEqual(self.policy("epmd.service", "start", SEEDSMITH_HOLD="1"), 101)
            self.assertEqual(self.policy("--quiet", "dbus", "reload", SEEDSMITH_HOLD="1"), 101)
            self.assertEqual(self.policy("old.service", "stop", SEEDSMITH_HOLD="1"), 0)
            self.assertEqual(self.policy("--list", "x", SEEDSMITH_HOLD="1"), 0)
            self.assertEqual(self.read(node.REFUSED), "epmd.service start\ndbus reload\n")

        self.during(look)
        self.assertFalse(os.path.lexists(self.path(node.POLICY)))

    def test_an_existing_policy_still_rules_the_others_and_is_put_back(self):
        self.put(node.POLICY, "#!/bin/sh\n[ $1 = bad ] && exit 101\nexit 0\n", 0o750)
        before = os.stat(self.path(node.POLICY))

        def look():
            self.assertEqual(self.policy("bad", "start"), 101)
            self.assertEqual(self.policy("good", "start"), 0)
            self.assertEqual(self.policy("good", "start", SEEDSMITH_HOLD="1"), 101)

        self.during(look)
        after = os.stat(self.path(node.POLICY))
        self.assertEqual((before.st_ino, before.st_mode, before.st_mtime_ns), (after.st_ino, after.st_mode, after.st_mtime_ns))
        self.assertEqual(os.listdir(self.path("/usr/sbin")), ["policy-rc.d"])

    def test_a_leftover_is_removed(self):
        for saved in (None, "#!/bin/sh\nexit 7\n"):
            self.put(node.POLICY, node.HOLD % {"mark": node.MARK, "saved": "/x", "refused": "/y"}, 0o755)
            if saved:
                self.put(node.POLICY + ".seedsmith-saved", saved, 0o755)
            self.sow_packages()
            self.ready()
            self.assertEqual(os.path.exists(self.path(node.POLICY)), bool(saved))
            self.assertFalse(os.path.exists(self.path(node.POLICY + ".seedsmith-saved")))

    def test_somebody_elses_policy_stays(self):
        self.put(node.POLICY, "#!/bin/sh\nexit 101\n", 0o755)
        self.sow_packages()
        self.ready()
        self.assertEqual(self.read(node.POLICY), "#!/bin/sh\nexit 101\n")


if __name__ == "__main__":
    unittest.main()

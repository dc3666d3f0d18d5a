"""A run as a whole: guards, retries, waits, files, the verdict, what is remembered and what is not printed."""
import fcntl
import json
import os
import signal
import unittest

from world import CONF, World, file, node, package, probing, program, run_probe, step, unit

OK = [probing("check", "ok", run_probe("true"))]


class Steps(World):
    def test_a_guard_that_holds_keeps_the_step_from_running(self):
        with self.machine.change() as sim:
            sim["objects"]["db"] = 1
        self.sow(program([step("s", "make", "db", unless=run_probe("has", "db"))]))
        self.ready()
        self.assertEqual(self.calls("make"), [])
        self.assertEqual(self.events("step-skip")[-1]["step"], "c/s")

    def test_a_guard_that_does_not_hold_runs_the_step_once(self):
        self.sow(program([step("s", "make", "db", unless=run_probe("has", "db"))]))
        self.ready()
        self.ready()
        self.assertEqual(self.machine.sim["objects"], {"db": 1})

    def test_the_guard_must_hold_afterwards(self):
        self.sow(program([step("s", "true", unless=run_probe("has", "db"))]))
        self.failed("step=c/s", "from=c.yaml:s", "it ran, but what it is for does not hold", "has exit 1: no db")

    def test_the_guard_may_take_a_moment_to_hold(self):
        def later(argv, env, stdin):
            self.machine.at(self.machine.clock + 10, lambda: self.machine.do_make(["make", "db"], {}, None))
            return 0, ""

        self.machine.answers["eventually"] = later
        self.sow(program([step("s", "eventually", unless=run_probe("has", "db"))]))
        self.ready()

    def test_a_command_that_fails_after_doing_its_work_counts(self):
        def lossy(argv, env, stdin):
            self.machine.do_make(["make", "db"], {}, None)
            return 1, "connection lost\n"

        self.machine.answers["lossy"] = lossy
        self.sow(program([step("s", "lossy", unless=run_probe("has", "db"))]))
        self.ready()
        self.assertEqual(self.machine.sim["objects"], {"db": 1})
        self.assertIn("connection lost", self.events("step-retry")[0]["message"])

    def test_a_flaky_step_is_tried_three_times(self):
        tries = []

        def flaky(argv, env, stdin):
            tries.append(1)
            return (0, "") if len(tries) == 3 else (1, "503\n")

        self.machine.answers["flaky"] = flaky
        self.sow(program([step("s", "flaky", repeat_safe=True)]))
        self.ready()
        self.assertEqual(len(tries), 3)

    def test_a_step_that_fails_for_good(self):
        self.machine.answers["bad"] = lambda argv, env, stdin: (4, "".join("line %d\n" % number for number in range(40)))
        self.sow(program([step("s", "bad", repeat_safe=True, hint="look at the broker"), step("t", "make", "x", repeat_safe=True)]))
        out = self.failed("step=c/s", "from=c.yaml:s", "bad exit 4: line 39", "(hint: look at the broker)")
        self.assertEqual(len(self.calls("bad")), 3)
        self.assertEqual(self.calls("make"), [], "nothing goes on after a failure")
        shown = [line for line in out.splitlines() if line.startswith("  | ")]
        self.assertEqual(shown, ["  | line %d" % number for number in range(20, 40)])
        self.assertEqual([event["event"] for event in self.events()][-2:], ["step-fail", "failed"])
        self.assertEqual(self.events("failed")[0]["tail"].count("\n"), 19)

    def test_a_step_that_may_not_be_repeated_is_not(self):
        self.sow(program([step("s", "false")]))
        self.failed("step=c/s")
        self.assertEqual(len(self.calls("false")), 1)

    def test_a_step_past_its_time_is_not_tried_again(self):
        self.machine.answers["hang"] = lambda argv, env, stdin: (None, "working\n")
        self.sow(program([step("s", "hang", repeat_safe=True, within=30)]))
        self.failed("hang did not end in time: working, within 30 s")
        self.assertEqual(len(self.calls("hang")), 1)

    def test_a_guard_without_an_answer_is_asked_again_and_is_no_no(self):
        asked = []

        def guard(argv, env, stdin):
            asked.append(1)
            return (None, "") if len(asked) < 3 else (0, "")

        self.machine.answers["slow"] = guard
        self.sow(program([step("s", "make", "db", unless=run_probe("slow"))]))
        self.ready()
        self.assertEqual(self.calls("make"), [])

    def test_a_guard_that_never_answers_fails_the_step(self):
        self.machine.answers["slow"] = lambda argv, env, stdin: (None, "")
        self.sow(program([step("s", "make", "db", unless=run_probe("slow"))]))
        self.failed("its guard did not answer 3 times")
        self.assertEqual(self.calls("make"), [])

    def test_goes_on_from_where_it_failed(self):
        self.machine.answers["bad"] = lambda argv, env, stdin: (1, "no\n")
        self.sow(program([step("r", "put", "x", stdin="1", repeat_safe=True), step("s", "bad", repeat_safe=True)], OK))
        self.failed("step=c/s")
        self.assertEqual(self.machine.sim["objects"], {"put x": 1}, "what was done stays")
        del self.machine.answers["bad"]
        self.machine.answers["bad"] = lambda argv, env, stdin: (0, "")
        self.forget_calls()
        self.ready()
        self.assertEqual(self.calls("put"), [], "done before the failure")
        self.ready()
        self.assertEqual(len(self.calls("put")), 1, "a new run of a READY node asks again")
        self.assertEqual(self.machine.sim["objects"], {"put x": 1})

    def test_a_missing_command_is_named(self):
        self.sow(program([step("s", "nova-manage", "x", repeat_safe=True)]))
        self.failed("nova-manage exit 127: nova-manage: not found")


class Waits(World):
    def test_polls_until_it_holds(self):
        self.machine.at(90, lambda: self.machine.do_make(["make", "broker"], {}, None))
        self.sow(program([probing("wait", "w", run_probe("has", "broker"), within=300, **{"for": "con02"})]))
        out = self.ready()
        self.assertIn("waits for con02: w", out)
        self.assertEqual(len(self.events("step-retry")), 1, "a wait says after a minute that it goes on")
        self.assertTrue(90 <= self.machine.clock < 95)

    def test_fails_past_its_time_with_the_last_reason(self):
        self.sow(program([probing("ready", "w", run_probe("has", "broker"), within=30)]))
        self.failed("step=c/w", "not within 30 s", "no broker")
        self.assertTrue(30 <= self.machine.clock < 33)

    def test_a_last_look_that_is_cut_off_does_not_hide_the_reason_of_the_look_before(self):
        def last_hangs(argv, env, stdin):
            return (None, "") if self.machine.clock >= 30 else (1, "connected\nnetwork n1 is not served\n")

        self.machine.answers["asks"] = last_hangs
        self.sow(program([probing("ready", "w", run_probe("asks"), within=30)]))
        out = self.failed(
            "step=c/w", "not within 30 s: asks exit 1: network n1 is not served; then asks did not end in time"
        )
        self.assertIn("  | connected", out)

    def test_a_probe_that_never_answers_says_so_once(self):
        self.machine.answers["asks"] = lambda argv, env, stdin: (None, "working\n")
        self.sow(program([probing("ready", "w", run_probe("asks"), within=30)]))
        self.assertEqual(self.failed("not within 30 s: asks did not end in time: working").count("; then"), 0)

    def test_a_hint_is_said(self):
        action = dict(probing("wait", "w", run_probe("false")), hint="is con02 on?")
        self.sow(program([action]))
        self.failed("(hint: is con02 on?)")


class Verdict(World):
    def test_every_check_runs_and_every_failure_is_listed(self):
        checks = [probing("check", name, run_probe(command)) for name, command in (("a", "false"), ("b", "true"), ("c", "false"))]
        self.sow(program(checks=checks))
        self.failed("step=c/a", "from=c.yaml:a", "2 of 4 checks failed", "a (c.yaml:a)", "c (c.yaml:c)")
        # Checks run side by side, so their events come in any order.
        self.assertEqual(sorted(event["step"] for event in self.events("check-fail")), ["c/a", "c/c"])
        self.assertEqual([event["step"] for event in self.events("check-ok")], ["c/b", "modes"])
        self.assertEqual(self.events("ready"), [])

    def test_n_reaches_m(self):
        self.sow(program([unit("a.service"), step("s", "true", repeat_safe=True)], OK))
        self.ready()
        numbers = [event["n"] for event in self.events("step-start")]
        self.assertEqual(numbers, list(range(1, self.events("step-start")[0]["m"] + 1)))

    def test_one_line_a_step(self):
        self.sow(program([unit("a.service")], OK))
        out = self.ready()
        self.assertEqual(len(out.splitlines()), self.events("step-start")[0]["m"] + 1)

    def test_readable_copies_are_tightened_or_fail_the_verdict(self):
        copy = "/var/lib/cloud/instances/i/user-data.txt"
        self.put(copy, "secret", 0o644)
        self.sow(program(checks=OK))
        self.ready()
        self.assertEqual(os.stat(self.path(copy)).st_mode & 0o777, 0o600)
        self.machine.later = []
        self.machine.answers["true"] = lambda argv, env, stdin: os.chmod(self.path(copy), 0o640) or (0, "")
        self.failed("step=modes", "readable by others: " + copy)

    def test_ready_needs_a_state_that_was_written(self):
        self.sow(program(checks=OK))
        self.machine.full = node.BASE + "/state"
        code, out = self.go()
        self.assertEqual(code, 1)
        self.assertNotIn("READY", out)
        self.assertEqual(self.go("needed")[0], 0)

    def test_a_bug_is_a_named_failure(self):
        self.sow(program([{"kind": "step", "id": "c/x", "name": "x", "from": "c.yaml:9"}]))
        out = self.failed("step=c/x", "from=c.yaml:9", "unexpected: KeyError")
        self.assertIn("  | KeyError", out)

    def test_a_signal_is_a_named_failure(self):
        def kill(argv, env, stdin):
            os.kill(os.getpid(), signal.SIGTERM)
            return 0, ""

        self.machine.answers["kill"] = kill
        self.sow(program([step("s", "kill", repeat_safe=True)]))
        self.failed("step=c/s", "from=c.yaml:s", "interrupted by SIGTERM")


class Preflight(World):
    def sow_names(self):
        self.sow(program(checks=OK, address="10.0.0.1", names=["con01", "con01.lab"]))

    def test_a_name_that_resolves_wrong(self):
        for found in (["127.0.1.1"], ["10.0.0.1", "127.0.1.1"], ["10.9.9.9"]):
            self.machine.resolve = lambda name, found=found: found
            self.sow_names()
            self.failed("step=preflight", "con01 resolves to " + found[0])

    def test_a_name_that_does_not_resolve(self):
        def unknown(name):
            raise OSError(2, "Name or service not known")

        self.machine.resolve = unknown
        self.sow_names()
        self.failed("con01 does not resolve: Name or service not known")

    def test_another_hostname(self):
        self.machine.hostname = lambda: "ubuntu"
        self.sow_names()
        self.failed("this machine calls itself ubuntu, the plan calls it con01")

    def test_an_address_that_comes_late(self):
        self.machine.has_address = lambda address: self.machine.clock > 40
        self.sow_names()
        self.ready()

    def test_an_address_that_never_comes(self):
        self.machine.has_address = lambda address: False
        self.sow_names()
        self.failed("address: no interface has 10.0.0.1")

    def clock(self, days):
        self.put("/etc/os-release", "")
        built = os.stat(self.path("/etc/os-release")).st_mtime
        self.machine.now = lambda: built + days * 86400
        self.sow_names()

    def test_a_clock_before_the_build(self):
        self.clock(-400)
        self.failed("step=preflight", "clock: it says 20", "this system was built on", "no time service has set it")
        self.assertGreaterEqual(self.machine.clock, 300)
        self.assertEqual(self.calls("apt"), [])

    def test_a_clock_that_gets_set(self):
        self.clock(-400)
        built = self.machine.now() + 401 * 86400
        self.machine.at(20, lambda: setattr(self.machine, "now", lambda: built))
        self.ready()

    def test_a_clock_that_a_time_service_vouches_for(self):
        self.clock(-400)
        with self.machine.change() as sim:
            sim["ntp"] = "yes"
        self.ready()

    def test_a_clock_within_a_day_is_fine(self):
        self.clock(-0.9)
        self.ready()

    def test_a_missing_staged_file(self):
        self.sow(program(files=[dict(file("/etc/x"), stage=node.BASE + "/seed/files/0-x")]))
        self.failed("step=preflight", "from=c.yaml:/etc/x", "the seed is incomplete")


class FilesAndFolders(World):
    def test_owner_mode_and_parents(self):
        self.sow(program(files=[file("/etc/a/b/c.conf", "x\n", mode="0640")],
                         directories=[{"path": "/srv/d/e", "owner": "root:root", "mode": "2750", "from": "c.yaml:d"}]))
        self.ready()
        modes = [oct(os.stat(self.path(path)).st_mode & 0o7777) for path in ("/etc/a/b/c.conf", "/etc/a/b", "/srv/d/e", "/srv/d")]
        self.assertEqual(modes, ["0o640", "0o755", "0o2750", "0o755"])

    def test_the_same_content_keeps_its_mtime_and_gets_its_mode(self):
        self.put("/etc/x", "x\n", 0o600)
        os.utime(self.path("/etc/x"), (5, 5))
        self.sow(program(files=[file("/etc/x", "x\n", restarts=["x.service"])]))
        self.ready()
        info = os.stat(self.path("/etc/x"))
        self.assertEqual((info.st_mtime, info.st_mode & 0o777), (5, 0o644))
        self.assertEqual(self.calls("restart"), [])

    def test_once_writes_only_where_absent(self):
        self.put("/etc/key", "mine\n")
        self.sow(program(files=[file("/etc/key", "theirs\n", once=True), file("/etc/other", "new\n", once=True)]))
        self.ready()
        self.assertEqual((self.read("/etc/key"), self.read("/etc/other")), ("mine\n", "new\n"))

    def test_edits_a_packaged_file(self):
        self.put(CONF, "# note\n[token]\nprovider = uuid\n", 0o640)
        edits = {"format": "oslo", "changes": [{"section": "token", "key": "provider", "value": "fernet"}]}
        self.sow(program(files=[dict(file(CONF, mode="0640"), edits=edits)]))
        self.ready()
        self.assertEqual(self.read(CONF), "# note\n[token]\nprovider = fernet\n")

    def test_edits_through_a_link(self):
        self.put("/etc/real.conf", "[a]\n")
        os.symlink("real.conf", self.path("/etc/link.conf"))
        edits = {"format": "ini", "changes": [{"section": "a", "key": "x", "value": "1"}]}
        self.sow(program(files=[dict(file("/etc/link.conf"), edits=edits)]))
        self.ready()
        self.assertTrue(os.path.islink(self.path("/etc/link.conf")))
        self.assertEqual(self.read("/etc/real.conf"), "[a]\nx = 1\n")

    def test_a_whole_file_replaces_a_link_and_not_its_target(self):
        self.put("/etc/real.conf", "other\n")
        os.symlink("real.conf", self.path("/etc/link.conf"))
        self.sow(program(files=[file("/etc/link.conf", "mine\n")]))
        self.ready()
        self.assertEqual((self.read("/etc/link.conf"), self.read("/etc/real.conf")), ("mine\n", "other\n"))

    def test_failures_name_file_and_source(self):
        edits = {"format": "ini", "changes": []}
        cases = [
            (file("/etc/x", "x", owner="nova:nova"), "owner nova:nova"),
            (dict(file("/etc/x"), edits=edits), "not there to be edited"),
            (file("/etc/dir", "x"), "is a directory"),
        ]
        os.makedirs(self.path("/etc/dir"))
        for entry, words in cases:
            self.sow(program(files=[entry]))
            self.failed("step=files", "from=c.yaml:" + entry["path"], entry["path"], words)
        self.put("/srv/f", "")
        self.sow(program(directories=[{"path": "/srv/f", "owner": "root:root", "mode": "0755", "from": "c.yaml:d"}]))
        self.failed("step=directories", "from=c.yaml:d", "is there, and is no directory")

    def test_disk_full(self):
        self.put("/etc/x", "old\n")
        self.sow(program(files=[file("/etc/x", "new\n", restarts=["x.service"])], actions=[unit("x.service")]))
        self.machine.full = "/etc"
        self.failed("step=files", "from=c.yaml:/etc/x", "disk full")
        self.assertEqual(self.read("/etc/x"), "old\n")
        self.assertEqual(sorted(os.listdir(self.path("/etc"))), ["x"])
        self.machine.full = None
        self.ready()
        self.assertEqual(self.read("/etc/x"), "new\n")

    def test_a_write_that_fails_midway_leaves_no_half_file(self):
        self.put("/etc/x", "old\n")

        def full(end):
            raise OSError(28, os.strerror(28))

        os.fsync, kept = full, os.fsync
        try:
            with self.assertRaises(OSError):
                self.machine.write("/etc/x", b"new\n")
        finally:
            os.fsync = kept
        self.assertEqual(self.read("/etc/x"), "old\n")
        self.assertEqual(os.listdir(self.path("/etc")), ["x"])


class Reboot(World):
    def setUp(self):
        super().setUp()
        with self.machine.change() as sim:
            sim["available"] = {"linux": {}}
        self.sow(program(packages=[package("linux")], files=[file("/etc/x", "x\n", restarts=["x.service"])],
                         actions=[unit("x.service")], checks=OK))
        self.put("/run/reboot-required", "")

    def power_cycle(self, argv, env, stdin):
        if argv[1] == "reboot":
            with self.machine.change() as sim:
                sim["boot"] += "+"
            os.kill(os.getpid(), signal.SIGTERM)
            return 0, ""
        return self.machine.do_systemctl(argv, env, stdin)

    def test_happens_once_after_packages_and_files(self):
        self.machine.answers["systemctl"] = self.power_cycle
        code, out = self.go()
        self.assertEqual(code, 1)
        self.assertNotIn("FAILED", out)
        self.assertEqual(self.read("/etc/x"), "x\n")
        self.assertEqual(self.calls("start"), [], "nothing starts before the reboot")
        self.assertEqual(len(self.events("reboot")), 1)
        self.assertIn("INTERRUPTED at reboot", self.go("status")[1])
        self.ready()  # although the file that asks for it is still there
        self.assertEqual(len(self.events("reboot")), 1)
        self.assertEqual(len(self.calls("systemctl reboot")), 1)

    def test_a_reboot_lost_to_a_kill_is_asked_for_again(self):
        self.put(node.PENDING + "/apt", json.dumps({"boot": "boot-1", "reboot": "boot-1"}))
        self.machine.answers["systemctl"] = self.power_cycle
        self.go()
        self.assertEqual(len(self.calls("systemctl reboot")), 1)

    def test_a_reboot_that_does_not_come_fails_by_name(self):
        self.failed("step=reboot", "did not happen")

    def test_a_finished_node_is_not_rebooted_for_somebody_elses_upgrade(self):
        os.unlink(self.path("/run/reboot-required"))
        self.ready()
        self.put("/run/reboot-required", "")
        self.ready()
        self.assertEqual(self.calls("systemctl reboot"), [])


class Memory(World):
    def test_a_new_generation_runs_again(self):
        self.sow(program([step("r", "put", "x", stdin="1", repeat_safe=True)], OK))
        self.ready()
        self.assertEqual(self.go("needed")[0], 10)
        self.sow(program([step("r", "put", "x", stdin="1", repeat_safe=True)], OK, generation=2))
        self.assertEqual(self.go("needed")[0], 0)
        self.assertEqual(self.go("status")[0], 1)
        self.ready()
        self.assertEqual(len(self.calls("put")), 2)

    def test_another_program_of_the_same_generation_counts_as_new(self):
        self.sow(program(checks=OK))
        self.ready()
        self.sow(program([step("r", "true", repeat_safe=True)], OK))
        self.assertEqual(self.go("needed")[0], 0)

    def test_torn_state_and_events_are_lived_with(self):
        self.sow(program(checks=OK))
        self.ready()
        self.put(node.STATE, '{"status": "rea')
        with open(self.path(node.EVENTS), "a", encoding="utf-8") as events:
            events.write('{"time": "2026-01-01T00:00:00Z", "event": "step-st')
        self.assertEqual(self.go("status")[0], 1)
        self.assertEqual(self.go("log")[0], 0)
        self.ready()
        lines = self.read(node.EVENTS).splitlines()
        torn = [line for line in lines if line.endswith("step-st")]
        self.assertEqual(len(torn), 1, "the torn line stands alone")

    def test_a_state_of_the_wrong_shape_is_lived_with(self):
        for text in ("[]", "null", "", "\0\0"):
            self.sow(program(checks=OK))
            self.put(node.STATE, text)
            self.ready()

    def test_a_log_that_cannot_be_written_stops_nothing(self):
        self.sow(program(checks=OK))
        os.makedirs(self.path(node.EVENTS))
        code, out = self.go()
        self.assertEqual(code, 0)
        self.assertIn("the event log cannot be written", out)

    def test_events_are_synced(self):
        synced = []
        os.fsync = synced.append
        self.sow(program(checks=OK))
        self.ready()
        self.assertGreater(len(synced), len(self.events()))

    def test_what_events_carry(self):
        self.sow(program([step("s", "true", repeat_safe=True)], OK))
        self.ready()
        self.assertEqual([event["event"] for event in self.events()][0], "run-start")
        self.assertEqual([event["event"] for event in self.events()][-1], "ready")
        event = next(event for event in self.events("step-ok") if event["step"] == "c/s")
        self.assertEqual({key: event[key] for key in ("node", "generation", "step", "name", "from")},
                         {"node": "con01", "generation": 1, "step": "c/s", "name": "s", "from": "c.yaml:s"})
        self.assertRegex(event["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertIsInstance(event["seconds"], float)


class Secrets(World):
    def test_nothing_secret_is_printed_or_logged(self):
        secrets = ["hunter2hunter2", "pa55 with blanks", "s3cr3t-in-sql", "url-pass-99", "from-a-file-77", "deb-conf-42"]

        def leak(argv, env, stdin):
            return 1, "\n".join([*env.values(), stdin or "", "near 's3cr3t-in-sql' at line 1", "url-pass-99", "from-a-file-77", "deb-conf-42"])

        self.machine.answers["leak"] = leak
        probe = dict(run_probe("leak"), env={"PROBE": "pa55 with blanks"})
        env = {"PASSWORD": "hunter2hunter2", "URL": "mysql+pymysql://u:url-pass-99@con01/db", "SHORT": "abc"}
        self.sow(program(
            [step("s", "leak", env=env, stdin="CREATE USER 'k' IDENTIFIED BY 's3cr3t-in-sql';\nFLUSH PRIVILEGES;\n", repeat_safe=True)],
            [probing("check", "c", probe)],
            files=[file("/etc/a.conf", "[x]\nmemcache_secret_key = from-a-file-77\n")],
            debconf=[{"package": "p", "question": "q", "type": "password", "value": "deb-conf-42", "from": "c.yaml:1"}],
            secrets=secrets,
        ))
        out = self.failed("step=c/s")
        out += self.go("check")[1] + self.go("log")[1] + self.go("status", "--json")[1]
        out += self.read(node.EVENTS) + self.read(node.STATE)
        for secret in secrets:
            self.assertNotIn(secret, out)
        self.assertIn("***", out)
        self.assertIn("at line 1", out, "the rest stays readable")

    def test_what_is_no_secret_stays(self):
        env = {"OS_USERNAME": "keystone", "P": "keystone-pw-1", "SAY": "the service is 'missing'"}
        self.machine.answers["leak"] = lambda argv, env, stdin: (1, "\n".join([*env.values(), stdin]))
        self.sow(program([step("s", "leak", env=env, stdin="'service' is missing", repeat_safe=True)],
                         secrets=["keystone-pw-1"]))
        out = self.failed("step=c/s")
        self.assertIn("the service is 'missing'", out)
        self.assertIn("'service' is missing", out)
        self.assertNotIn("keystone-pw-1", out)

    def test_a_secret_of_several_lines(self):
        redact = node.Redactor(["line one of it\n line two of it\n"])
        self.assertEqual(redact("a line two of it b"), "a *** b")
        self.assertEqual(redact("line one of it\n line two of it"), "***")

    def test_the_longest_goes_first(self):
        self.assertEqual(node.Redactor(["secret", "secret-longer"])("secret-longer"), "***")

    def test_short_ones_stay(self):
        self.assertEqual(node.Redactor(["word", "", " "])("a word or two"), "a word or two")


class Commands(World):
    def test_status(self):
        self.sow(program([step("s", "sometimes", repeat_safe=True)], OK))
        self.assertEqual(self.go("status"), (1, "this node NOT READY: this program has not been run yet\n"))
        self.machine.answers["sometimes"] = lambda argv, env, stdin: (1, "no luck\n")
        self.failed("c/s")
        code, out = self.go("status")
        self.assertEqual(code, 1)
        self.assertEqual(out.splitlines(), ["SEEDSMITH con01 FAILED step=c/s from=c.yaml:s sometimes exit 1: no luck", "  | no luck"])
        report = json.loads(self.go("status", "--json")[1])
        self.assertEqual({key: report[key] for key in ("state", "step", "source", "generation")},
                         {"state": "failed", "step": "c/s", "source": "c.yaml:s", "generation": 1})
        self.machine.answers["sometimes"] = lambda argv, env, stdin: (0, "")
        self.ready()
        self.assertEqual(self.go("status"), (0, "SEEDSMITH con01 READY\n"))

    def test_status_and_a_second_run_while_one_is_at_work(self):
        seen = []

        def look(argv, env, stdin):
            child = os.fork()  # flock is shared with forked children, so another open file must try
            if child == 0:
                status, out = self.go("status")
                again, words = self.go("run")
                checked = self.go("check")[0]
                good = status == 2 and "RUNNING 12/14 s " in out and "seedsmith-node run" in out
                good = good and again == 3 and "another one is at work here: pid" in words and checked == 3
                os._exit(0 if good else 1)
            seen.append(os.waitpid(child, 0)[1])
            return 0, ""

        self.machine.answers["look"] = look
        self.sow(program([step("s", "look", repeat_safe=True)], OK))
        self.ready()
        self.assertEqual(seen, [0])

    def test_check_waits_for_a_run_that_has_said_its_verdict(self):
        self.sow(program([], OK))
        self.ready()
        end = os.open(self.path(node.RUN + "/lock"), os.O_RDWR)
        fcntl.flock(end, fcntl.LOCK_EX)
        slept, sleep = [], self.machine.sleep

        def later(seconds):
            slept.append(seconds)
            if len(slept) == 50:
                fcntl.flock(end, fcntl.LOCK_UN)
            sleep(seconds)

        self.machine.sleep = later
        self.assertEqual(self.go("check")[0], 0)
        self.assertGreaterEqual(len(slept), 50)
        fcntl.flock(end, fcntl.LOCK_EX)
        code, out = self.go("check")
        self.assertEqual(code, 3, "one that does not end is not waited for for ever")
        os.close(end)

    def test_check_runs_checks_alone_and_does_not_take_ready_back(self):
        self.sow(program([step("s", "make", "x", repeat_safe=True)], [probing("check", "c", run_probe("has", "x"))]))
        self.ready()
        with self.machine.change() as sim:
            sim["objects"] = {}
        self.forget_calls()
        code, out = self.go("check")
        self.assertEqual(code, 1)
        self.assertIn("1 of 2 checks failed: c (c.yaml:c)", out)
        self.assertEqual(self.calls("make"), [])
        self.assertIn("not within 2 s", self.go("check", "--within", "2")[1])
        self.assertEqual(self.go("needed")[0], 10)
        code, out = self.go("status")
        self.assertEqual(code, 1)
        self.assertIn("was READY", out)
        with self.machine.change() as sim:
            sim["objects"] = {"x": 1}
        self.assertEqual(self.go("check")[0], 0)
        self.assertEqual(self.go("status")[0], 0)

    def test_log(self):
        self.sow(program(checks=OK))
        self.ready()
        lines = self.go("log", "-n", "2")[1].splitlines()
        self.assertEqual(len(lines), 2)
        self.assertTrue(lines[-1].endswith("ready"))
        self.assertEqual(len(self.go("log", "--json")[1].splitlines()), len(self.events()))

    def test_no_program_and_bad_programs(self):
        for text in (None, "{", "[]", '{"format": 2}', '{"format": 1}'):
            if text is not None:
                self.put(node.PROGRAM, text)
            code, out = self.go()
            self.assertEqual(code, 1, text)
            self.assertIn("FAILED step=start", out)
            self.assertEqual(self.go("needed")[0], 0)
            self.assertEqual(self.go("status")[0], 1)

    def test_scrub(self):
        copies = {
            "/var/lib/cloud/instances/i/user-data.txt": True,
            "/var/lib/cloud/instances/i/user-data.txt.i": True,
            "/var/lib/cloud/instances/i/cloud-config.txt": True,
            "/run/cloud-init/instance-data-sensitive.json": True,
            "/var/log/installer/autoinstall-user-data": True,
            "/var/lib/cloud/instances/i/obj.pkl": False,
            "/var/lib/cloud/seed/nocloud/user-data": False,
            "/etc/cloud/cloud.cfg.d/99-installer.cfg": False,
        }
        for path in copies:
            self.put(path, "secret", 0o644)
        value = self.sow(program(files=[file("/etc/x", "x\n")], checks=OK))
        stage = value["files"][0]["stage"]
        code, out = self.go("scrub")
        self.assertEqual((code, out), (1, "not READY: everything is still needed\n"))
        self.ready()
        code, out = self.go("scrub")
        self.assertEqual(code, 0, out)
        for path, goes in {**copies, stage: True}.items():
            self.assertEqual(os.path.exists(self.path(path)), not goes, path)
            self.assertIn("%s %s" % ("removed" if goes else "kept   ", path), out)
            if not goes:
                self.assertEqual(os.stat(self.path(path)).st_mode & 0o777, 0o600)
        self.put("/etc/cloud/cloud-init.disabled", "")
        self.go("scrub")
        self.assertFalse(any(os.path.exists(self.path(path)) for path in copies))
        self.scrubbed(stage)

    def scrubbed(self, stage):
        before = self.snapshot()
        self.ready()
        self.assertEqual(self.snapshot(), before, "a scrubbed node can be run and does not change")
        self.put("/etc/x", "edited\n")
        self.failed("step=files", "differs from the seed, whose copy was scrubbed")
        self.assertEqual(self.read("/etc/x"), "edited\n")


if __name__ == "__main__":
    unittest.main()

"""Starting services: only when there is a reason, never doubling, and knowing that they run."""
import os
import unittest

from world import World, file, node, package, probing, program, run_probe, step, unit

CONF = "/etc/chrony.conf"


class Units(World):
    def setUp(self):
        super().setUp()
        self.set(enabled="disabled", active="inactive", config=CONF)

    def set(self, name="chrony.service", **more):
        with self.machine.change() as sim:
            sim["units"].setdefault(name, {}).update(more)

    def state(self, name="chrony.service"):
        return self.machine.sim["units"][name]

    def sow_unit(self, text=None, **more):
        files = [file(CONF, text, restarts=["chrony.service"])] if text is not None else []
        self.sow(program(files=files, actions=[unit("chrony.service", **more)], checks=[probing("check", "ok", run_probe("true"))]))

    def say(self):
        return next(event for event in reversed(self.events()) if event.get("step") == "c/chrony.service" and event["event"] != "step-start")

    def test_enables_and_starts(self):
        self.sow_unit()
        self.ready()
        self.assertEqual((self.state()["enabled"], self.state()["active"]), ("enabled", "active"))
        self.assertTrue(self.calls("start --no-block chrony.service"))
        self.assertTrue(self.calls("reset-failed chrony.service"))

    def test_an_active_and_enabled_unit_is_left_alone(self):
        self.set(enabled="enabled", active="active", invocation=7)
        self.sow_unit(validate=run_probe("false"))
        self.ready()
        self.assertEqual(self.state()["invocation"], 7)
        self.assertEqual(self.calls(" start ") + self.calls("restart") + self.calls(" enable "), [])
        self.assertEqual(self.say()["event"], "step-skip")

    def test_an_active_but_disabled_unit_is_only_enabled(self):
        self.set(active="active", invocation=7)
        self.sow_unit()
        self.ready()
        self.assertEqual((self.state()["invocation"], self.state()["enabled"]), (7, "enabled"))

    def test_static_units_are_not_enabled(self):
        for word in ("static", "alias", "generated"):
            self.set(enabled=word, active="inactive")
            self.sow_unit()
            self.ready()
            self.assertEqual(self.calls(" enable "), [])

    def test_a_masked_unit_fails_by_name(self):
        self.set(enabled="masked")
        self.sow_unit()
        self.failed("step=c/chrony.service", "from=c.yaml:chrony.service", "systemctl unmask chrony.service")

    def test_a_changed_file_restarts_once(self):
        self.set(enabled="enabled", active="active", invocation=7)
        self.put(CONF, "old\n")
        self.sow_unit("new\n")
        self.ready()
        self.assertEqual(self.state()["read"], self.machine.digest(CONF))
        self.forget_calls()
        self.ready()
        self.assertEqual(self.calls("restart"), [])

    def test_a_restart_lost_between_file_and_restart_is_made_up_for(self):
        self.set(enabled="enabled", active="active", invocation=7)
        self.put(CONF, "old\n")
        self.sow_unit("new\n", validate=run_probe("false"))
        self.failed("step=c/chrony.service")
        self.assertEqual(self.read(CONF), "new\n")
        self.assertEqual(self.state()["invocation"], 7, "a refused configuration leaves the old process alone")
        self.sow_unit("new\n")  # another digest, so nothing of the state counts
        self.ready()
        self.assertEqual(self.state()["read"], self.machine.digest(CONF))
        self.assertFalse(os.path.exists(self.path(node.PENDING + "/restart@chrony.service")))

    def test_a_boot_in_between_has_restarted_it(self):
        self.set(enabled="enabled", active="active", invocation=7)
        self.sow_unit("new\n", validate=run_probe("false"))
        self.failed("step=c/chrony.service")
        with self.machine.change() as sim:
            sim["boot"] = "boot-2"
        self.ready()
        self.assertEqual(self.state()["invocation"], 7)
        self.assertEqual(os.listdir(self.path(node.PENDING)), [])

    def test_a_boot_that_starts_it_before_its_turn_does_not_count_as_its_turn(self):
        self.set(enabled="enabled")
        early = [step("schema", "false"), unit("chrony.service")]
        self.sow(program(actions=early))
        self.failed("step=c/schema")
        self.assertEqual(os.listdir(self.path(node.PENDING)), ["start@chrony.service"])
        with self.machine.change() as sim:
            sim["boot"] = "boot-2"
            self.machine.begin(sim, "chrony.service")
        for active in ("activating", "active"):
            # one that still comes up when the run looks, too
            self.set(active=active)
            self.failed("step=c/schema")
        self.sow(program(actions=[step("schema", "true"), unit("chrony.service")]))
        self.ready()
        self.assertEqual(self.state()["invocation"], 2)
        self.assertIn("a boot had started it before its turn", self.say()["message"])
        self.assertEqual(os.listdir(self.path(node.PENDING)), [])
        self.forget_calls()
        self.ready()
        self.assertEqual(self.calls("restart"), [])

    def test_what_had_its_turn_is_not_restarted_after_a_boot(self):
        self.set(enabled="enabled")
        self.sow(program(actions=[unit("chrony.service"), step("later", "false")]))
        self.failed("step=c/later")
        with self.machine.change() as sim:
            sim["boot"] = "boot-2"
            self.machine.begin(sim, "chrony.service")
        self.failed("step=c/later")
        self.assertEqual((self.state()["invocation"], self.calls("restart")), (2, []))

    def test_a_refused_configuration_says_why(self):
        self.machine.answers["check-conf"] = lambda argv, env, stdin: (7, "[ERROR] unknown variable 'x=1'\n")
        self.sow_unit("new\n", validate=run_probe("check-conf"))
        out = self.failed("chrony.service is left as it is", "check-conf exit 7: [ERROR] unknown variable")
        self.assertIn("  | [ERROR] unknown variable", out)
        self.assertEqual(self.calls(" start "), [])

    def test_validates_before_every_start(self):
        self.set(refuse=1)
        seen = []
        self.machine.answers["check-conf"] = lambda argv, env, stdin: (seen.append(1) or 0, "")
        self.sow_unit(validate=run_probe("check-conf"))
        self.ready()
        self.assertEqual(len(seen), 2)

    def test_a_service_that_refuses_for_good(self):
        self.set(refuse=99)
        self.sow_unit()
        out = self.failed("step=c/chrony.service", "from=c.yaml:chrony.service", "chrony.service failed (exit-code)")
        self.assertIn("  | journal of chrony.service", out)
        self.assertEqual(len(self.calls("start --no-block")), 3)
        self.assertEqual(len(self.events("step-retry")), 2)

    def test_a_service_that_refuses_at_first(self):
        self.set(refuse=2)
        self.sow_unit()
        self.ready()

    def test_a_service_that_is_activating_is_waited_for_not_started(self):
        self.set(enabled="enabled", active="activating", invocation=7, type="notify")
        self.machine.at(12, lambda: self.set(active="active"))
        self.sow_unit()
        self.ready()
        self.assertGreaterEqual(self.machine.clock, 12)
        self.assertEqual(self.state()["invocation"], 7)

    def test_a_service_that_never_gets_ready(self):
        self.set(enabled="enabled", active="activating", invocation=7, type="notify")
        self.sow_unit(within=20)
        self.failed("chrony.service is activating", "not active in time")
        self.assertLess(self.machine.clock, 30)

    def test_a_queued_job_is_waited_for(self):
        self.set(job="12")
        self.machine.at(9, lambda: self.set(job=""))
        self.sow_unit()
        self.ready()
        self.assertGreaterEqual(self.machine.clock, 9)

    def test_a_restart_is_not_taken_for_the_old_process(self):
        self.set(enabled="enabled", active="active", invocation=7, type="notify")
        self.put(CONF, "old\n")
        ignored = []

        def lazy(argv, env, stdin):
            if argv[1] == "restart":
                ignored.append(argv)
                self.machine.at(self.machine.clock + 5, lambda: self.machine.do_systemctl(argv, env, stdin))
                return 0, ""
            return self.machine.do_systemctl(argv, env, stdin)

        self.machine.answers["systemctl"] = lazy
        self.sow_unit("new\n")
        self.ready()
        self.assertEqual(len(ignored), 1)
        self.assertEqual(self.state()["read"], self.machine.digest(CONF))

    def test_a_simple_service_must_stay_up(self):
        self.set(type="simple")
        self.machine.at(0.5, lambda: self.set(active="failed", result="exit-code"))
        self.sow_unit()
        self.ready()
        self.assertEqual(len(self.calls("start --no-block")), 2)

    def test_a_oneshot_counts_by_its_result(self):
        self.set(type="oneshot")
        self.sow_unit()
        self.ready()
        before = self.state()["invocation"]
        self.ready()
        self.assertEqual(self.state()["invocation"], before, "it has run in this boot")

    def test_a_oneshot_that_fails(self):
        self.set(type="oneshot", refuse=9)
        self.sow_unit()
        self.failed("failed (exit-code)")

    def test_an_unmet_condition_is_named(self):
        self.set(condition="no")
        self.sow_unit()
        self.failed("its conditions are not met")

    def test_systemctl_that_refuses(self):
        def refusing(argv, env, stdin):
            if argv[1] == "start":
                return 5, "Failed to start chrony.service: Unit chrony.service not found.\n"
            return self.machine.do_systemctl(argv, env, stdin)

        self.machine.answers["systemctl"] = refusing
        self.sow_unit()
        self.failed("Unit chrony.service not found")

    def test_drop_ins_reload_systemd_once(self):
        drop = "/etc/systemd/system/chrony.service.d/50-seedsmith.conf"
        value = program(files=[file(drop, "[Service]\n", restarts=["chrony.service"])], actions=[unit("chrony.service")])
        self.sow(value)
        self.ready()
        self.assertEqual(self.machine.sim["reloads"], 1)
        self.ready()
        self.assertEqual(self.machine.sim["reloads"], 1)

    def test_a_reload_lost_to_a_kill_is_made_up_for(self):
        self.put(node.PENDING + "/daemon-reload", "")
        self.sow_unit()
        self.ready()
        self.assertEqual(self.machine.sim["reloads"], 1)


class HeldServices(World):
    def refuse(self, *lines, **units):
        with self.machine.change() as sim:
            sim["units"].update({name.replace("_", ".", 1): entry for name, entry in units.items()})
        self.put(node.REFUSED, "".join(line + "\n" for line in lines))
        self.sow(program(actions=[unit("mine.service")]))

    def test_reloads_dbus_first(self):
        self.refuse("a.service start", "dbus reload", dbus_service={"active": "active", "enabled": "static"},
                    a_service={"enabled": "enabled"})
        self.ready()
        calls = [call for call in self.calls("systemctl") if "is-" not in call]
        self.assertEqual(calls[0], "systemctl reload dbus.service")
        self.assertEqual(len(self.calls("reload")), 1)
        self.assertFalse(os.path.exists(self.path(node.REFUSED)))

    def test_never_restarts_dbus(self):
        self.refuse("dbus restart", dbus_service={"active": "active", "enabled": "static"})
        self.ready()
        self.assertEqual(self.calls("dbus.service")[-1], "systemctl reload dbus.service")
        self.assertEqual(self.calls("restart dbus"), [])

    def test_starts_what_is_enabled_and_unclaimed(self):
        self.refuse("a.service start", "b.service start", "c start", "d.socket start", "mine.service start", "cloud-final.service restart",
                    a_service={"enabled": "enabled"}, b_service={"enabled": "disabled"}, c_service={"enabled": "enabled"},
                    d_socket={"enabled": "enabled"}, mine_service={"enabled": "enabled"})
        self.ready()
        said = next(event["message"] for event in self.events("step-ok") if event["step"] == "held-services")
        self.assertEqual(said, "start a.service, start c.service, start d.socket")
        units = self.machine.sim["units"]
        self.assertEqual([units[name].get("active") for name in ("a.service", "b.service", "c.service", "d.socket")],
                         ["active", None, "active", "active"])
        self.assertEqual(self.calls("cloud-final"), [])

    def test_restarts_what_was_upgraded_while_it_ran(self):
        self.refuse("a.service restart", "mine.service restart", a_service={"enabled": "enabled", "active": "active", "invocation": 1},
                    mine_service={"enabled": "enabled", "active": "active", "invocation": 2})
        with self.machine.change() as sim:
            sim["invocation"] = 2
        self.ready()
        units = self.machine.sim["units"]
        self.assertGreater(units["a.service"]["invocation"], 2)
        self.assertGreater(units["mine.service"]["invocation"], 2)

    def test_what_was_held_back_and_runs_was_started_by_a_boot(self):
        self.refuse("mine.service start", mine_service={"enabled": "enabled", "active": "active", "invocation": 0})
        self.ready()
        self.assertEqual(self.machine.sim["units"]["mine.service"]["invocation"], 1)
        self.assertEqual(os.listdir(self.path(node.PENDING)), [])

    def test_restarts_a_unit_that_no_action_brings_up(self):
        self.sow(program(files=[file("/etc/x", "1\n", restarts=["x.service"])]))
        with self.machine.change() as sim:
            sim["units"]["x.service"] = {"active": "active", "invocation": 0, "enabled": "enabled"}
        self.ready()
        self.assertEqual(self.machine.sim["units"]["x.service"]["invocation"], 1)
        self.assertEqual(os.listdir(self.path(node.PENDING)), [])


if __name__ == "__main__":
    unittest.main()

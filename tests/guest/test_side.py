"""Blocks and checks side by side: what may overlap does, what must not does not, and one that fails ends the others."""
import contextlib
import os
import subprocess
import sys
import threading
import time
import unittest

from world import HERE, World, block, node, probing, program, run_probe, step, unit

OK = [probing("check", "ok", run_probe("true"))]
LINUX = sys.platform == "linux"


class Side(World):
    def setUp(self):
        super().setUp()
        self.barrier = threading.Barrier(2)
        self.gate = threading.Event()
        self.machine.answers["meet"] = lambda *_: (self.barrier.wait(10), (0, ""))[1]
        self.machine.answers["held"] = lambda *_: (0 if self.gate.wait(10) else 1, "")

    def sow_blocks(self, *blocks, checks=()):
        self.sow(program(blocks=list(blocks), checks=[*checks, *OK]))

    def until(self, test):
        deadline = time.monotonic() + 20
        while not test() and time.monotonic() < deadline:
            time.sleep(0.01)

    def running(self, name):
        return any(thread.name == name for thread in threading.enumerate())

    def order(self):
        return [event["step"] for event in self.events("step-ok") if event["step"].startswith("c/")]

    def test_what_comes_after_nothing_overlaps(self):
        self.sow_blocks(block("a", step("a", "meet", repeat_safe=True)), block("b", step("b", "meet", repeat_safe=True)))
        self.ready()

    def test_a_block_waits_for_all_that_it_comes_after(self):
        def last(argv, env, stdin):
            return (0 if {"c/a", "c/b"} <= set(self.order()) else 1), ""

        self.machine.answers["last"] = last
        self.sow_blocks(
            block("a", step("a", "meet", repeat_safe=True)),
            block("b", step("b", "meet", repeat_safe=True), step("b2", "true", repeat_safe=True)),
            block("c", step("c", "last", repeat_safe=True), after=["a", "b"]),
        )
        self.ready()
        self.assertEqual(self.order()[-1], "c/c")

    def test_steps_keep_their_place_whenever_they_run(self):
        self.machine.answers["late"] = lambda *_: (self.until(self.order), (0, ""))[1]
        self.sow_blocks(block("a", step("a", "late", repeat_safe=True)), block("b", step("b", "true", repeat_safe=True)))
        self.ready()
        places = {event["step"]: event["n"] for event in self.events("step-ok") if "n" in event}
        self.assertEqual(self.order(), ["c/b", "c/a"])
        self.assertEqual((places["c/a"], places["c/b"]), (12, 13))

    def test_blocks_that_do_not_say_so_come_one_after_the_other(self):
        blocks = [block("a", step("a", "true", repeat_safe=True)), block("b", step("b", "true", repeat_safe=True))]
        for entry in blocks:
            del entry["after"]
        self.sow_blocks(*blocks)
        self.ready()
        self.assertEqual(self.order(), ["c/a", "c/b"])

    def test_a_failure_gives_up_what_waits_and_begins_nothing_new(self):
        self.machine.answers["waits"] = lambda *_: (self.gate.set(), (1, ""))[1]
        self.machine.answers["fails"] = lambda *_: (self.gate.wait(10), (1, "planted"))[1]
        self.sow_blocks(
            block("a", step("a", "fails", repeat_safe=False)),
            block("b", probing("wait", "w", run_probe("waits"), within=7200), step("b", "make", "b", repeat_safe=True)),
            block("c", step("c", "make", "c", repeat_safe=True), after=["b"]),
        )
        # The clock goes on only while somebody sleeps, and must not get the waiting one to its end.
        self.machine.sleep = lambda seconds: time.sleep(0.01)
        self.failed("step=c/a", "from=c.yaml:a", "planted")
        self.assertEqual([event["step"] for event in self.events("step-stop")], ["c/w"])
        self.assertEqual(self.calls("make"), [])

    def test_commands_under_way_are_seen_to_their_end(self):
        def slow(argv, env, stdin):
            self.gate.set()
            self.until(lambda: not self.running("a"))
            return self.machine.do_make(["make", "slow"], {}, None)

        self.machine.answers["slow"] = slow
        self.machine.answers["fails"] = lambda *_: (self.gate.wait(10), (1, "planted"))[1]
        self.sow_blocks(
            block("a", step("a", "fails", repeat_safe=False)),
            block("b", step("b", "slow", repeat_safe=False), step("b2", "make", "b2", repeat_safe=True)),
        )
        self.failed("step=c/a")
        self.assertEqual(self.machine.sim["objects"], {"slow": 1})
        self.assertEqual(self.order(), ["c/b"])

    def test_the_first_failure_is_the_verdict_and_the_other_is_told(self):
        self.machine.answers["first"] = lambda *_: (self.barrier.wait(10), (1, "first words"))[1]

        def second(argv, env, stdin):
            self.barrier.wait(10)
            self.until(lambda: not self.running("a"))
            return 1, "second words"

        self.machine.answers["second"] = second
        self.sow_blocks(block("a", step("a", "first", repeat_safe=False)), block("b", step("b", "second", repeat_safe=False)))
        out = self.failed("step=c/a", "from=c.yaml:a", "first words")
        self.assertIn("13/15 FAIL b: second exit 1: second words", out)
        self.assertEqual({event["step"]: event["from"] for event in self.events("step-fail")}, {"c/a": "c.yaml:a", "c/b": "c.yaml:b"})

    def test_a_bug_in_a_thread_is_a_named_failure(self):
        self.sow_blocks(
            block("a", {"kind": "step", "id": "c/x", "name": "x", "from": "c.yaml:9"}),
            block("b", step("b", "true", repeat_safe=True)),
        )
        self.failed("step=c/x", "from=c.yaml:9", "unexpected: KeyError")

    def test_blocks_in_a_circle_are_a_named_failure(self):
        self.sow_blocks(
            block("a", step("a", "true", repeat_safe=True), after=["b"]),
            block("b", step("b", "true", repeat_safe=True), after=["a"]),
        )
        self.failed("blocks come after each other: a, b")

    def test_one_unit_in_two_blocks_is_started_once(self):
        with self.machine.change() as sim:
            sim["units"]["apache2.service"] = {"enabled": "enabled"}
        self.sow_blocks(block("a", unit("apache2.service")), block("b", unit("apache2.service")))
        self.ready()
        self.assertEqual(len(self.calls("start --no-block apache2.service")), 1)

    def test_what_was_done_side_by_side_is_all_remembered(self):
        blocks = [block("b%d" % n, step("s%d" % n, "put", "x%d" % n, stdin="1", repeat_safe=True)) for n in range(8)]
        self.sow_blocks(*blocks, block("z", step("z", "false", repeat_safe=False), after=[entry["id"] for entry in blocks]))
        self.failed("step=c/z")
        self.assertEqual(len(self.calls("put")), 8)
        self.failed("step=c/z")
        self.assertEqual(len(self.calls("put")), 8)

    def test_commands_of_steps_do_not_crowd_each_other(self):
        now, most, guard = [0], [0], threading.Lock()

        def busy(argv, env, stdin):
            with guard:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.02)
            with guard:
                now[0] -= 1
            return 0, ""

        self.machine.answers["busy"] = busy
        self.sow_blocks(*[block("b%d" % n, step("s%d" % n, "busy", repeat_safe=True)) for n in range(12)])
        self.ready()
        self.assertLessEqual(most[0], max(2, os.cpu_count()))
        self.assertGreater(most[0], 1)

    def test_status_names_all_that_is_under_way(self):
        seen = []

        def look(argv, env, stdin):
            self.barrier.wait(10)
            if argv[1] == "a":
                seen.append(node.under_way(node.read_events(self.machine)))
            self.barrier.wait(10)
            return 0, ""

        self.machine.answers["look"] = look
        self.sow_blocks(block("a", step("a", "look", "a", repeat_safe=True)), block("b", step("b", "look", "b", repeat_safe=True)))
        self.ready()
        self.assertEqual(sorted(event["name"] for event in seen[0]), ["a", "b"])

    def test_checks_overlap_and_all_failures_are_told_in_their_order(self):
        self.machine.answers["meets"] = lambda argv, *_: (self.barrier.wait(10), (int(argv[1]), ""))[1]
        checks = [probing("check", "c%d" % n, run_probe("meets", "1"), within=0) for n in range(2)]
        self.sow_blocks(block("a", step("a", "true", repeat_safe=True)), checks=checks)
        self.failed("2 of 4 checks failed: c0 (c.yaml:c0)", "; c1 (c.yaml:c1)", "step=c/c0")
        self.assertEqual([event["step"] for event in self.events("check-ok")], ["c/ok", "modes"])


class Signal(World):
    def test_a_signal_ends_every_command_under_way(self):
        marks = [os.path.join(self.folder, name) for name in "ab"]
        self.sow(program(blocks=[
            block("a", step("a", "sh", "-c", "sleep 60 & echo $! >%s; wait" % marks[0], repeat_safe=True)),
            block("b", step("b", "sh", "-c", "sleep 60 & echo $! >%s; wait" % marks[1], repeat_safe=True)),
        ], checks=OK))
        driver = os.path.join(self.folder, "driver.py")
        with open(driver, "w", encoding="utf-8") as text:
            text.write("import sys\nsys.path.insert(0, %r)\nfrom world import Fake, node\n" % HERE)
            text.write("machine = Fake(%r)\nmachine.real = True\nmachine.search = %r\n" % (self.folder, os.environ["PATH"]))
            text.write("sys.exit(node.main(['run'], machine))\n")
        runner = subprocess.Popen([sys.executable, driver], stdout=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while not all(os.path.exists(mark) and os.path.getsize(mark) for mark in marks):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        runner.terminate()
        out = runner.communicate(timeout=30)[0]
        self.assertEqual(runner.returncode, 1)
        self.assertRegex(out, rb"FAILED step=c/[ab] from=c.yaml:[ab] interrupted by SIGTERM")
        for mark in marks:
            with open(mark, encoding="ascii") as text:
                self.assertTrue(self.gone(int(text.read())))

    def gone(self, pid):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, IndexError):
                os.kill(pid, 0)
                if LINUX:
                    with open("/proc/%d/stat" % pid, encoding="ascii") as entry:
                        if entry.read().rsplit(")", 1)[1].split()[0] == "Z":
                            return True
                time.sleep(0.05)
                continue
            return True
        return False


if __name__ == "__main__":
    unittest.main()

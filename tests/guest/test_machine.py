"""What touches the real system: commands in their own sessions, probes over the network, durable writes, the hook.

Everything here runs real processes, so times are short and real.
"""
import ast
import contextlib
import glob
import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from world import GUEST, HERE, RUNNER, World, node, probing, program, run_probe, step

LINUX = sys.platform.startswith("linux")


class Base(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="seedsmith-guest-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        tuning = node.Tuning()
        tuning.grace = 0.3
        self.machine = node.Machine(self.folder, "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", tuning)
        self.machine.folder(node.RUN)

    def alive(self, pid):
        try:
            with open("/proc/%d/stat" % pid, encoding="ascii") as entry:
                return entry.read().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def gone(self, pid, within=3):
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if LINUX and not self.alive(pid):
                return True
            if not LINUX:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 0)
                    time.sleep(0.05)
                    continue
                return True
            time.sleep(0.05)
        return False


class Commands(Base):
    def test_output_and_exit_code(self):
        result = self.machine.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
        self.assertEqual((result.code, result.out), (3, "out\n"))
        self.assertEqual(sorted(result.tail.split()), ["err", "out"])
        self.assertRegex(result.why(), "^exit 3: (out|err)$")

    def test_stdin_is_fed_or_empty(self):
        big = "x" * 300000
        self.assertEqual(len(self.machine.run(["cat"], 10, stdin=big).out), 300000)
        self.assertEqual(self.machine.run(["cat"], 10).out, "")
        self.assertEqual(self.machine.run(["true"], 10, stdin=big).code, 0, "a command may not read it")

    def test_the_environment_is_built_not_inherited(self):
        os.environ["SEEDSMITH_TEST_LEAK"] = "1"
        self.addCleanup(os.environ.pop, "SEEDSMITH_TEST_LEAK")
        out = self.machine.run(["env"], env={"A": "b"}).out
        names = sorted(line.partition("=")[0] for line in out.splitlines() if not line.startswith(("_=", "SHLVL", "__CF")))
        self.assertEqual(names, ["A", "HOME", "LANG", "PATH", "PWD"] if "PWD" in names else ["A", "HOME", "LANG", "PATH"])
        self.assertIn("LANG=C.UTF-8", out)

    def test_a_user_brings_its_home(self):
        import pwd

        me = pwd.getpwuid(os.getuid())
        result = self.machine.run(["sh", "-c", "echo $HOME $USER"], user=me.pw_name)
        self.assertEqual(result.out, "%s %s\n" % (me.pw_dir, me.pw_name))
        self.assertEqual(self.machine.run(["true"], user="no-such-user").why(), "exit 126: user no-such-user does not exist")

    @unittest.skipUnless(os.getuid() == 0, "changing the user needs root")
    def test_another_user(self):
        result = self.machine.run(["sh", "-c", "id -un; id -G"], user="nobody")
        self.assertEqual(result.out.split()[0], "nobody")
        self.assertNotIn("0", result.out.split()[1:])

    def test_a_missing_command(self):
        self.assertEqual(self.machine.run(["no-such-command"]).code, 127)
        self.assertEqual(self.machine.run(["/"]).code, 126)

    def test_past_its_time_the_whole_group_is_killed(self):
        began = time.monotonic()
        script = "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.1; done' & wait; while :; do sleep 0.1; done"
        result = self.machine.run(["sh", "-c", script], 0.5)
        self.assertTrue(result.timed_out)
        self.assertLess(time.monotonic() - began, 5)
        self.assertTrue(self.gone(int(result.out.split()[0])))
        self.assertIn("did not end in time", result.why())

    def test_a_daemon_that_keeps_the_pipe_open_does_not_hold_the_step(self):
        began = time.monotonic()
        result = self.machine.run(["sh", "-c", "sleep 20 & echo $!"], 15)
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(result.code, 0)
        os.kill(int(result.out), signal.SIGKILL)

    def test_a_command_that_closes_its_output_is_still_waited_for(self):
        result = self.machine.run(["sh", "-c", "exec >&- 2>&-; sleep 0.3; exit 5"], 10)
        self.assertEqual(result.code, 5)

    def test_output_is_bounded_and_ends_with_the_end(self):
        result = self.machine.run([sys.executable, "-c", "print('x' * 6000000); print('end')"], 30)
        self.assertLessEqual(len(result.tail), 256 << 10)
        self.assertLessEqual(len(result.out), 4 << 20)
        self.assertTrue(result.tail.endswith("end\n"))

    def test_output_that_is_no_utf8(self):
        self.assertEqual(self.machine.run(["printf", "\\377"]).out, "\N{REPLACEMENT CHARACTER}")


@unittest.skipUnless(LINUX, "processes are looked up in /proc")
class Leftovers(Base):
    def test_what_a_killed_runner_left_running_is_ended(self):
        driver = os.path.join(self.folder, "driver.py")
        with open(driver, "w", encoding="utf-8") as text:
            text.write("import sys\nsys.path.insert(0, %r)\nfrom world import node\n" % HERE)
            text.write("machine = node.Machine(%r, %r)\nmachine.folder(node.RUN)\n" % (self.folder, os.environ["PATH"]))
            text.write("machine.run(['sh', '-c', 'sleep 60 & echo $! >%s/pid; wait'], 60)\n" % self.folder)
        runner = subprocess.Popen([sys.executable, driver])
        deadline = time.monotonic() + 30
        note = self.machine.path(node.RUN + "/child-*")
        while not all(found and os.path.getsize(found[0]) for found in map(glob.glob, (self.folder + "/pid", note))):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        with open(self.folder + "/pid", encoding="ascii") as file:
            pid = int(file.read())
        runner.kill()
        runner.wait()
        self.assertTrue(self.alive(pid))
        self.assertTrue(self.machine.end_leftover())
        self.assertTrue(self.gone(pid))
        self.assertFalse(self.machine.end_leftover())

    def test_a_number_that_somebody_else_has_now_is_left_alone(self):
        other = subprocess.Popen(["sleep", "60"], start_new_session=True)
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        with open(self.machine.path(node.RUN + "/child-1"), "w", encoding="ascii") as file:
            file.write("%d %d" % (other.pid, self.machine.started(other.pid) + 1))
        self.assertFalse(self.machine.end_leftover())
        self.assertTrue(self.alive(other.pid))

    def test_a_torn_note_is_nothing(self):
        for text in ("", "12", "x y"):
            with open(self.machine.path(node.RUN + "/child-1"), "w", encoding="ascii") as file:
                file.write(text)
            self.assertFalse(self.machine.end_leftover())


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/ok")
            self.end_headers()
        elif self.path == "/drip":
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b".")
                    self.wfile.flush()
                    time.sleep(0.1)
        else:
            self.send_response(int(self.path[1:]) if self.path[1:].isdigit() else 200)
            self.end_headers()
            self.wfile.write(b'{"health":"true"}')

    def log_message(self, *_):
        pass


class Probes(World):
    def setUp(self):
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.port = self.server.server_address[1]

    def probe(self, probe):
        return node.look(self.machine, probe).why

    def http(self, path, status="200", contains=None, timeout=5):
        url = "http://127.0.0.1:%d%s" % (self.port, path)
        return self.probe({"http": url, "status": status, "contains": contains, "timeout": timeout})

    def test_http(self):
        self.assertIsNone(self.http("/ok"))
        self.assertIsNone(self.http("/401", "2xx 3xx 401"))
        self.assertIsNone(self.http("/moved", "302"), "a redirect is an answer")
        self.assertIsNone(self.http("/ok", contains='"health":"true"'))
        self.assertIn("answers 503, not 200", self.http("/503"))
        self.assertIn("answers 302, not 2xx", self.http("/moved", "2xx"))
        self.assertIn("does not contain", self.http("/ok", contains="false"))

    def test_http_uses_no_proxy(self):
        os.environ["http_proxy"] = "http://127.0.0.1:1"
        self.addCleanup(os.environ.pop, "http_proxy")
        self.assertIsNone(self.http("/ok"))

    def test_http_that_drips_does_not_outlast_its_time(self):
        began = time.monotonic()
        self.assertIn("does not contain", self.http("/drip", contains="never", timeout=0.5))
        self.assertLess(time.monotonic() - began, 3)

    def test_http_refused_and_malformed(self):
        self.assertIn("refused", self.probe({"http": "http://127.0.0.1:1/", "status": "200", "contains": None, "timeout": 1}).lower())
        with socket.create_server(("127.0.0.1", 0)) as raw:
            def answer():
                end = raw.accept()[0]
                end.recv(1000)
                end.sendall(b"nonsense\r\n\r\n")
                end.close()

            threading.Thread(target=answer, daemon=True).start()
            url = "http://127.0.0.1:%d/" % raw.getsockname()[1]
            self.assertIn(url, self.probe({"http": url, "status": "200", "contains": None, "timeout": 2}))

    def test_tcp(self):
        self.assertIsNone(self.probe({"tcp": "127.0.0.1:%d" % self.port, "timeout": 2}))
        self.assertIn("127.0.0.1:1: ", self.probe({"tcp": "127.0.0.1:1", "timeout": 1}))

    def test_file(self):
        self.put("/etc/a", "hello\n")
        self.assertIsNone(self.probe({"file": "/etc/a", "contains": None, "timeout": 1}))
        self.assertIsNone(self.probe({"file": "/etc/a", "contains": "ell", "timeout": 1}))
        self.assertIn("does not contain", self.probe({"file": "/etc/a", "contains": "x", "timeout": 1}))
        self.assertIn("No such file", self.probe({"file": "/etc/b", "contains": None, "timeout": 1}))

    def test_unit(self):
        with self.machine.change() as sim:
            sim["units"]["a.service"] = {"active": "active"}
        self.assertIsNone(self.probe({"unit": "a.service", "timeout": 1}))
        self.assertEqual(self.probe({"unit": "b.service", "timeout": 1}), "b.service is inactive")

    def test_run(self):
        self.machine.real = True
        self.machine.search = os.environ["PATH"]
        self.machine.folder(node.RUN)
        self.assertIsNone(self.probe(dict(run_probe("sh", "-c", "exit 3"), exit=3)))
        self.assertIsNone(self.probe(dict(run_probe("echo", "it works"), prints="works")))
        self.assertIn("does not print 'fails'", self.probe(dict(run_probe("echo", "it works"), prints="fails")))
        self.assertIn("does not print", self.probe(dict(run_probe("sh", "-c", "echo x >&2"), prints="x")), "only stdout counts")
        self.assertIsNotNone(self.probe(dict(run_probe("sleep", "5"), timeout=0.2)))
        self.assertTrue(node.look(self.machine, dict(run_probe("sleep", "5"), timeout=0.2)).silent)


class Whole(World):
    """The shipped script as a process, killed for real while a real command runs."""

    def test_killed_in_a_step_and_started_again(self):
        marks = os.path.join(self.folder, "marks")
        script = "echo begun >>%s; [ -e %s.go ] || sleep 60; touch %s.done" % (marks, marks, marks)
        action = step("s", "sh", "-c", script, unless=run_probe("test", "-e", marks + ".done"))
        self.sow(program([action], [probing("check", "c", run_probe("test", "-e", marks + ".done"))]))
        driver = os.path.join(self.folder, "driver.py")
        with open(driver, "w", encoding="utf-8") as text:
            text.write("import sys\nsys.path.insert(0, %r)\nfrom world import Fake, node\n" % HERE)
            text.write("machine = Fake(%r)\nmachine.real = True\nmachine.search = %r\n" % (self.folder, os.environ["PATH"]))
            text.write("sys.exit(node.main(['run'], machine))\n")
        runner = subprocess.Popen([sys.executable, driver], stdout=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while not os.path.exists(marks):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        self.assertEqual(self.go("status")[0], 2)
        runner.kill()
        runner.communicate()
        code, out = self.go("status")
        self.assertEqual(code, 1)
        self.assertIn("INTERRUPTED at c/s", out)
        with open(marks + ".go", "w", encoding="ascii"):
            pass
        again = subprocess.run([sys.executable, driver], stdout=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(again.returncode, 0, again.stdout)
        self.assertTrue(again.stdout.endswith(b"SEEDSMITH con01 READY\n"))
        with open(marks, encoding="ascii") as text:
            self.assertEqual(text.read(), "begun\nbegun\n")

    def test_a_signal_ends_the_step_and_leaves_no_orphan(self):
        marks = os.path.join(self.folder, "pid")
        self.sow(program([step("s", "sh", "-c", "sleep 60 & echo $! >%s; wait" % marks, repeat_safe=True)]))
        driver = os.path.join(self.folder, "driver.py")
        with open(driver, "w", encoding="utf-8") as text:
            text.write("import sys\nsys.path.insert(0, %r)\nfrom world import Fake, node\n" % HERE)
            text.write("machine = Fake(%r)\nmachine.real = True\nmachine.search = %r\n" % (self.folder, os.environ["PATH"]))
            text.write("sys.exit(node.main(['run'], machine))\n")
        runner = subprocess.Popen([sys.executable, driver], stdout=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while not (os.path.exists(marks) and os.path.getsize(marks)):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        runner.terminate()
        out = runner.communicate(timeout=20)[0]
        self.assertEqual(runner.returncode, 1)
        self.assertIn(b"FAILED step=c/s from=c.yaml:s interrupted by SIGTERM", out)
        with open(marks, encoding="ascii") as text:
            pid = int(text.read())
        self.assertTrue(Base.gone(self, pid) if LINUX else True)

    alive = Base.alive


class Hook(unittest.TestCase):
    """50-seedsmith with a runner and a systemctl of the test's."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="seedsmith-hook-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        with open(os.path.join(GUEST, "50-seedsmith"), encoding="utf-8") as text:
            hook = text.read()
        self.assertIn("/usr/local/sbin/seedsmith-node", hook)
        hook = hook.replace("/usr/local/sbin/seedsmith-node", self.folder + "/seedsmith-node").replace("sleep 5", "sleep 0.05")
        self.script("hook", hook)

    def script(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as target:
            target.write(text)
        os.chmod(path, 0o755)

    def hook(self, needed, statuses, systemctl="exit 0"):
        """Runs the hook; the runner answers `needed`, then one status after another, the last for good."""
        self.script("systemctl", "#!/bin/sh\necho systemctl $* >>%s/calls\n%s\n" % (self.folder, systemctl))
        lines = ["#!/bin/sh", "cd %s" % self.folder, "echo node $* >>calls", "[ $1 = needed ] && exit %d" % needed]
        lines += ["n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) >n; set -- %s" % " ".join(map(str, statuses))]
        lines += ["while [ $n -gt 0 ] && [ $# -gt 1 ]; do shift; n=$((n - 1)); done", "exit $1"]
        self.script("seedsmith-node", "\n".join(lines) + "\n")
        env = {"PATH": self.folder + ":" + os.environ["PATH"]}
        code = subprocess.run(["sh", self.folder + "/hook"], env=env, timeout=30, check=False).returncode
        with open(self.folder + "/calls", encoding="utf-8") as calls:
            return code, calls.read().splitlines()

    def test_does_nothing_when_ready(self):
        self.assertEqual(self.hook(10, [0]), (0, ["node needed"]))

    def test_a_runner_that_crashes_is_not_taken_for_ready(self):
        self.assertEqual(self.hook(1, [1])[0], 1)
        self.assertEqual(self.hook(127, [127])[0], 127)

    def test_enables_starts_and_returns_the_verdict(self):
        code, calls = self.hook(0, [0])
        self.assertEqual(code, 0)
        self.assertEqual(calls[1:3], ["systemctl enable seedsmith-node.service", "systemctl start seedsmith-node.service"])

    def test_a_failed_run_is_an_error(self):
        self.assertEqual(self.hook(0, [1], "exit 1")[0], 1)

    def test_a_run_by_hand_is_waited_for(self):
        code, calls = self.hook(0, [2, 2, 2, 0], "exit 1")
        self.assertEqual(code, 0)
        self.assertEqual(calls.count("node status"), 5)

    def test_systemctl_saying_yes_does_not_make_it_ready(self):
        self.assertEqual(self.hook(0, [1], "exit 0")[0], 1)


class Shipped(unittest.TestCase):
    def source(self):
        with open(RUNNER, encoding="utf-8") as text:
            return text.read()

    def test_grammar_of_python_3_9(self):
        ast.parse(self.source(), feature_version=(3, 9))

    def test_only_the_standard_library(self):
        known = getattr(sys, "stdlib_module_names", None)
        if known is None:
            self.skipTest("python3 is older than 3.10 and does not list its library")
        for entry in ast.walk(ast.parse(self.source())):
            names = [alias.name for alias in entry.names] if isinstance(entry, ast.Import) else []
            names += [entry.module] if isinstance(entry, ast.ImportFrom) else []
            for name in names:
                self.assertIn(name.split(".")[0], known)

    def test_nothing_in_the_environment_changes_a_path(self):
        self.assertTrue(self.source().startswith("#!/usr/bin/python3 -I\n"))
        self.assertNotIn("environ", re.sub(r"environment", "", self.source()))

    def test_shell_grammar(self):
        hold = os.path.join(tempfile.mkdtemp(prefix="seedsmith-hold-"), "policy")
        self.addCleanup(shutil.rmtree, os.path.dirname(hold))
        with open(hold, "w", encoding="utf-8") as text:
            text.write(node.HOLD % {"mark": node.MARK, "saved": "/a", "refused": "/b"})
        for path in (os.path.join(GUEST, "50-seedsmith"), hold):
            self.assertEqual(subprocess.run(["sh", "-n", path], check=False).returncode, 0)

    def test_unit(self):
        with open(os.path.join(GUEST, "seedsmith-node.service"), encoding="utf-8") as text:
            lines = [line.strip() for line in text if line.strip() and not line.startswith("#")]
        for line in ("Type=oneshot", "TimeoutStartSec=infinity", "StandardOutput=journal+console", "WantedBy=multi-user.target",
                     "ExecCondition=/usr/local/sbin/seedsmith-node needed", "KillMode=mixed"):
            self.assertIn(line, lines)
        ordering = " ".join(line for line in lines if line.startswith(("After=", "Wants=", "Requires=", "WantedBy=")))
        for word in ("cloud-final", "cloud-config", "cloud-init"):
            self.assertNotIn(word, ordering)
        self.assertIn("network-online.target", ordering)


if __name__ == "__main__":
    unittest.main()

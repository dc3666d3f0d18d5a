"""What a run tells a server: all of its events, in order, and never at the cost of the run."""
import http.server
import json
import socket
import threading
import time
import urllib.error

from world import World, node, probing, program, run_probe, step

ACTIONS = [step("one", "true", repeat_safe=True)]
CHECKS = [probing("check", "ok", run_probe("true"))]


class Report(World):
    def serve(self, statuses=()):
        """A server on loopback that keeps what it is told; the first answers have these statuses."""
        told, statuses = [], list(statuses)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = statuses.pop(0) if statuses else 200
                if status == 200:
                    told.append(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.machine.tuning.report_pauses = (0.01,)
        self.machine.tuning.report_within = 60.0
        return "http://127.0.0.1:%d/report/con01" % server.server_port, told

    def events_of(self, told):
        return [event for body in told for event in body["events"]]

    def plain(self, events):
        return [{key: value for key, value in event.items() if key != "at"} for event in events]

    def test_every_event_is_told_once_and_in_order(self):
        url, told = self.serve()
        self.sow(program(ACTIONS, CHECKS, report=url))
        self.ready()
        # A server that has not answered yet is not waited for: the thread goes on here, where no unit ends it.
        deadline = time.monotonic() + 60
        while self.plain(self.events_of(told)) != self.events() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(self.plain(self.events_of(told)), self.events())
        self.assertEqual(self.events_of(told)[-1]["event"], "ready")
        self.assertEqual(len({body["log"] for body in told}), 1)
        places = [event["at"] for event in self.events_of(told)]
        self.assertEqual(places, sorted(set(places)))

    def told_later(self, statuses):
        """A reporter of a run that is over, and what the server was told."""
        self.sow(program(ACTIONS, CHECKS))
        self.ready()
        url, told = self.serve(statuses)
        return node.Reporter(self.machine, url), told

    def test_what_was_not_taken_is_told_again(self):
        reporter, told = self.told_later([503, 429, 403])
        for _ in range(3):
            with self.assertRaises(urllib.error.HTTPError):
                reporter.tell()
        while reporter.tell():
            pass
        self.assertEqual(self.plain(self.events_of(told)), self.events())

    def test_what_a_server_does_not_understand_is_passed_over(self):
        reporter, told = self.told_later([400])
        reporter.at_once = 5
        while reporter.tell():
            pass
        self.assertEqual(self.plain(self.events_of(told)), self.events()[5:])

    def test_a_server_that_refuses_changes_nothing(self):
        with socket.socket() as end:
            end.bind(("127.0.0.1", 0))
            url = "http://127.0.0.1:%d/report/con01" % end.getsockname()[1]
            self.sow(program(ACTIONS, CHECKS, report=url))
            self.ready()

    def test_a_server_that_never_answers_is_not_waited_for(self):
        with socket.socket() as end:
            end.bind(("127.0.0.1", 0))
            end.listen()
            self.machine.tuning.report_within = 3600.0
            self.sow(program(ACTIONS, CHECKS, report="http://127.0.0.1:%d/" % end.getsockname()[1]))
            self.ready()  # and does not hang here for an hour

    def test_an_address_that_is_none_changes_nothing(self):
        self.sow(program(ACTIONS, CHECKS, report="nonsense"))
        self.ready()

    def test_without_an_address_nobody_is_told(self):
        self.sow(program(ACTIONS, CHECKS))
        before = self.reporters()
        self.ready()
        self.assertEqual(self.reporters() - before, set())

    def reporters(self):
        return {thread for thread in threading.enumerate() if thread.name == "report"}

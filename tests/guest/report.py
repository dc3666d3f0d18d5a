"""Lists the runner's tests, or runs one module and reports each test, as JSON for guest.test.ts.

python3 report.py            -> {"test_apt": ["Packages.test_x", ...], ...}
python3 report.py MODULE     -> {"Packages.test_x": null | {"failed": text} | {"skipped": reason}, ...}
"""
import glob
import json
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


def cases(suite):
    for entry in suite:
        if isinstance(entry, unittest.TestSuite):
            yield from cases(entry)
        else:
            yield entry


class Report(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.outcome = {}

    def name(self, test):
        return getattr(test, "test_case", test).id().split(".", 1)[1]

    def startTest(self, test):
        super().startTest(test)
        self.outcome[self.name(test)] = None

    def addError(self, test, error):
        super().addError(test, error)
        self.outcome[self.name(test)] = {"failed": self.errors[-1][1]}

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.outcome[self.name(test)] = {"failed": self.failures[-1][1]}

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.outcome[self.name(test)] = {"failed": "%s\n%s" % (subtest, (self.failures + self.errors)[-1][1])}

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcome[self.name(test)] = {"skipped": reason}


def load(module):
    return unittest.defaultTestLoader.loadTestsFromName(module)


if len(sys.argv) > 1:
    report = Report()
    out = os.dup(1)
    os.dup2(2, 1)  # what a test prints must not stand in the report
    load(sys.argv[1]).run(report)
    os.write(out, json.dumps(report.outcome).encode())
else:
    modules = sorted(os.path.basename(path)[:-3] for path in glob.glob(os.path.join(HERE, "test_*.py")))
    print(json.dumps({module: [case.id().split(".", 1)[1] for case in cases(load(module))] for module in modules}))

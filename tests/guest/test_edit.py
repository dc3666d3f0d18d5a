"""Editing packaged ini, oslo and env files: exact text for each case, and properties over random files."""
import configparser
import random
import unittest

from world import node


def change(section, key, value):
    return {"section": section, "key": key, "value": value}


CASES = [
    # name, format, before, changes, after
    ("replaces a value and leaves the rest", "ini", "[a]\nx = 1\n; y\ny = 2\n", [("a", "x", "3")], "[a]\nx = 3\n; y\ny = 2\n"),
    ("leaves an equal value's spelling", "ini", "[a]\nx=1\n", [("a", "x", "1")], "[a]\nx=1\n"),
    ("puts a new key below its commented default", "oslo", "[a]\n# help\n#x = 0\n#y = 1\n\n[b]\n", [("a", "x", "1")],
     "[a]\n# help\n#x = 0\nx = 1\n#y = 1\n\n[b]\n"),
    ("puts a new key to the end of its section, before blank lines", "oslo", "[a]\ny = 1\n\n[b]\nz = 1\n", [("a", "x", "1")],
     "[a]\ny = 1\nx = 1\n\n[b]\nz = 1\n"),
    ("a commented default of another section is not a place", "oslo", "[a]\n#x = 1\n[b]\ny = 1\n", [("b", "x", "1")],
     "[a]\n#x = 1\n[b]\ny = 1\nx = 1\n"),
    ("adds a section", "oslo", "[a]\ny = 1\n", [("b", "x", "1")], "[a]\ny = 1\n\n[b]\nx = 1\n"),
    ("adds to an empty file", "oslo", "", [("b", "x", "1"), ("b", "y", "2")], "[b]\nx = 1\ny = 2\n"),
    ("null removes every occurrence", "oslo", "[a]\nx = 1\nx = 2\ny = 1\n", [("a", "x", None)], "[a]\ny = 1\n"),
    ("null of a missing key does nothing", "oslo", "[a]\ny = 1\n", [("a", "x", None), ("c", "x", None)], "[a]\ny = 1\n"),
    ("a list repeats the key", "oslo", "[a]\nx = 1\ny = 1\n", [("a", "x", ["2", "3"])], "[a]\nx = 2\nx = 3\ny = 1\n"),
    ("a list that stands already stays", "oslo", "[a]\nx=2\ny = 1\nx=3\n", [("a", "x", ["2", "3"])], "[a]\nx=2\ny = 1\nx=3\n"),
    ("an empty list removes", "oslo", "[a]\nx = 1\n", [("a", "x", [])], "[a]\n"),
    ("duplicates fold into one", "oslo", "[a]\nx = 1\ny = 1\nx = 2\n", [("a", "x", "9")], "[a]\nx = 9\ny = 1\n"),
    ("continuation lines go with their key", "oslo", "[a]\nx = 1,\n  2\ny = 1\n", [("a", "x", "3")], "[a]\nx = 3\ny = 1\n"),
    ("a value of several lines is indented", "oslo", "[a]\n", [("a", "x", "1,\n2")], "[a]\nx = 1,\n    2\n"),
    ("and is recognised", "oslo", "[a]\nx = 1,\n\t2\n", [("a", "x", "1,\n2")], "[a]\nx = 1,\n\t2\n"),
    ("an indented key of an ini file is a key", "ini", "[mysqld]\n  a = 1\n  b = 2\n", [("mysqld", "b", "3")],
     "[mysqld]\n  a = 1\n  b = 3\n"),
    ("a key without value", "ini", "[mysqld]\nskip-name\n", [("mysqld", "bind-address", "::")],
     "[mysqld]\nskip-name\nbind-address = ::\n"),
    ("a key without value gets one", "ini", "[mysqld]\nskip-name\n", [("mysqld", "skip-name", "1")], "[mysqld]\nskip-name = 1\n"),
    ("colon assignments", "ini", "[composite]\n/v2: app\n", [("composite", "/v2", "other")], "[composite]\n/v2 = other\n"),
    ("values keep = and : and $", "oslo", "[db]\nc = a\n", [("db", "c", "mysql://u:p=$x@h/d?a=b")], "[db]\nc = mysql://u:p=$x@h/d?a=b\n"),
    ("a section that stands twice", "oslo", "[a]\nx = 1\n[b]\n[a]\nx = 2\n", [("a", "x", "3")], "[a]\nx = 3\n[b]\n[a]\n"),
    ("a key that begins like another", "oslo", "[a]\nxx = 1\nx_y = 1\n", [("a", "x", "2")], "[a]\nxx = 1\nx_y = 1\nx = 2\n"),
    ("a commented key that begins like another", "oslo", "[a]\n#xx = 1\n#x = 2\n", [("a", "x", "2")], "[a]\n#xx = 1\n#x = 2\nx = 2\n"),
    ("env sets", "env", "# c\nA=1\nB=2\n", [("", "B", "3")], "# c\nA=1\nB=3\n"),
    ("env keeps export and quotes", "env", "export A=\"1 2\"\n", [("", "A", "\"3 4\"")], "export A=\"3 4\"\n"),
    ("env uncomments below", "env", "#A=1\nB=2\n", [("", "A", "2")], "#A=1\nA=2\nB=2\n"),
    ("env appends", "env", "B=2\n", [("", "A", "2")], "B=2\nA=2\n"),
    ("env appends to nothing", "env", "", [("", "A", "2")], "A=2\n"),
    ("env removes", "env", "A=1\nB=2\n", [("", "A", None)], "B=2\n"),
    ("env lines with brackets are no sections", "env", "[a]\nA=1\n", [("", "A", "2")], "[a]\nA=2\n"),
    ("a last line without newline gets one", "ini", "[a]\nx = 1", [("a", "y", "2")], "[a]\nx = 1\ny = 2\n"),
]


class Table(unittest.TestCase):
    def test_cases(self):
        for name, kind, before, changes, after in CASES:
            with self.subTest(name):
                wanted = [change(*item) for item in changes]
                self.assertEqual(node.edit(before, kind, wanted), after)
                self.assertEqual(node.edit(after, kind, wanted), after, "a second time")


class Properties(unittest.TestCase):
    def test_random_files(self):
        for seed in range(400):
            rng = random.Random(seed)
            sections = ["DEFAULT", "database", "keystone_authtoken"]
            keys = ["connection", "debug", "debug_level", "my_ip"]
            lines = []
            for section in rng.sample(sections, rng.randint(0, 3)):
                lines.append("[%s]" % section)
                for key in rng.sample(keys, rng.randint(0, 4)):
                    lines += rng.choice(([], ["# %s is explained" % key], ["#%s = default" % key], [""]))
                    if rng.random() < 0.7:
                        lines.append("%s%s%d" % (key, rng.choice((" = ", "=", " =")), rng.randint(0, 3)))
            before = "".join(line + "\n" for line in lines)
            changes = [
                change(rng.choice(sections), rng.choice(keys), rng.choice((None, "1", "new value")))
                for _ in range(rng.randint(1, 4))
            ]
            after = node.edit(before, "oslo", changes)
            with self.subTest(seed=seed, before=before, changes=changes):
                self.check(before, after, changes)

    def check(self, before, after, changes):
        self.assertEqual(node.edit(after, "oslo", changes[-1:]), after, "the last change holds already")
        parsed = self.parse(after)
        final = {(item["section"], item["key"]): item["value"] for item in changes}
        for (section, key), value in final.items():
            self.assertEqual(parsed.get(section, {}).get(key), value)
        for section, entries in self.parse(before).items():
            for key, value in entries.items():
                if (section, key) not in final:
                    self.assertEqual(parsed[section][key], value, "an unnamed key changed")
        kept = [line for line in before.splitlines() if line.startswith(("#", "["))]
        left = iter(after.splitlines())
        self.assertTrue(all(line in left for line in kept), "a comment or section went or moved")

    def parse(self, text):
        parser = configparser.RawConfigParser(strict=True, default_section="no default section")
        parser.read_string(text)
        return {section: dict(parser[section]) for section in parser.sections()}


if __name__ == "__main__":
    unittest.main()

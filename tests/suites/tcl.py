"""Tcl's socket, HTTP, channel and event tests."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["tcl8.6"]
FILES = ("socket", "http", "http11", "httpold", "httpPipeline", "io", "ioCmd", "chanio", "event", "unixForkEvent", "chan")


def prepare(room):
    room.source("tcl8.6")


def cases(room):
    tests = room.source("tcl8.6") / "tests"
    for name in FILES:
        # Two of them write files of the same names.
        script = f"room=$(mktemp -d); tclsh8.6 {name}.test -verbose pse -tmpdir $room; status=$?; rm -rf $room; exit $status"
        yield Case(name, ["sh", "-c", script], cwd=tests, read=verdicts, seconds=240)


def verdicts(status, output):
    tests = {}
    for line in output.splitlines():
        if match := re.match(r"\+\+\+\+ (\S+) (PASSED|SKIPPED)", line):
            tests[match[1]] = PASS if match[2] == "PASSED" else SKIP
        elif match := re.match(r"==== (\S+) .*FAILED", line):
            tests[match[1]] = FAIL
    tests["end"] = PASS if status == 0 and re.search(r"Total\s+\d+\s+Passed", output) else FAIL
    return tests

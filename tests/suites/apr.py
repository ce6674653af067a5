"""APR's tests of sockets, polling, pipes, processes and threads."""
import re

from suite import FAIL, PASS, Case

PACKAGES = ["gcc"]
GROUPS = ("testdup", "testfile", "testipsub", "testlock", "testcond", "testpipe", "testpoll", "testproc", "testprocmutex", "testshm", "testsock", "testsockets", "testsockopt", "testthread")


def prepare(room):
    room.build("test/testall", room.source("apr"), "./configure", "make -s", "make -s -C test")


def cases(room):
    tests = room.source("apr") / "test"
    for group in GROUPS:
        yield Case(group, [tests / "testall", "-v", group], cwd=tests, read=verdicts, seconds=120)


def verdicts(status, output):
    # One line for a group; tests that failed are named by the line that says so, and those before it have passed.
    if re.search(r":\s+SUCCESS", output) and status == 0:
        return {"": PASS}
    failed = re.findall(r"Line (\d+):", output)
    return {f"line {line}": FAIL for line in failed} or {"": FAIL}

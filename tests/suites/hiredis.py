"""hiredis' tests against a Redis server, over TCP, AF_UNIX and an inherited descriptor."""
import re

from suite import FAIL, PASS, Case

PACKAGES = ["gcc", "make", "redis-server"]


def prepare(room):
    room.build("hiredis-test", room.source("hiredis"), "make -s hiredis-test")


def cases(room):
    yield Case("check", ["make", "check"], cwd=room.source("hiredis"), read=verdicts, seconds=120)


def verdicts(status, output):
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    tests = {name: PASS if verdict == "PASSED" else FAIL for name, verdict in re.findall(r"^#\d+ (.*?): .*?(PASSED|FAILED)", plain, re.MULTILINE)}
    return {**tests, "end": PASS if status == 0 else FAIL}

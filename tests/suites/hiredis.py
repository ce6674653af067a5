"""hiredis' tests against a Redis server, over TCP, AF_UNIX and an inherited descriptor."""
from suite import FAIL, PASS, Case, told

PACKAGES = ["gcc", "make", "redis-server"]
VERDICTS = told(r"^#\d+ (?P<name>.*?): .*?(?P<word>PASSED|FAILED)", {"PASSED": PASS, "FAILED": FAIL})


def prepare(room):
    room.build("hiredis-test", room.source("hiredis"), "make -s hiredis-test")


def cases(room):
    yield Case("check", ["make", "check"], cwd=room.source("hiredis"), read=VERDICTS, seconds=120)

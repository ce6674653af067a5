"""librdkafka's tests that need no broker: its own mock cluster over TCP, producers, consumers, transactions, failing brokers."""
import re

from suite import FAIL, PASS, SKIP, Case, told

PACKAGES = ["gcc", "g++", "make", "python3", "libssl-dev", "zlib1g-dev"]
VERDICTS = told(r"^\|\s+(?P<name>\w+)\s+\|\s+(?P<word>PASSED|FAILED|SKIPPED)", {"PASSED": PASS, "FAILED": FAIL, "SKIPPED": SKIP})


def prepare(room):
    room.build("tests/test-runner", room.source("librdkafka"), "./configure --disable-sasl --disable-zstd --disable-lz4-ext", "make -s -j2 libs", "make -s -j2 -C tests build")


def cases(room):
    tests = room.source("librdkafka") / "tests"
    numbers = [re.match(r"\d+", path.name)[0] for path in sorted(tests.glob("0[0-9]*.c*"))]
    for number in numbers:
        yield Case(number, ["./test-runner", "-l", "-p1"], cwd=tests, env={"TESTS": number, "LD_LIBRARY_PATH": f"{tests.parent}/src:{tests.parent}/src-cpp"}, read=VERDICTS, seconds=200)

"""c-ares's tests: a resolver against name servers in the same process, over UDP and TCP, IPv4 and IPv6."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["cmake", "g++"]


def prepare(room):
    room.build("built/bin/arestest", room.source("c-ares"), "cmake -S . -B built -DCARES_BUILD_TESTS=ON -DCARES_STATIC=ON", "make -C built -j2 arestest")


def cases(room):
    program = room.source("c-ares") / "built" / "bin" / "arestest"
    yield Case("arestest", [program, "--gtest_filter=-*LiveTest*:*Container*"], cwd=program.parent, read=verdicts, seconds=400)


def verdicts(status, output):
    words = {"OK": PASS, "FAILED": FAIL, "SKIPPED": SKIP}
    tests = {name: words[word] for word, name in re.findall(r"^\[ +(OK|FAILED|SKIPPED) +\] ([^ ,]+)", output, re.MULTILINE)}
    tests["end"] = PASS if status in (0, 1) else FAIL
    return tests

"""c-ares's tests: a resolver against name servers in the same process, over UDP and TCP, IPv4 and IPv6."""
from suite import Case, gtest

PACKAGES = ["cmake", "g++"]


def prepare(room):
    room.build("built/bin/arestest", room.source("c-ares"), "cmake -S . -B built -DCARES_BUILD_TESTS=ON -DCARES_STATIC=ON", "make -C built -j2 arestest")


def cases(room):
    program = room.source("c-ares") / "built" / "bin" / "arestest"
    yield Case("arestest", [program, "--gtest_filter=-*LiveTest*:*Container*"], cwd=program.parent, read=gtest, seconds=400)

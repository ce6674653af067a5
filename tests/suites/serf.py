"""serf's tests: an HTTP client over APR's sockets against servers, proxies and TLS in the same program."""
import re

from suite import FAIL, PASS, Case

PACKAGES = ["scons", "gcc", "libapr1-dev", "libaprutil1-dev", "libssl-dev", "zlib1g-dev"]


def prepare(room):
    room.build("test/test_all", room.source("serf"), "scons -s APR=/usr/bin/apr-config APU=/usr/bin/apu-config test/test_all")


def cases(room):
    source = room.source("serf")
    yield Case("test_all", ["./test/test_all", "-v"], cwd=source, env={"LD_LIBRARY_PATH": source}, read=verdicts, seconds=300)


def verdicts(status, output):
    """A sign for each test, in their order."""
    signs = re.search(r"^[.F]{10,}$", output, re.MULTILINE)
    tests = {str(number): PASS if sign == "." else FAIL for number, sign in enumerate(signs[0], 1)} if signs else {}
    return {**tests, "end": PASS if tests and status in (0, 1) else FAIL}

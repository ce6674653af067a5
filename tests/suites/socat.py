"""socat's test.sh: some hundred pairs of addresses: TCP, UDP, IPv6, raw, SOCKS, OpenSSL, options, forks."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["socat", "openssl", "net-tools", "iproute2", "procps"]


def prepare(room):
    source = room.source("socat")
    room.build("socat", source, "cp /usr/bin/socat .; ls /usr/bin/procan /usr/bin/filan; cp /usr/bin/filan /usr/bin/procan .")


def cases(room):
    source = room.source("socat")
    yield Case("test.sh", ["bash", "./test.sh", "-t", "0.2", "functions", "bugs"], cwd=source, env={"SOCAT": "/usr/bin/socat", "TERM": "dumb"}, read=verdicts, seconds=2400)


def verdicts(status, output):
    tests = {}
    for name, rest in re.findall(r"^test +\d+ (\w+): (.*?)$", re.sub(r"\x1b\[[0-9;]*m", "", output), re.MULTILINE):
        verdict = re.search(r"(OK|FAILED|NO RESULT|CANT|[A-Z0-9 ]+ not \w+|must be root.*|not available.*)\W*$", rest)
        tests[name] = PASS if verdict and verdict[1] == "OK" else FAIL if verdict and verdict[1] in ("FAILED", "NO RESULT") else SKIP
    tests["end"] = PASS if status is not None else FAIL
    return tests

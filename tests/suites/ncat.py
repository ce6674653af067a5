"""Ncat's tests: streams, datagrams, AF_UNIX, TLS, brokers, chains of proxies of its own, limits of connections, half-closed ends, access lists."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["ncat", "perl", "libhttp-message-perl", "libio-socket-ssl-perl", "libhttp-daemon-perl", "libsocket6-perl"]


def prepare(room):
    room.build("ncat", room.source("nmap") / "ncat", "ln -s /usr/bin/ncat ncat")


def cases(room):
    # It ends its children by their group, which has to be its own.
    yield Case("ncat-test.pl", ["perl", "-e", '$| = 1; setpgrp; do "./ncat-test.pl"'], cwd=room.source("nmap") / "ncat/test", read=verdicts, seconds=1200)


def verdicts(status, output):
    tests = {}
    for verdict, name in re.findall(r"^(UNEXPECTED PASS|XFAIL|PASS|FAIL|SKIP)[: ]+(.*?)(?::? at ncat-test.*)?$", output, re.MULTILINE):
        if tests.get(name) != FAIL:
            tests[name] = {"PASS": PASS, "FAIL": FAIL}.get(verdict, SKIP)
    tests["end"] = PASS if status is not None else FAIL
    return tests

"""stunnel's tests: pairs of it between clients and a server in Python, over IPv4 and IPv6, with failover, redirection, reloads, inetd, resumption."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["gcc", "make", "libssl-dev", "openssl", "python3-cryptography"]


def prepare(room):
    # Debian's own program refuses another OpenSSL than that of its build.
    room.build("tests/certs/CACert.pem", room.source("stunnel4"), "./configure --disable-systemd --disable-libwrap", "make -s -C src", "cd tests/certs; sh maketestcert.sh")


def cases(room):
    tests = room.source("stunnel4") / "tests"
    yield Case("maketest.py", ["/usr/bin/python3", "maketest.py"], cwd=tests, read=verdicts, seconds=900)


def verdicts(status, output):
    words = {"succeeded": PASS, "failed": FAIL, "skipped": SKIP}
    tests = {number: words[word] for number, word in re.findall(r"^(\d+)\. .*\n(?:(?!\d+\. ).*\n)*?\.{70} (\w+)", output, re.MULTILINE)}
    return {**tests, "end": PASS if status == 0 else FAIL}

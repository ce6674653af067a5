"""stunnel's tests: pairs of it between clients and a server in Python, over IPv4 and IPv6, with failover, redirection, reloads, inetd, resumption."""
from suite import FAIL, PASS, SKIP, Case, told

PACKAGES = ["gcc", "make", "libssl-dev", "openssl", "python3-cryptography"]
VERDICTS = told(r"^(?P<name>\d+)\. .*\n(?:(?!\d+\. ).*\n)*?\.{70} (?P<word>\w+)", {"succeeded": PASS, "failed": FAIL, "skipped": SKIP})


def prepare(room):
    # Debian's own program refuses another OpenSSL than that of its build.
    room.build("tests/certs/CACert.pem", room.source("stunnel4"), "./configure --disable-systemd --disable-libwrap", "make -s -C src", "cd tests/certs; sh maketestcert.sh")


def cases(room):
    tests = room.source("stunnel4") / "tests"
    yield Case("maketest.py", ["/usr/bin/python3", "maketest.py"], cwd=tests, read=VERDICTS, seconds=900)

"""curl's own tests: its client against its servers of HTTP, FTP, IMAP, POP3, SMTP, TELNET, TFTP, RTSP, SOCKS, MQTT, gopher …"""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["gcc", "libtool", "libssl-dev", "libnghttp2-dev", "zlib1g-dev", "stunnel4"]
WITHOUT = " ".join(f"--without-{name}" for name in ("libpsl", "brotli", "zstd", "libssh2", "librtmp", "libidn2"))
# So many at once, because the servers are started anew for each case.
EACH, LAST = 100, 3100
# -n: without valgrind; -a: on after a failure; -am: a verdict for each test; the unit tests have programs that are not built.
# A runner that gives up leaves its servers.
ALL = 'perl runtests.pl -n -a -am "!unittest" "$@"; status=$?; cat .*.pid 2> /dev/null | xargs -r kill 2> /dev/null; exit $status'
VERDICTS = {"PASS": PASS, "FAIL": FAIL, "SKIP": SKIP}


def prepare(room):
    source = room.source("curl")
    room.build("tests/server/sws", source, f"./configure --with-openssl --with-nghttp2 --disable-shared --disable-ldap --disable-manual {WITHOUT}", "make -s", "make -s -C tests")


def cases(room):
    tests = room.source("curl") / "tests"
    numbers = {int(path.name.removeprefix("test")) for path in tests.glob("data/test[0-9]*") if path.name.removeprefix("test").isdigit()}
    for first in range(1, LAST, EACH):
        chosen = sorted(number for number in numbers if first <= number < first + EACH)
        if chosen:
            yield Case(f"{chosen[0]} to {chosen[-1]}", ["sh", "-c", ALL, "sh", *chosen], cwd=tests, read=verdicts, seconds=600)


def verdicts(status, output):
    tests = {number: VERDICTS[verdict] for verdict, number in re.findall(r"^(PASS|FAIL|SKIP): (\d+) - ", output, re.MULTILINE)}
    # 1: some have failed, which the lines say.
    tests["end"] = PASS if status in (0, 1) and tests else FAIL
    return tests

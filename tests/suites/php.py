"""PHP's sockets, streams, network, FTP, OpenSSL, web server and pcntl tests."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["php8.2-cli"]
PLACES = ("ext/sockets/tests", "ext/standard/tests/streams", "ext/standard/tests/network", "ext/standard/tests/http", "ext/ftp/tests", "ext/openssl/tests", "sapi/cli/tests")


def prepare(room):
    room.source("php8.2")


def cases(room):
    source = room.source("php8.2")
    for place in PLACES:
        argv = ["php", "run-tests.php", "-q", "--no-color", "--set-timeout", "20", "-p", "/usr/bin/php", place]
        env = {"NO_INTERACTION": "1", "SKIP_ONLINE_TESTS": "1", "TEST_PHP_CGI_EXECUTABLE": "", "TEST_PHPDBG_EXECUTABLE": ""}
        yield Case(place, argv, cwd=source, env=env, read=verdicts, seconds=400)


def verdicts(status, output):
    tests = {}
    for verdict, path in re.findall(r"(PASS|FAIL|SKIP|WARN|XFAIL|BORK|LEAK)[^\r\n]*\[(\S+\.phpt)\]", output):
        tests[path.split("/tests/", 1)[-1]] = PASS if verdict == "PASS" else FAIL if verdict == "FAIL" else SKIP
    tests["end"] = PASS if "Time taken" in output or "Tests passed" in output else FAIL
    return tests

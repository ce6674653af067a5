"""Ruby's socket, net/http, open-uri, resolv, DRb, fiber scheduler, OpenSSL and IO tests."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["ruby3.1"]
FILES = ("socket/test_*.rb", "net/*/test_*.rb", "io/*/test_*.rb", "drb/test_*.rb", "open-uri/test_*.rb", "resolv/test_*.rb", "fiber/test_*.rb", "openssl/test_ssl*.rb", "ruby/test_io*.rb", "test_syslog.rb", "rinda/test_*.rb")


def prepare(room):
    room.source("ruby3.1")


def cases(room):
    source = room.source("ruby3.1")
    for pattern in FILES:
        for path in sorted((source / "test").glob(pattern)):
            name = path.relative_to(source / "test")
            yield Case(str(name), ["ruby", "-I", "test/lib", "-I", "tool/lib", "tool/test/runner.rb", "-v", "--no-retry", f"test/{name}"], cwd=source, read=verdicts, seconds=240)


def verdicts(status, output):
    tests = {match[1]: PASS for match in re.finditer(r"\] (\w+#\w+) = ", output)}
    for kind, name in re.findall(r"^ *\d+\) (Skipped|Failure|Error):\n(\w+#\w+)", output, re.MULTILINE):
        tests[name] = SKIP if kind == "Skipped" else FAIL
    tests["end"] = PASS if re.search(r"^\d+ tests, ", output, re.MULTILINE) else FAIL
    return tests

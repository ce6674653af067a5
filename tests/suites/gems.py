"""Ruby's EventMachine and Puma, of Debian: a reactor in C++ with its own calls, a server with threads and processes."""
import re

from suite import FAIL, PASS, SKIP, Case


def minitest(status, output):
    """Of `-v`: a line for each test, a letter at its end."""
    tests = {}
    for name, verdict in re.findall(r"^(\w+#test_\w+) = [\d.]+ s = (.)", output, re.MULTILINE):
        tests[name] = {".": PASS, "S": SKIP}.get(verdict, FAIL)
    if tests:
        tests["end"] = PASS if status in (0, 1) else FAIL
    return tests


def test_unit(status, output):
    tests = {}
    for name, verdict in re.findall(r"^  (test\S*?):\s+(\.|F|E|O|P)*:? ?\(", re.sub(r"\x1b\[[0-9;]*m", "", output), re.MULTILINE):
        tests[name] = {".": PASS, "": PASS, "O": SKIP, "P": SKIP}.get(verdict, FAIL)
    if tests:
        tests["end"] = PASS if status == 0 else FAIL
    return tests


class Gem:
    def __init__(self, package, needs, files, words, read):
        self.package, self.files, self.words, self.read = package, files, words, read
        self.PACKAGES = ["ruby", package, *needs.split()]
        self.__doc__ = f"{package}, of Debian"

    def prepare(self, room):
        # What is installed is tested: the archive's has no extension built.
        room.build("not-lib", room.source(self.package), "mv lib not-lib")

    def cases(self, room):
        tree = room.source(self.package)
        for path in sorted(tree.glob(self.files)):
            yield Case(str(path.relative_to(tree)), ["ruby", *self.words, path.relative_to(tree), "-v"], cwd=tree, read=self.read, seconds=180)


SUITES = {
    # test_ipv4 and test_ipv6 are other tests where there is a way to the world outside.
    "eventmachine": Gem("ruby-eventmachine", "ruby-test-unit", "tests/test_*[!46].rb", ["-Itests", "-rem_test_helper"], test_unit),
    "puma": Gem("puma", "ruby-minitest ruby-minitest-stub-const ruby-rack", "test/test_*.rb", ["-Itest"], minitest),
}

"""Packages of npm that contain their tests, each a suite of its own, with the installed Node."""
import json
import re
import shlex

from suite import FAIL, PASS, SKIP, Case


def node_test(status, output):
    """Of `node --test-reporter=tap`: tests are named by what they say of themselves; of equals one that fails decides."""
    tests, above = {}, {}
    for line in output.splitlines():
        if match := re.match(r"( *)# Subtest: (.*)", line):
            depth = len(match[1]) // 4
            above = {at: name for at, name in above.items() if at < depth} | {depth: match[2]}
        elif match := re.match(r"( *)(not )?ok \d+ - (.*?)(?: # (SKIP|TODO).*)?$", line):
            depth = len(match[1]) // 4
            name = " / ".join([*(above[at] for at in sorted(above) if at < depth), match[3]])
            verdict = SKIP if match[4] else FAIL if match[2] else PASS
            if tests.get(name) != FAIL:
                tests[name] = verdict
    if tests:
        tests["end"] = PASS if status == 0 or FAIL in tests.values() else FAIL
    return tests


class Package:
    """`words`: how a file of tests is run. Node and npm are whatever is installed."""

    PACKAGES = []
    # What its developers look at the code with, and no test imports.
    APART = re.compile(r"lint|standard|^@types/|typescript|tsd|tstyche|license|release|commit|^c8$|nyc|husky|prettier|benchmark")

    def __init__(self, name, release, *files, words=("node", "--test-reporter=tap"), read=node_test, seconds=120):
        self.name, self.release, self.files = name, release, files
        self.words, self.read, self.seconds = words, read, seconds
        self.__doc__ = f"{name} {release}, of npm"

    def prepare(self, room):
        room.build("package", room.at, f"npm pack -s {self.name}@{self.release}", "mkdir package.new; tar xzf *.tgz -C package.new --strip-components=1; mv package.new package")
        tree = room.at / "package"
        asked = json.loads((tree / "package.json").read_text()).get("devDependencies", {})
        needs = shlex.join(f"{name}@{release}" for name, release in asked.items() if not self.APART.search(name))
        room.build("prise-installed", tree, "npm pkg delete devDependencies", f"npm install --no-audit --no-fund --ignore-scripts --no-save {needs}", "touch prise-installed")

    def cases(self, room):
        tree = room.at / "package"
        for path in sorted({path.relative_to(tree) for pattern in self.files for path in tree.glob(pattern) if "node_modules" not in path.relative_to(tree).parts}):
            yield Case(str(path), [*self.words, path], cwd=tree, read=self.read, seconds=self.seconds)


SUITES = {
    "fastify": Package("fastify", "5.12.8", "test/**/*.test.js"),
    "fastify-http-proxy": Package("@fastify/http-proxy", "11.6.3", "test/*.js"),
    "fastify-reply-from": Package("@fastify/reply-from", "12.6.5", "test/**/*.test.js"),
    "fastify-websocket": Package("@fastify/websocket", "11.3.6", "test/*.test.js"),
    "autocannon": Package("autocannon", "9.0.0", "test/*.test.js"),
    "aedes": Package("aedes", "1.2.0", "test/*.js"),
    "ssh2": Package("ssh2", "1.17.0", "test/test-*.js", words=("node",), read=None),
    "multicast-dns": Package("multicast-dns", "7.2.5", "test.js"),
}

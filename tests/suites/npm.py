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


def tape(status, output):
    """Of `tape` and of mocha's reporter `tap`: an assertion or a test a line; what is said twice is told apart by how often it was said."""
    tests, times = {}, {}
    for wrong, name, skipped in re.findall(r"^(not )?ok \d+ -? ?(.*?)( # (?:SKIP|TODO).*)?$", output, re.MULTILINE):
        name = re.sub(r"\d+(?=ms\b| packets)", "N", name)
        times[name] = times.get(name, 0) + 1
        tests[f"{name} ({times[name]})" if times[name] > 1 else name] = SKIP if skipped else FAIL if wrong else PASS
    if tests:
        tests["end"] = PASS if status == 0 or FAIL in tests.values() else FAIL
    return tests


MOCHA = ("node_modules/.bin/mocha", "--reporter", "tap", "--exit")


class Package:
    """`words`: how a file of tests is run. `made`: a command that makes what the package leaves out. `needs`: what it
    does not name. Node and npm are whatever is installed."""

    PACKAGES = []
    # What its developers look at the code with, and no test imports.
    APART = re.compile(r"lint|standard|^@types/|typescript|tsd|tstyche|license|release|commit|^c8$|nyc|husky|prettier|benchmark")

    def __init__(self, name, release, *files, words=("node", "--test-reporter=tap"), read=node_test, made="true", needs=(), seconds=120):
        self.made, self.needs = made, needs
        self.name, self.release, self.files = name, release, files
        self.words, self.read, self.seconds = words, read, seconds
        self.__doc__ = f"{name} {release}, of npm"

    def prepare(self, room):
        room.build("package", room.at, f"npm pack -s {self.name}@{self.release}", "mkdir package.new; tar xzf *.tgz -C package.new --strip-components=1; mv package.new package")
        self.install(room, self.tree(room))

    def install(self, room, tree):
        asked = json.loads((tree / "package.json").read_text()).get("devDependencies", {})
        needs = shlex.join([*(f"{name}@{release}" for name, release in asked.items() if not self.APART.search(name)), *self.needs])
        room.build("prise-installed", tree, "npm pkg delete devDependencies", f"npm install --no-audit --no-fund --ignore-scripts --no-save {needs}", self.made, "touch prise-installed")

    def tree(self, room):
        return room.at / "package"

    def cases(self, room):
        tree = self.tree(room)
        for path in sorted({path.relative_to(tree) for pattern in self.files for path in tree.glob(pattern) if "node_modules" not in path.relative_to(tree).parts}):
            yield Case(str(path), [*self.words, path], cwd=tree, read=self.read, seconds=self.seconds)


class Source(Package):
    """The sources that Debian has, with their tests, and what they ask for from npm."""

    def __init__(self, package, *files, words=MOCHA, read=tape, needs=(), seconds=120):
        super().__init__(package, "", *files, words=words, read=read, needs=needs, seconds=seconds)
        self.__doc__ = f"{package}, of Debian"

    def prepare(self, room):
        self.install(room, self.tree(room))

    def tree(self, room):
        return room.source(self.name)


SUITES = {
    "fastify": Package("fastify", "5.12.8", "test/**/*.test.js"),
    "fastify-http-proxy": Package("@fastify/http-proxy", "11.6.3", "test/*.js"),
    "fastify-reply-from": Package("@fastify/reply-from", "12.6.5", "test/**/*.test.js"),
    "fastify-websocket": Package("@fastify/websocket", "11.3.6", "test/*.test.js"),
    "autocannon": Package("autocannon", "9.0.0", "test/*.test.js"),
    "aedes": Package("aedes", "1.2.0", "test/*.js"),
    "ssh2": Package("ssh2", "1.17.0", "test/test-*.js", words=("node",), read=None),
    "needle": Package("needle", "3.5.0", "test/*_spec.js", words=MOCHA, read=tape, made="mkdir -p test/keys; openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=localhost -keyout test/keys/ssl.key -out test/keys/ssl.cert"),
    "st": Package("st", "4.0.13", "test/*-test.js", "test/cli/basic-test.js"),
    "hyperquest": Package("hyperquest", "2.1.3", "test/*.js", words=("node",), read=tape),
    "utp-native": Package("utp-native", "2.5.3", "test/*.js", words=("node",), read=tape),
    "express": Source("node-express", "test/*.js", "test/acceptance/*.js", words=(*MOCHA, "--require", "test/support/env"), needs=["path-to-regexp@6"]),
    "node-http-proxy": Source("node-http-proxy", "test/*-test.js", words=(*MOCHA, "--require", "expect.js")),
    "node-fetch": Source("node-fetch", "test/*.js"),
    "body-parser": Source("node-body-parser", "test/*.js", words=(*MOCHA, "--require", "test/support/env")),
    "fastify-static": Package("@fastify/static", "10.1.11", "test/*.test.js"),
    "fastify-multipart": Package("@fastify/multipart", "10.1.9", "test/*.test.js"),
    "stompit": Package("stompit", "1.0.0", "test/*.js", words=MOCHA, read=tape, needs=["mocha@10"]),
    "mqtt": Source("node-mqtt", "test/client*.js", "test/[smuw]*client.js", "test/m*.js", words=(*MOCHA, "--timeout", "10000"), needs=["mocha@10"]),
    "multicast-dns": Package("multicast-dns", "7.2.5", "test.js"),
}

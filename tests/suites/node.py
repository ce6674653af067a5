"""Node's own tests of net, dgram, http, https, http2, tls, dns, cluster and the like."""
import re
import subprocess

from suite import Case

NAMES = "net|dgram|http|https|http2|tls|dns|cluster|socket|child-process-(fork|send|server)|pipe|stdio|stream-pipeline|tcp|udp|listen|diagnostics-channel-(net|http|udp)|h2|inspector-.*port|async-hooks-.*(net|http|tcp|tls|udp)|debugger-|performance-.*(http|net)|webcrypto|fetch|whatwg-webstreams|worker-.*(net|http|dgram)|regress"


class Installed:
    """Node's own tests, of the version of the distribution's sources, by the Node that is installed."""

    PACKAGES = []
    names = NAMES
    env = {}
    seconds = 60

    def prepare(self, room):
        self.tree(room)

    def tree(self, room):
        return room.source("nodejs")

    def root(self, _room):
        return None

    def words(self, _room, flags):
        return ["node", *flags]

    def cases(self, room):
        source, root = self.tree(room), self.root(room)
        at = source.relative_to(root) if root else source
        pattern = re.compile(rf"test-({self.names})")
        for place in ("parallel", "sequential", "async-hooks"):
            for path in sorted((source / "test" / place).glob("test-*.*js")):
                if pattern.match(path.name):
                    flags = re.search(r"^// Flags: (.*)$", path.read_text(errors="replace"), re.MULTILINE)
                    words = [*self.words(room, flags[1].split() if flags else []), f"test/{place}/{path.name}"]
                    yield Case(f"{place}/{path.name}", words, cwd=f"/{at}" if root else at, read=verdict, env={"TEST_THREAD_ID": "0", **self.env}, root=root, seconds=self.seconds)


class Released(Installed):
    """A release's own Node with the tests of its sources, in a tree of that release."""

    names = "net|dgram|https?-|tls-[a-m]|dns|cluster|child-process-(fork|send)|pipe|listen|tcp|diagnostics-channel-(net|udp)"

    def __init__(self, version, release):
        self.version, self.release = version, release
        self.__doc__ = f"Node {version}, of Debian's {release}: its tests of net, dgram, http, https, tls, dns, cluster and the like"

    def root(self, room):
        return room.release(self.release, [])

    def tree(self, room):
        root = room.release(self.release, ["nodejs", "openssl", "dpkg-dev"])
        place = root / "usr/src"
        if not (found := sorted(place.glob("nodejs-[0-9]*/"))):
            subprocess.run(["chroot", root, "sh", "-ec", "cd /usr/src; apt-get source -qq --only-source nodejs"], check=True)
            found = sorted(place.glob("nodejs-[0-9]*/"))
        return found[0]


class Another(Released):
    """Node's tests by another runtime, of npm, with event loops and sockets of its own."""

    names = "net|dgram|https?-|tls|dns|child-process-(fork|send)|pipe|listen|stdio"
    # It has other globals than Node.
    env = {"NODE_TEST_KNOWN_GLOBALS": "0"}
    seconds = 12

    def __init__(self, name, number, *options):
        super().__init__("24", "forky")
        self.name, self.number, self.options = name, number, options
        self.__doc__ = f"{name} {number}, of npm: Node 24's tests of net, dgram, http, https, tls, dns and the like"

    def prepare(self, room):
        super().prepare(room)
        room.build("installed", room.at, "npm init -y", f"npm install --no-audit --no-fund {self.name}@{self.number}", "touch installed")

    def root(self, _room):
        return None

    def words(self, room, _flags):
        return [room.at / "node_modules/.bin" / self.name, *self.options]


def verdict(status, output):
    return {"": "SKIP"} if status == 0 and re.match(r"1\.\.0 # Skipped", output) else None


SUITES = {"node": Installed(), "node-24": Released("24", "forky"), "bun": Another("bun", "1.4.5"), "deno": Another("deno", "2.9.6", "run", "-A", "--unstable-detect-cjs")}

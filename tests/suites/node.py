"""Node's own tests of net, dgram, http, https, http2, tls, dns, cluster and the like (of the source package's version)."""
import re

from suite import Case

PACKAGES = []
NAMES = "net|dgram|http|https|http2|tls|dns|cluster|socket|child-process-(fork|send|server)|pipe|stdio|stream-pipeline|tcp|udp|listen|diagnostics-channel-(net|http|udp)|h2|inspector-.*port|async-hooks-.*(net|http|tcp|tls|udp)|debugger-|performance-.*(http|net)|webcrypto|fetch|whatwg-webstreams|worker-.*(net|http|dgram)|regress"


def prepare(room):
    room.source("nodejs")


def cases(room):
    source = room.source("nodejs")
    pattern = re.compile(rf"test-({NAMES})")
    for place in ("parallel", "sequential", "async-hooks"):
        for path in sorted((source / "test" / place).glob("test-*.*js")):
            if pattern.match(path.name):
                flags = re.search(r"^// Flags: (.*)$", path.read_text(errors="replace"), re.MULTILINE)
                yield Case(f"{place}/{path.name}", ["node", *(flags[1].split() if flags else []), path], cwd=source, read=verdict, env={"TEST_THREAD_ID": "0"})


def verdict(status, output):
    return {"": "SKIP"} if status == 0 and re.match(r"1\.\.0 # Skipped", output) else None

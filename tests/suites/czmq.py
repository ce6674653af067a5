"""CZMQ's own tests: sockets, actors, proxies, beacons over UDP, HTTP, certificates."""
import re
import subprocess

from suite import Case

PACKAGES = ["gcc", "make", "pkg-config", "libzmq3-dev", "libcurl4-gnutls-dev", "uuid-dev"]


def prepare(room):
    room.build("src/czmq_selftest", room.source("czmq"), "./configure --disable-shared --without-docs --enable-drafts=no", "make -s -j2 src/czmq_selftest")


def cases(room):
    source = room.source("czmq")
    listed = subprocess.run(["src/czmq_selftest", "--list"], cwd=source, capture_output=True, text=True, check=False)
    for name in re.findall(r"^ +(\w+)", listed.stdout + listed.stderr, re.MULTILINE):
        yield Case(name, ["src/czmq_selftest", "-t", name], cwd=source, seconds=60)

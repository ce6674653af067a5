"""libzmq's tests: its protocols over TCP, WebSocket, UDP and IPC, with threads, monitors, proxies and SOCKS."""
from suite import Case

PACKAGES = ["g++", "libtool", "automake", "pkg-config"]


def prepare(room):
    configure = "./configure --disable-Werror --disable-shared --enable-static --without-docs --disable-perf --disable-curve-keygen"
    room.build("tests/test_ancillaries", room.source("zeromq3"), "[ -x configure ] || ./autogen.sh", configure, "make -s", "make -s check TESTS=")


def cases(room):
    tests = room.source("zeromq3") / "tests"
    for program in sorted(path for path in tests.glob("test_*") if not path.suffix):
        yield Case(program.name, [program], cwd=tests, seconds=60)

"""GSSDP's tests: discovery of services by groups of UDP, IPv4 and IPv6."""
from suite import Case, tap

PACKAGES = ["meson", "ninja-build", "gcc", "libglib2.0-dev", "libsoup-3.0-dev"]


def prepare(room):
    room.build("built/tests/test-functional", room.source("gssdp"), "meson setup built -Dsniffer=false -Dintrospection=false -Dvapi=false -Dexamples=false -Dmanpages=false -Dgtk_doc=false", "ninja -C built")


def cases(room):
    built = room.source("gssdp") / "built"
    for name in ("test-functional", "test-regression"):
        yield Case(name, [built / "tests" / name, "--tap"], cwd=built, read=tap, seconds=120)

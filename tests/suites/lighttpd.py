"""lighttpd's tests: requests to the server, conditions, FastCGI and SCGI responders."""
from suite import Case, tap

PACKAGES = ["gcc", "make", "perl", "pkg-config", "libpcre2-dev", "zlib1g-dev"]


def prepare(room):
    room.build("tests/fcgi-responder", room.source("lighttpd"), "./configure --without-bzip2", "make -s -j2", "make -s -C tests fcgi-responder scgi-responder")


def cases(room):
    tests = room.source("lighttpd") / "tests"
    for path in sorted(tests.glob("*.t")):
        yield Case(path.name, ["sh", "-c", f"./prepare.sh > prepared && exec perl -I. {path.name}"], cwd=tests, env={"srcdir": tests, "top_builddir": tests.parent}, read=tap, seconds=120)

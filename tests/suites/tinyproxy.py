"""tinyproxy's test: its proxy between a client and a server in Perl, on several addresses of lo."""
from suite import Case

PACKAGES = ["gcc", "make", "perl"]


def prepare(room):
    room.build("src/tinyproxy", room.source("tinyproxy"), "./configure --enable-xtinyproxy --enable-filter --enable-upstream --enable-reverse --enable-transparent", "make -s -j2")


def cases(room):
    source = room.source("tinyproxy")
    yield Case("run_tests.sh", ["sh", "tests/scripts/run_tests.sh"], cwd=source, seconds=120)

"""cpp-httplib's tests: an HTTP and HTTPS server and its client in one program, over TCP and AF_UNIX, with pools, streams, ranges, timeouts."""
from suite import Case, gtest

PACKAGES = ["g++", "make", "libssl-dev", "zlib1g-dev", "libbrotli-dev", "libgtest-dev", "openssl"]
LIBRARIES = "-DCPPHTTPLIB_OPENSSL_SUPPORT -DCPPHTTPLIB_ZLIB_SUPPORT -DCPPHTTPLIB_BROTLI_SUPPORT -lssl -lcrypto -lz -lbrotlicommon -lbrotlienc -lbrotlidec -lgtest -lgtest_main"


def prepare(room):
    tests = room.source("cpp-httplib") / "test"
    # Debian's sources are without the copy of GoogleTest.
    room.build("test", tests, "make cert.pem", f"g++ -o test -I.. -O1 -std=c++14 -w test.cc include_httplib.cc {LIBRARIES} -pthread")


def cases(room):
    tests = room.source("cpp-httplib") / "test"
    yield Case("test", ["./test"], cwd=tests, read=gtest, seconds=600)

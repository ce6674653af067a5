"""libmongoc's tests that bring their own servers: streams, pools, discovery and selection of servers, retries, cursors over TCP and AF_UNIX."""
from suite import FAIL, PASS, SKIP, Case, told

PACKAGES = ["cmake", "gcc", "libssl-dev", "zlib1g-dev"]
# It says how many have failed by its status.
VERDICTS = told(r'"status": "(?P<word>pass|fail|skip)", "test_file": "(?P<name>.*?)"', {"pass": PASS, "fail": FAIL, "skip": SKIP}, ends=range(256))


def prepare(room):
    options = "-DENABLE_TESTS=ON -DENABLE_EXAMPLES=OFF -DENABLE_CLIENT_SIDE_ENCRYPTION=OFF -DENABLE_SASL=OFF -DENABLE_ICU=OFF -DENABLE_MONGODB_AWS_AUTH=OFF -DENABLE_ZSTD=OFF -DENABLE_SNAPPY=OFF -DBUILD_VERSION=1.23.1"
    room.build("built/src/libmongoc/test-libmongoc", room.source("mongo-c-driver"), f"cmake -S . -B built {options}", "make -C built -j2 test-libmongoc")


def cases(room):
    source = room.source("mongo-c-driver")
    yield Case("test-libmongoc", ["built/src/libmongoc/test-libmongoc", "-d"], cwd=source, env={"MONGOC_TEST_SKIP_LIVE": "on", "MONGOC_TEST_SKIP_SLOW": "on"}, read=VERDICTS, seconds=900)

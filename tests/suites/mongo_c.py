"""libmongoc's tests that bring their own servers: streams, pools, discovery and selection of servers, retries, cursors over TCP and AF_UNIX."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["cmake", "gcc", "libssl-dev", "zlib1g-dev"]


def prepare(room):
    options = "-DENABLE_TESTS=ON -DENABLE_EXAMPLES=OFF -DENABLE_CLIENT_SIDE_ENCRYPTION=OFF -DENABLE_SASL=OFF -DENABLE_ICU=OFF -DENABLE_MONGODB_AWS_AUTH=OFF -DENABLE_ZSTD=OFF -DENABLE_SNAPPY=OFF -DBUILD_VERSION=1.23.1"
    room.build("built/src/libmongoc/test-libmongoc", room.source("mongo-c-driver"), f"cmake -S . -B built {options}", "make -C built -j2 test-libmongoc")


def cases(room):
    source = room.source("mongo-c-driver")
    yield Case("test-libmongoc", ["built/src/libmongoc/test-libmongoc", "-d"], cwd=source, env={"MONGOC_TEST_SKIP_LIVE": "on", "MONGOC_TEST_SKIP_SLOW": "on"}, read=verdicts, seconds=900)


def verdicts(status, output):
    words = {"pass": PASS, "fail": FAIL, "skip": SKIP}
    tests = {name: words[word] for word, name in re.findall(r'"status": "(pass|fail|skip)", "test_file": "(.*?)"', output)}
    return {**tests, "end": PASS if status is not None else FAIL}

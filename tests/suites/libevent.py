"""libevent's regression tests, for each way of waiting (epoll, with its change list, poll, select)."""
import re
import subprocess

from suite import Case

PACKAGES = ["cmake", "g++", "libssl-dev", "zlib1g-dev"]
WAYS = {"epoll": {}, "changelist": {"EVENT_EPOLL_USE_CHANGELIST": "1"}, "poll": {"EVENT_NOEPOLL": "1"}, "select": {"EVENT_NOEPOLL": "1", "EVENT_NOPOLL": "1"}}


def program(room):
    return room.source("libevent") / "built" / "bin" / "regress"


def prepare(room):
    source = room.source("libevent")
    room.build("built/bin/regress", source, "cmake -S . -B built -DEVENT__DISABLE_MBEDTLS=ON -DEVENT__DISABLE_SAMPLES=ON -DEVENT__DISABLE_BENCHMARK=ON -DEVENT__LIBRARY_TYPE=STATIC", "make -C built -j2 regress")


def cases(room):
    listed = subprocess.run([program(room), "--list-tests"], capture_output=True, text=True, check=False).stdout
    for name in re.findall(r"^\s+(\S+/\S+)", listed, re.MULTILINE):
        for way, environment in WAYS.items():
            yield Case(f"{way} {name}", [program(room), name], env={"EVENT_SHOW_METHOD": "", **environment}, read=verdict)


def verdict(status, output):
    if re.search(r"\[SKIPPED\]|SKIPPED|DISABLED", output) and status == 0:
        return {"": "SKIP"}
    return None

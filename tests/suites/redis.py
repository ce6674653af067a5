"""Redis's tests that are about its network: protocol, replication, clients, cluster's bus, redis-cli, redis-benchmark."""
import re

from suite import FAIL, PASS, Case

PACKAGES = ["redis-server", "redis-tools", "tcl8.6"]
UNITS = (
    "unit/networking", "unit/protocol", "unit/querybuf", "unit/pendingquerybuf", "unit/obuf-limits", "unit/pubsub", "unit/pubsubshard", "unit/tracking",
    "unit/introspection", "unit/info", "unit/limits", "unit/quit", "unit/pause", "unit/multi", "unit/wait", "unit/auth", "unit/client-eviction",
    "unit/replybufsize", "unit/shutdown", "unit/cluster", "integration/replication", "integration/replication-2", "integration/replication-3",
    "integration/replication-4", "integration/replication-psync", "integration/replication-buffer", "integration/block-repl", "integration/psync2",
    "integration/redis-cli", "integration/redis-benchmark", "integration/failover",
)


def prepare(room):
    source = room.source("redis")
    tools = ("server", "cli", "benchmark", "check-rdb", "check-aof")
    room.build("src/redis-server", source, *(f"cp /usr/bin/redis-{tool} src/redis-{tool}" for tool in tools))


def cases(room):
    source = room.source("redis")
    for unit in UNITS:
        if (source / "tests" / f"{unit}.tcl").exists():
            yield Case(unit, ["tclsh8.6", "tests/test_helper.tcl", "--clients", "1", "--single", unit, "--baseport", "21000"], cwd=source, read=verdicts, seconds=300)


def verdicts(status, output):
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
    # Which servers change places, how often, and how much was written by then, is drawn anew each time.
    plain = re.sub(r"#\d+|(?<=x = )\d+|(?<=CYCLE )\d+", "N", plain)
    tests = {name: PASS for name in re.findall(r"^\[ok\]: (.*?)(?: \(\d+ ms\))?$", plain, re.MULTILINE)}
    tests.update((name, FAIL) for name in re.findall(r"^\[(?:err|exception)\]: (.*)$", plain, re.MULTILINE))
    tests["end"] = PASS if status == 0 else FAIL
    return tests

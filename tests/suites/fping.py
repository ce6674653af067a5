"""fping's tests: echo requests by raw and ping sockets, of IPv4 and IPv6, their options, times and reports."""
from suite import Case, tap

PACKAGES = ["fping", "libtest-command-perl", "perl"]


def prepare(room):
    room.source("fping")


def cases(room):
    source = room.source("fping")
    for path in sorted((source / "ci").glob("test-*.pl")):
        yield Case(path.name, ["perl", f"ci/{path.name}"], cwd=source, read=tap, seconds=120)

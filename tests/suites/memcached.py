"""memcached's tests: the installed server, text and binary protocol, UDP, listeners handed on, restarts."""
from suite import Case, tap

PACKAGES = ["memcached", "gcc", "libc6-dev", "perl"]


def prepare(room):
    # Debian's server has no debug options, and what shall be tested is TCP, not AF_UNIX.
    plain = "sed -i -e '/relaxed_privileges/d' -e 's/= !supports_unix_socket()/= 1/' t/lib/MemcachedTest.pm"
    room.build("timedrun", room.source("memcached"), "cp /usr/bin/memcached memcached-debug", plain, "cc -O -o timedrun timedrun.c")


def cases(room):
    source = room.source("memcached")
    for test in sorted((source / "t").glob("*.t")):
        yield Case(test.name, ["perl", "-I.", f"t/{test.name}"], cwd=source, read=tap, seconds=120)

"""rsync's tests: transfers between processes over pairs of sockets, pipes and a daemon, with its own event loop over select(2)."""
from suite import Case

PACKAGES = ["gcc", "make", "autoconf", "libacl1-dev", "libpopt-dev", "zlib1g-dev", "libzstd-dev", "liblz4-dev", "libxxhash-dev", "libssl-dev", "python3"]


def prepare(room):
    room.build("prise-built", room.source("rsync"), "[ -x configure.sh ] || ./prepare-source; ./configure --disable-md2man", "make -s -j2 all check-progs || make -s -j2 all tls getgroups getfsdev testrun trimslash t_unsafe wildtest simdtest", "touch prise-built")


def cases(room):
    tree = room.source("rsync")
    for test in sorted((tree / "testsuite").glob("*.test")):
        yield Case(test.stem, ["sh", "./runtests.sh"], cwd=tree, env={"whichtests": test.name, "rsync_bin": tree / "rsync", "srcdir": tree, "TOOLDIR": tree, "scratchbase": tree}, read=verdict, seconds=180)


def verdict(status, output):
    return {"": "SKIP"} if "SKIP " in output and status == 0 else None

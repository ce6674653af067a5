"""chrony's tests of its daemon and its client: NTP and commands over UDP, NTS over TLS, sockets bound to a device, reference clocks."""
from suite import Case

PACKAGES = ["gcc", "make", "libgnutls28-dev", "libedit-dev", "libcap-dev", "libseccomp-dev", "pkg-config"]


def prepare(room):
    room.build("chronyd", room.source("chrony"), "./configure --enable-debug --enable-scfilter", "make -s -j2", "make -s -j2 -C test/unit check")


def cases(room):
    system = room.source("chrony") / "test" / "system"
    for path in sorted(system.glob("0*")):
        yield Case(path.name, ["sh", "-c", f"./{path.name}; status=$?; [ $status = 9 ] && exit 77; exit $status"], cwd=system, env={"CHRONYD_WRAPPER": "", "TEST_DIR": "/tmp/chrony-tests"}, seconds=120)

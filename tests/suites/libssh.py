"""libssh's tests: its server against OpenSSH's and Dropbear's clients over TCP with each algorithm, and its units."""
from suite import Case, gtest

PACKAGES = ["cmake", "gcc", "libssl-dev", "zlib1g-dev", "libcmocka-dev", "openssh-client", "dropbear-bin", "libsocket-wrapper", "libnss-wrapper", "libuid-wrapper", "libpam-wrapper", "openssh-server"]


def prepare(room):
    options = "-DUNIT_TESTING=ON -DSERVER_TESTING=ON -DWITH_GSSAPI=OFF -DWITH_EXAMPLES=OFF"
    room.build("prise-built", room.source("libssh"), f"cmake -S . -B built {options}", "make -C built -s -j2", "touch prise-built")


def cases(room):
    tests = room.source("libssh") / "built/tests"
    # Each of pkd's tests runs a program of its own, hundreds of times.
    yield Case("pkd", ["./pkd_hello", "-i1"], cwd=tests / "pkd", read=gtest, seconds=900)
    for program in sorted(path for path in (tests / "unittests").glob("torture_*") if path.is_file() and not path.suffix):
        yield Case(program.name, [program], cwd=program.parent, env={"TORTURE_SKIP_CLEANUP": "0"}, read=gtest, seconds=200)

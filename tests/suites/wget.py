"""Wget's tests, in Python and in Perl, with servers of their own for HTTP, HTTPS and FTP."""
from suite import Case

PACKAGES = ["wget", "python3", "perl", "libwww-perl", "libhttp-daemon-perl", "libio-socket-ssl-perl"]


def prepare(room):
    room.source("wget")


def cases(room):
    tree = room.source("wget")
    env = {"WGET_PATH": "/usr/bin/wget", "WGETRC": "/dev/null", "MAKE_CHECK": "True", "SSL_TESTS": "1", "PYTHONPATH": tree / "testenv", "srcdir": tree / "testenv"}
    for path in sorted((tree / "testenv").glob("Test-*.py")):
        yield Case(path.name, ["sh", "-c", f"cd $(mktemp -d); exec python3 {path}"], env=env, seconds=60)
    for path in sorted((tree / "tests").glob("Test-*.px")):
        yield Case(path.name, ["perl", f"-I{tree}/tests", path], cwd=tree / "tests", env={**env, "WGETRC": "", "SYSTEM_WGETRC": "", "srcdir": tree / "tests"}, seconds=60)

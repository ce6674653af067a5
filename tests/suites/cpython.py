"""CPython 3.13's own tests of its network modules: Debian 13's interpreter and test suite, in a tree of that release."""
import pathlib

from suite import FAIL, Case, unittest

PACKAGES = []
MODULES = """
    test_socket test_asyncio test_selectors test_select test_epoll test_poll test_socketserver test_ssl test_httplib test_httpservers
    test_urllib test_urllib2 test_urllib2_localnet test_urllibnet test_ftplib test_poplib test_imaplib test_smtplib test_xmlrpc test_docxmlrpc
    test_wsgiref test_robotparser test_logging test_timeout test_signal test_eintr test_fcntl test_ioctl test_posix test_multiprocessing_fork
""".split()


def prepare(room):
    room.release("trixie", ["python3.13", "libpython3.13-testsuite", "openssl"])


def cases(room):
    """Big ones a part each, so that what takes long is not lost as a whole."""
    root = room.release("trixie", [])
    at = root / "usr/lib/python3.13/test"
    for module in MODULES:
        parts = sorted(path.stem for path in (at / module).glob("test_*.py")) if (at / module).is_dir() else []
        for name in [f"{module}.{part}" for part in parts] or [module] * (at / f"{module}.py").exists():
            words = ["python3.13", "-m", "test", "-v", "-i", "*VSOCK*", "--timeout=120", "-u", "all,-largefile,-urlfetch,-gui", name]
            yield Case(name, words, cwd=pathlib.Path("/tmp"), read=tests_of, seconds=900, root=root)


def tests_of(status, output):
    """As written: `test_name (path.of.test) ... ok`."""
    tests = unittest(output, r"^(\w+ \([\w.]+\))")
    if status not in (0, 2, 4, 5):
        tests["end"] = FAIL
    return tests

"""CPython's own tests of its network modules: a release of Debian's interpreter and test suite, in a tree of that release."""
import pathlib

from suite import FAIL, Case, unittest

MODULES = """
    test_socket test_asyncio test_selectors test_select test_epoll test_poll test_socketserver test_ssl test_httplib test_httpservers
    test_urllib test_urllib2 test_urllib2_localnet test_urllibnet test_ftplib test_poplib test_imaplib test_smtplib test_xmlrpc test_docxmlrpc
    test_wsgiref test_robotparser test_logging test_timeout test_signal test_eintr test_fcntl test_ioctl test_posix
""".split()


class Interpreter:
    """`more`: what else it has. From 3.14 on multiprocessing forks from a server."""

    PACKAGES = []

    def __init__(self, version, release, *more):
        self.version, self.release, self.modules = version, release, [*MODULES, *more]
        self.__doc__ = f"CPython {version}, of Debian's {release}: its network modules"

    def prepare(self, room):
        room.release(self.release, [f"python{self.version}", f"libpython{self.version}-testsuite", "openssl"])

    def cases(self, room):
        """Big ones a part each, so that what takes long is not lost as a whole."""
        root = room.release(self.release, [])
        at = root / f"usr/lib/python{self.version}/test"
        for module in self.modules:
            parts = sorted(path.stem for path in (at / module).glob("test_*.py")) if (at / module).is_dir() else []
            for name in [f"{module}.{part}" for part in parts] or [module] * (at / f"{module}.py").exists():
                words = [f"python{self.version}", "-m", "test", "-v", "-i", "*VSOCK*", "--timeout=120", f"--tempdir=/tmp/prise-{name}", "-u", "all,-largefile,-urlfetch,-gui", name]
                yield Case(name, words, cwd=pathlib.Path("/tmp"), read=tests_of, seconds=900, root=root)


def tests_of(status, output):
    """As written: `test_name (path.of.test) ... ok`."""
    tests = unittest(output, r"^(\w+ \([\w.]+\))")
    if status not in (0, 2, 4, 5):
        tests["end"] = FAIL
    return tests


SUITES = {
    "cpython": Interpreter("3.13", "trixie", "test_multiprocessing_fork"),
    "cpython-3.14": Interpreter("3.14", "forky", "test_multiprocessing_forkserver", "test_free_threading"),
}

"""Packages of Debian that are built from source with the tests that `make check` would run: each of $(TESTS) is a case."""
import subprocess

from suite import Case


class Checked:
    """`configure`: its options. `directories`: where tests are. `apart`: those that need the world outside. `programs`: what makes the
    programs without running them. `read`: what tells one test of a program from another."""

    def __init__(self, package, needs, *directories, configure="", programs="make -s check TESTS=", apart=(), read=None, env=None, seconds=120):
        self.package, self.directories, self.configure, self.programs = package, directories, configure, programs
        self.apart, self.read, self.env, self.seconds = apart, read, env or {}, seconds
        self.PACKAGES = ["gcc", "make", "pkg-config", *needs.split()]
        self.__doc__ = f"{package}, of Debian: {' '.join(directories)}"

    def prepare(self, room):
        commands = ["[ -x configure ] || autoreconf -fi", f"./configure {self.configure}", "make -s", *(f"{self.programs} -C {directory}" for directory in self.directories)]
        room.build("prise-built", room.source(self.package), *commands, "touch prise-built")

    def cases(self, room):
        for directory in self.directories:
            tests = room.source(self.package) / directory
            command = ["make", "-s", "--no-print-directory", "--eval", "prise-tests: ; @echo $(TESTS)", "prise-tests"]
            told = subprocess.run(command, cwd=tests, stdout=subprocess.PIPE, text=True, check=True).stdout
            for name in told.split():
                if name not in self.apart:
                    yield Case(f"{directory}/{name}", [f"./{name}"], cwd=tests, env={"srcdir": ".", **self.env}, read=self.read, seconds=self.seconds)


SUITES = {
    "libmicrohttpd": Checked("libmicrohttpd", "libcurl4-gnutls-dev libgnutls28-dev libgcrypt20-dev autoconf automake libtool gettext texinfo", "src/microhttpd", "src/testcurl", "src/testcurl/https", configure="--disable-doc --enable-static --disable-shared", seconds=180),
    "neon": Checked("neon27", "libssl-dev libexpat1-dev zlib1g-dev autoconf automake libtool", "test", configure="--with-ssl=openssl --with-expat", programs="make -s --eval 'prise-built: ; $(MAKE) $(TESTS) $(HELPERS)' prise-built"),
}

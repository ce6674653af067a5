"""Packages of Debian that are built from source with the tests that `make check` would run: each of $(TESTS) is a case."""
import re
import subprocess

from suite import FAIL, PASS, SKIP, Case, gtest, told


class Checked:
    """`configure`: its options. `directories`: where tests are. `apart`: those that need the world outside. `only`: a pattern of the others' names. `programs`: what makes the
    programs without running them. `read`: what tells one test of a program from another. `harness`: tests run by automake's own, which
    has what they expect in their environment. `prefix`: what they are run by.
    `anew`: configure is of an automake that is not installed."""

    def __init__(self, package, needs, *directories, configure="", programs="make -s -j2 check TESTS=", apart=(), only="", read=None, env=None, harness=False, prefix=(), anew=False, seconds=120):
        self.package, self.directories, self.configure, self.programs, self.harness = package, directories, configure, programs, harness
        self.apart, self.read, self.env, self.prefix, self.seconds = apart, read or (harness and of_harness), env or {}, prefix, seconds
        self.anew, self.only = anew, re.compile(only)
        self.PACKAGES = ["gcc", "make", "pkg-config", *needs.split()]
        self.__doc__ = f"{package}, of Debian: {' '.join(directories)}"

    def prepare(self, room):
        # Of some the distribution leaves out what belongs to configure.
        commands = ["[ -x configure ] && { [ ! -d build-aux ] || [ -e build-aux/compile ]; } || autoreconf -fi", *(["autoreconf -fi"] if self.anew else []), f"./configure {self.configure}", "make -s -j2", *(f"{self.programs} -C {directory}" for directory in self.directories)]
        room.build("prise-built", room.source(self.package), *commands, "touch prise-built")

    def cases(self, room):
        for directory in self.directories:
            tests = room.source(self.package) / directory
            command = ["make", "-s", "--no-print-directory", "--eval", "prise-tests: ; @echo $(TESTS)", "prise-tests"]
            told = subprocess.run(command, cwd=tests, stdout=subprocess.PIPE, text=True, check=True).stdout
            for name in told.split():
                if name not in self.apart and self.only.match(name):
                    words = ["sh", "-c", WITH_LOG, "sh", name, re.sub(r"\.(sh|py|pl|test)$", "", name)] if self.harness else [f"./{name}"]
                    yield Case(f"{directory}/{name}", [*self.prefix, *words], cwd=tests, env={"srcdir": ".", **self.env}, read=self.read, seconds=self.seconds)


WITH_LOG = 'rm -f "$1".log "$1".trs "$2".log "$2".trs; make -s check-TESTS TESTS="$1"; status=$?; cat "$1".log 2> /dev/null || cat "$2".log; exit $status'


def of_harness(_status, output):
    verdict = re.search(r"^(PASS|FAIL|SKIP|XFAIL|XPASS|ERROR):? ", output, re.MULTILINE)
    return {"": {"PASS": PASS, "SKIP": SKIP, "XFAIL": SKIP}.get(verdict and verdict[1], FAIL)}


TINYTEST = told(r"^(?P<name>[\w/]+): .*?(?P<word>OK|SKIPPED|FAILED)\]?$", {"OK": PASS, "SKIPPED": SKIP, "FAILED": FAIL})
SUITES = {
    "bind9": Checked("bind9", "libuv1-dev libnghttp2-dev libssl-dev libcap-dev libcmocka-dev libjson-c-dev autoconf automake libtool", "tests/isc", "tests/ns", "tests/dns", configure="--disable-doh-trace --disable-linux-caps --disable-geoip --without-lmdb --without-gssapi --without-libxml2 --with-cmocka=yes CFLAGS=-O0", anew=True, programs="make -s -C tests/libtest libtest.la; make -s -j2 check TESTS=", read=gtest),
    "openvpn": Checked("openvpn", "libssl-dev liblzo2-dev liblz4-dev libnl-genl-3-dev libcap-ng-dev libcmocka-dev autoconf automake libtool", "tests", "tests/unit_tests/openvpn", configure="--disable-plugin-auth-pam CFLAGS=-O1", harness=True, apart=("t_client.sh", "t_net.sh"), seconds=400),
    "tor": Checked("tor", "libevent-dev libssl-dev zlib1g-dev", ".", configure="--disable-asciidoc --disable-manpage --disable-html-manual --disable-systemd --disable-lzma --disable-zstd --disable-module-pow --enable-fatal-warnings=no CFLAGS=-O0", harness=True, read=TINYTEST, seconds=600),
    # Its certificates end in 2025.
    "wolfssl": Checked("wolfssl", "autoconf automake libtool openssl faketime", ".", prefix=("faketime", "-f", "-1400d"), configure="--enable-distro --enable-dtls --enable-dtls13 --enable-dtlscid --enable-psk --enable-sessionexport CFLAGS=-O1", harness=True, apart=("scripts/external.test", "scripts/google.test", "scripts/ocsp.test"), seconds=600),
    "gnutls": Checked("gnutls28", "nettle-dev libtasn1-6-dev libtasn1-bin libidn2-dev libgmp-dev bison gperf datefudge net-tools openssl", "tests", harness=True, configure="--disable-doc --disable-cxx --disable-guile --without-p11-kit --without-tpm2 --without-tpm --disable-nls --disable-gtk-doc --disable-libdane --disable-valgrind-tests --with-included-unistring"),
    "inetutils": Checked("inetutils", "autoconf automake bison net-tools libreadline-dev", "tests", harness=True, configure=" ".join(f"--disable-{name}" for name in "rlogin rsh rcp rexec talk talkd uucpd rlogind rshd rexecd".split())),
    "libmodbus": Checked("libmodbus", "autoconf automake libtool", "tests", harness=True),
    "libmicrohttpd": Checked("libmicrohttpd", "libcurl4-gnutls-dev libgnutls28-dev libgcrypt20-dev autoconf automake libtool gettext texinfo", "src/microhttpd", "src/testcurl", "src/testcurl/https", configure="--disable-doc --enable-static --disable-shared", seconds=180),
    "neon": Checked("neon27", "libssl-dev libexpat1-dev zlib1g-dev autoconf automake libtool", "test", configure="--with-ssl=openssl --with-expat", programs="make -s --eval 'prise-built: ; $(MAKE) $(TESTS) $(HELPERS)' prise-built"),
    # Of its resolver's tests one writes gigabytes of what a name server tells of itself.
    "sofia": Checked("sofia-sip", "libssl-dev autoconf automake libtool check", *(f"libsofia-sip-ua/{name}" for name in ("su", "tport", "sresolv", "nth", "nta", "nua")), configure="--disable-static --without-glib CFLAGS='-O1 -w'", harness=True, apart=("run_test_sresolv",), seconds=300),
    # What looks at sockets from outside: the calls of its own tests, with the names that sock_diag(7) has for their descriptors.
    "strace": Checked("strace", "", "tests", configure="--enable-mpers=no --disable-gcc-Werror CFLAGS='-O1 -w'", harness=True, only="accept|getsockname|ioctl_(sock|inet|scm)|net|pidfd_getfd|poke-|p?poll|p?select|epoll|recv|scm_|send|shutdown|so_|sock|xet|seccomp|inject|fork|signal|status|.*filter|dup|fcntl|.*msg|sctp|splice|tee|.*bind|.*connect"),
    # Those apart tell of each request that they make: a gigabyte each.
    "libnbd": Checked("libnbd", "nbdkit qemu-utils libgnutls28-dev gnutls-bin libxml2-dev autoconf automake libtool", "tests", "interop", configure="--disable-ocaml --disable-python --disable-golang --disable-fuse --disable-ublk CFLAGS='-O1 -w'", harness=True, apart=[f"{way}{end}.sh" for way in ("aio-parallel", "aio-parallel-load", "synch-parallel") for end in ("", "-tls")]),
}

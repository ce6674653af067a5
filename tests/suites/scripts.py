"""Packages of Debian that are built from source, whose tests are scripts or programs that a pattern finds, a case each."""
import re

from suite import FAIL, PASS, SKIP, Case, tap, told
from tcl import verdicts as tcltest

# libcheck's, told verbosely; a test that is run in a loop has a number for each turn.
CHECK = told(r"^[^\n:]+:\d+:(?P<word>[PFE]):(?P<name>[^:]+:[^:]+):", {"P": PASS, "F": FAIL, "E": FAIL}, ends=(0, 1))
GNUSTEP = told(r"^(?P<word>Passed|Failed|Dashed|Skipped) [^:\n]*: +\S+ \S+ \S+ (?P<name>.*?)(?: object <.*)?$", {"Passed": PASS, "Failed": FAIL, "Dashed": SKIP, "Skipped": SKIP})
# A program of OCaml's and what it has to print.
COMPILED = """
[ -e "${{1%.ml}}.reference" ] || exit 77
at=$(mktemp -d); cp *.ml "$at"
(cd "$at"; ocamlfind ocamlopt -w -a -thread -package unix,threads.posix -linkpkg $(sed -n 's/^ *modules = "\\(.*\\)"/\\1/p' "$1" | head -n 1) "$1" -o program) || exit 77
(cd "$at" && ./program > told 2>&1); diff "$at/told" "${{1%.ml}}.reference"; status=$?
rm -r "$at"; exit $status
"""


def lwt(_status, output):
    """Its signs come as tests end, in any order: what counts is how many."""
    found = re.search(r"^Ok\. (\d+) tests ran", output, re.MULTILINE)
    return {str(number): PASS for number in range(int(found[1]))} if found else {"": FAIL}


class Scripts:
    """`build`: what builds it, in the sources. `tests`: patterns of the tests' files; what they find is run `within` a directory by the words `by`, in which
    {name}, {stem}, {group}, {path} and {at} are a test's name, with and without its end, that of its directory, and the paths of both below the sources."""

    def __init__(self, package, needs, *tests, build=(), by=("./{name}",), within="{at}", env=None, read=None, seconds=120):
        self.package, self.tests, self.build, self.by, self.within = package, tests, build, by, within
        self.env, self.read, self.seconds = env or {}, read, seconds
        self.PACKAGES = ["gcc", "make", "pkg-config", *needs.split()]
        self.__doc__ = f"{package}, of Debian: {' '.join(tests)}"

    def prepare(self, room):
        room.build("prise-built", room.source(self.package), *self.build, "touch prise-built")

    def cases(self, room):
        source = room.source(self.package)
        env = {name: value.format(source=source) for name, value in self.env.items()}
        for pattern in self.tests:
            for test in sorted(source.glob(pattern)):
                path = test.relative_to(source)
                if pattern.endswith(test.suffix) or test.suffix not in (".c", ".h", ".in", ".o"):
                    words = {"name": test.name, "stem": test.stem, "path": path, "at": path.parent, "group": path.parent.name, "source": source}
                    yield Case(str(path), [word.format(**words) for word in self.by], cwd=source / self.within.format(**words), env=env, read=self.read, seconds=self.seconds)


SUITES = {
    "krb5": Scripts("krb5", "bison python3 libssl-dev libldap-dev libsasl2-dev libverto-dev keyutils libkeyutils-dev", "src/tests/t_*.py", "src/kdc/t_*.py", "src/appl/*/t_*.py", "src/tests/gssapi/t_*.py", "src/lib/rpc/unit-test/t_*.py", "src/lib/kadm5/t_kadm5.py",
                    build=("cd src && ./configure --disable-rpath --without-readline CFLAGS=-O1", "make -s -j2 -C src", "cd src && make -s runenv.py && for at in tests tests/gssapi appl/user_user lib/kadm5 lib/rpc/unit-test; do make -s -C $at check-pytests RUNPYTEST=:; done"), by=("python3", "{name}", "-v"), env={"PYTHONPATH": "{source}/src/util"}, seconds=100),
    "openldap": Scripts("openldap", "libsasl2-dev libssl-dev libltdl-dev libargon2-dev groff-base python3", "tests/scripts/test[0-9]*",
                        build=("cp debian/schema/*.schema debian/schema/*.ldif servers/slapd/schema/", "./configure --enable-modules=no --enable-overlays --enable-backends=no --enable-mdb --enable-ldap --enable-meta --enable-asyncmeta --enable-relay --enable-null --enable-balancer=yes --enable-crypt --disable-sql --disable-perl --disable-ndb --with-tls=openssl CFLAGS=-O1", "make -s depend", "make -s -j2", "make -s -C tests/progs"), by=("./run", "-b", "mdb", "{name}"), within="tests", seconds=400),
    # Of one script the distribution's archive has only the name.
    "dovecot": Scripts("dovecot", "libssl-dev bison flex zlib1g-dev", *(f"src/{name}" for name in ("lib/test-lib", "lib-http/test-http-*-*", "lib-http/test-http-payload", "lib-smtp/test-smtp-*", "lib-imap-client/test-*", "lib-program-client/test-*", "lib-dict/test-dict-*", "lib-ssl-iostream/test-*", "lib-sasl/test-*", "lib-dns/test-*", "lib-master/test-*", "master/test-*")),
                       build=("./configure --with-ldap=no --without-sql --without-docs CFLAGS=-O0", "touch src/plugins/fts/decode2text.sh", "make -s -j2"), read=told(r"^(?P<name>.*?) \.+ : (?P<word>ok|FAILED)", {"ok": PASS, "FAILED": FAIL}, ends=(0, 1)), seconds=300),
    "netsnmp": Scripts("net-snmp", "perl libssl-dev", "testing/fulltests/default/T*", "testing/fulltests/transports/T*", "testing/fulltests/snmpv3/T*",
                       build=("./configure --with-defaults --disable-embedded-perl --without-perl-modules --disable-manuals --enable-ipv6 CFLAGS=-O1", "make -s"), by=("./RUNFULLTESTS", "-v", "-g", "{group}", "-r", "{name}"), within="testing", read=tap),
    "knot": Scripts("knot", "autoconf automake libtool liburcu-dev libgnutls28-dev libedit-dev liblmdb-dev", "tests/contrib/test_*", "tests/knot/test_*", "tests/libknot/test_*",
                    build=("[ -x configure ] || autoreconf -fi", "./configure --disable-documentation --disable-fastparser --disable-xdp --disable-systemd CFLAGS=-O0", "make -s -j2", "make -s -j2 -C tests check TESTS="), env={"SOURCE": "{source}/tests", "BUILD": "{source}/tests"}, read=tap),
    "pgbouncer": Scripts("pgbouncer", "postgresql-15 libevent-dev libssl-dev libudns-dev openssl", "test/test.sh", "test/ssl/test.sh", build=("[ -x configure ] || ./autogen.sh", "./configure --without-cares", "make -s -j2", "chown -R 65534:65534 ."),
                         by=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "./{name}"), env={"HOME": "/tmp", "USER": "nobody", "HAVE_IPV6_LOCALHOST": "1", "PATH": "/usr/lib/postgresql/15/bin:/usr/bin:/bin:/usr/sbin:/sbin"},
                         read=told(r"running (?P<name>\w+) \.\.\. (?P<word>ok|FAILED|skipped)", {"ok": PASS, "FAILED": FAIL, "skipped": SKIP}, ends=(0, 1)), seconds=900),
    "h2o": Scripts("h2o", "cmake bison curl nghttp2-client wget zlib1g-dev libssl-dev libuv1-dev libwslay-dev libyaml-dev netcat-openbsd starlet libfcgi-procmanager-perl libio-socket-ssl-perl libjson-perl libpath-tiny-perl libscope-guard-perl libtest-exception-perl memcached", "t/*.t",
                   build=("cmake -DWITH_BUNDLED_SSL=off -DWITH_MRUBY=off -DCMAKE_C_FLAGS=-O1 .", "make -s -j2", "make -s -j2 t-00unit-evloop.t t-00unit-libuv.t"), by=("perl", "{path}"), within=".", env={"PERL5LIB": "{source}"}, read=tap),
    "lwt": Scripts("lwt", "ocaml-dune libocplib-endian-ocaml-dev libdune-ocaml-dev ocaml-findlib cppo libev-dev", "_build/default/test/unix/main.exe", build=("dune build ./test/unix/main.exe ./test/unix/dummy.exe ./test/unix/bytes_io_data",), read=lwt, seconds=300),
    # Its daemon, HTTP by Apache (not as root), both protocols, what its commands say to each other, its own processes' sockets.
    "git": Scripts("git", "libcurl4-openssl-dev libexpat1-dev libssl-dev zlib1g-dev apache2 perl", *(f"t/t{number}-*.sh" for number in ("0052", "0301", "530[0-9]", "5500", "551[0-9]", "552[0-9]", "553[0-9]", "554[0-9]", "555[0-9]", "556[0-9]", "557[0-9]", "558[0-9]", "5601", "570[0-9]", "573[0-9]", "7527", "9001")),
                   build=("make -s -j2 CFLAGS=-O0 NO_GETTEXT=1 NO_TCLTK=1 all",), by=("./{name}",), within="t", read=tap, seconds=400),
    "nanomsg": Scripts("nanomsg", "cmake", "tests/*.c", build=("cmake -S . -B build -DNN_ENABLE_DOC=OFF", "make -s -j2 -C build"), by=("./{stem}",), within="build"),
    "gnustep": Scripts("gnustep-base", "gnustep-make gobjc libffi-dev libgnutls28-dev libxml2-dev zlib1g-dev libicu-dev", *(f"Tests/base/{name}" for name in ("NSConnection", "NSFileHandle", "NSHost", "NSNotification", "NSPort", "NSRunLoop", "NSStream", "NSTask", "NSURL", "NSURLConnection", "NSURLHandle", "NSURLSession", "GSTLS", "NSThread", "NSOperation")),
                       build=(". /usr/share/GNUstep/Makefiles/GNUstep.sh && ./configure --disable-importing-config-file --disable-zeroconf --disable-xslt --disable-libdispatch && make -s -j2 debug=yes",), by=("sh", "-c", ". /usr/share/GNUstep/Makefiles/GNUstep.sh; make -s check testobj={name}; status=$?; cat tests.log; exit $status"), within="Tests", read=GNUSTEP, seconds=400),
    "tcllib": Scripts("tcllib", "tcl8.6 tcl-tls", *(f"modules/{name}/*.test" for name in ("comm", "pop3", "httpd", "nettool", "udpcluster", "mime", "log", "dns")), by=("tclsh8.6", "{name}", "-verbose", "pse"), read=tcltest),
    "civetweb": Scripts("civetweb", "check libssl-dev", "unittest/all", build=("mkdir -p output && gcc -w unittest/cgi_test.c -o output/cgi_test.cgi", "gcc -O1 -w -DUSE_WEBSOCKET -DUSE_IPV6 -DUSE_SERVER_STATS -DNO_SSL_DL -DOPENSSL_API_1_1 -Iinclude -Isrc unittest/main.c unittest/private.c unittest/public_func.c unittest/public_server.c unittest/private_exe.c unittest/timertest.c unittest/shared.c src/civetweb.c -Wl,--allow-multiple-definition -o unittest/all -lcheck -lsubunit -lm -lrt -lssl -lcrypto -ldl -lpthread",),
                        by=("{path}", "--test-dir={source}/examples/https/"), within=".", read=CHECK, seconds=900),
    "proftpd": Scripts("proftpd-dfsg", "libtest-unit-perl libnet-inet6glue-perl libnet-telnet-perl libssl-dev libcap-dev", *(f"tests/t/{name}.t" for name in ("logins", "telnet", "http", "smtp", "commands/*", "signals/*", *(f"config/{name}" for name in ("allowforeign*", "defer*", "masq*", "maxc*", "maxinst*", "maxt*", "passive*", "port", "protocols", "serveri*", "socket*", "timeout*", "transfer*", "usesendfile", "virtualhost")), "modules/mod_tls", "modules/mod_ban", "modules/mod_ctrls")),
                       build=("./configure --enable-ctrls --enable-ipv6 --enable-openssl --enable-devel=coredump --with-modules=mod_tls:mod_ban:mod_copy:mod_digest:mod_site_misc CFLAGS=-O1", "make -s"), by=("sh", "-c", "exec perl tests.pl -V ${{1#tests/}}", "sh", "{path}"), within="tests", read=told(r"^(?P<word>ok|not ok) (?:PASS|FAIL|ERROR) (?P<name>\w+)", {"ok": PASS, "not ok": FAIL}, ends=(0, 1, 255)), seconds=400),
    "poe": Scripts("libpoe-perl", "perl libpoe-perl libpoe-test-loops-perl libev-perl", "loops/*/*.t", "t/10_units/0[2368]*/*.t", "t/20_resources/*/*.t", "t/90_regression/*.t", build=("touch run_network_tests", "poe-gen-tests --dirbase loops --loop Select --loop IO_Poll",), by=("perl", "{path}"), within=".", env={"PERL5LIB": "{source}"}, read=tap),
    "cqueues": Scripts("lua-cqueues", "lua5.3 lua-cqueues lua-luaossl", "regress/[0-9]*.lua", by=("lua5.3", "{name}"), env={"LUA_PATH": "./?.lua;;"}),
    # Of its examples those that speak to each other; the others ask its own site.
    "libwebsockets": Scripts("libwebsockets", "cmake ninja-build libssl-dev", "build/CTestTestfile.cmake", build=("cmake -S . -B build -G Ninja -DLWS_WITH_MINIMAL_EXAMPLES=1 -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS='-O0 -g0 -w' -DDISABLE_WERROR=ON -Wno-dev", "ninja -C build -j2", "DESTDIR=$PWD/destdir ninja -C build install"),
                             by=("ctest", "-E", "warmcat", "--timeout", "60"), within="build", read=told(r"Test +#\d+: (?P<name>\S+) \.+ *(?P<word>Passed|\*\*\*\w+)", {"Passed": PASS, "***Failed": FAIL, "***Timeout": FAIL, "***Exception": FAIL, "***Not": FAIL, "***Skipped": SKIP}, ends=(0, 8)), seconds=600),
    # What speaks to others, on pairs of sessions of its own; its trackers and proxies are Python's.
    "libtorrent": Scripts("libtorrent-rasterbar", "cmake ninja-build g++ libboost1.81-dev libssl-dev python3", *(f"test/test_{name}.cpp" for name in ("auto_unchoke", "*dht", "enum_net", "fast_extension", "http_connection", "listen_socket", "lsd", "magnet", "pe_crypto", "peer_priority", "privacy", "priority", "read_piece", "re[chms]*", "session", "socket_io", "ssl", "time_critical", "torrent", "tracker", "transfer", "upnp", "url_seed", "utp", "web_seed*")),
                          build=("cmake -S . -B build -G Ninja -Dbuild_tests=ON -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS='-O0 -g0' -Wno-dev", "ninja -C build -j2"), by=("{source}/build/test/{stem}",),
                          read=told(r"^\[\S+?\.cpp\.(?P<name>\w+) *\] (?:\*\*\*|\d+ )(?P<word>PASS|FAILURES)", {"PASS": PASS, "FAILURES": FAIL}, ends=(0, 77)), seconds=300),
    "ocaml": Scripts("ocaml", "ocaml-nox ocaml-findlib", *(f"testsuite/tests/{name}/*.ml" for name in ("lib-unix/*", "lib-threads", "lib-systhreads")), by=("sh", "-c", COMPILED, "sh", "{name}")),
}

"""Unbound's tests with servers and clients (testdata/*.tdir): UDP, TCP, TLS, DNS over HTTPS, dnstap, proxies, timeouts, reuse of connections."""
from suite import Case

PACKAGES = ["gcc", "make", "bison", "flex", "libssl-dev", "libexpat1-dev", "libnghttp2-dev", "libfstrm-dev", "libprotobuf-c-dev", "protobuf-c-compiler", "libsodium-dev", "bind9-dnsutils", "ldnsutils", "ncat", "xxd"]
# They check style, the manual, the compiler, or want the world outside.
APART = ("00-lint", "01-doc", "02-unittest", "03-testbound", "06-ianaports", "clang-analysis", "root_anchor", "hostsfileosx", "pylib", "pymod", "pymod_thread", "nss_compile")
# A test's directory is named by its process, whose number each name space counts from 1.
ONE = 'cd testdata; rm -rf "$1".[0-9]* result."$1" .done-"$1" .skip-"$1"; sh ../testcode/mini_tdir.sh -a ../.. exe "$1".tdir; cat result."$1"; [ -f .skip-"$1" ] && exit 77; [ -f .done-"$1" ]'


def prepare(room):
    options = "--disable-rpath --disable-flto --with-libnghttp2 --enable-dnstap --enable-dnscrypt --enable-subnet --with-ssl"
    room.build("prise-built", room.source("unbound"), f"./configure {options}", "make -s -j2 all", "make -s -j2 streamtcp dohclient delayer perf petal pktview unbound-dnstap-socket asynclook", "touch prise-built")


def cases(room):
    source = room.source("unbound")
    for path in sorted((source / "testdata").glob("*.tdir")):
        if path.stem not in APART:
            yield Case(path.stem, ["bash", "-c", ONE, "sh", path.stem], cwd=source, seconds=180)

"""HAProxy's regression tests (.vtc), run by Varnish's varnishtest: HTTP/1 and 2, TLS, checks, peers, stick tables, mailers, reloads, SPOE, FastCGI, logs over UDP."""
import re

from suite import Case

PACKAGES = ["haproxy", "varnish", "socat", "openssl"]
MACROS = ("no-htx", "htx")


def prepare(room):
    room.source("haproxy")


def cases(room):
    tests = room.source("haproxy") / "reg-tests"
    macros = [word for name in MACROS for word in ("-D", f"{name}={'#' if name == 'no-htx' else ''}")]
    for path in sorted(tests.rglob("*.vtc")):
        if not re.search(r"^#REGTEST_TYPE=(broken|bug)", path.read_text(), re.MULTILINE):
            yield Case(str(path.relative_to(tests)), ["varnishtest", *macros, "-t", "30", path.name], cwd=path.parent, env={"HAPROXY_PROGRAM": "/usr/sbin/haproxy"}, seconds=40)

"""OpenSSL's tests whose s_server and s_client speak through a proxy in Perl that changes what they send, and those of its HTTP, CMP, DTLS and threads."""
import re

from suite import Case, tap

PACKAGES = ["gcc", "make", "perl"]
NETWORK = r"(70-test_(ssl|tls|comp|key|npn|record|renegot|servername|bad_dtls|clienthello)|79-test_http|80-test_(cmp_http|dtls|ocsp|ssl_)|90-test_(bio|async|threads|sslapi|fatalerr|tls13|overhead|time))"


def prepare(room):
    room.build("prise-built", room.source("openssl"), "./config -O1 enable-ssl3 enable-ssl3-method", "make -s -j2 build_programs build_modules", "touch prise-built")


def cases(room):
    source = room.source("openssl")
    for path in sorted((source / "test/recipes").glob("[0-9]*.t")):
        if re.match(NETWORK, path.name):
            name = path.stem.split("-")[1]
            yield Case(name, ["perl", "test/run_tests.pl", name], cwd=source, env={"SRCTOP": ".", "BLDTOP": ".", "PERL": "perl", "EXE_EXT": "", "HARNESS_VERBOSE": "yes"}, read=tap, seconds=300)

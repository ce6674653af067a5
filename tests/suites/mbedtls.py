"""Mbed TLS's ssl-opt.sh: what of it speaks DTLS, whose server connects the socket it has received on, mostly through a proxy that loses, holds back and repeats datagrams."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["gcc", "make", "perl", "openssl", "gnutls-bin", "faketime"]


def prepare(room):
    room.build("programs/test/udp_proxy", room.source("mbedtls"), "make -s lib CFLAGS=-O1", "make -s -C programs CFLAGS=-O1 ssl/ssl_server2 ssl/ssl_client2 test/udp_proxy test/query_compile_time_config")


def cases(room):
    tree = room.source("mbedtls")
    # Its certificates are over. What faketime leaves bears its process's number, which is the same in each name space.
    in_time = ["sh", "-c", 'rm -f /dev/shm/*faketime_*; exec faketime 2023-06-01 "$@"', "faketime"]
    yield Case("ssl-opt.sh", [*in_time, "bash", "tests/ssl-opt.sh", "-f", r"DTLS proxy\|DTLS reassembly\|DTLS client reconnect\|DTLS fragmenting: \(none\|gnutls\|openssl\)\|Event-driven I/O", "-e", "valgrind"], cwd=tree, read=verdicts, seconds=1500)


def verdicts(status, output):
    found = re.findall(r"^(.*?) \.+ (?:RETRY\S* )*(PASS|FAIL|SKIP)", output, re.MULTILINE)
    return {name: {"PASS": PASS, "SKIP": SKIP}.get(verdict, FAIL) for name, verdict in found} | {"end": PASS if status is not None else FAIL}

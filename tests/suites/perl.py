"""Perl core's socket tests: Socket, IO::Socket, IO::Socket::IP, HTTP::Tiny, libnet, Net::Ping, and the sockets of t/io."""
from suite import Case, tap

PACKAGES = ["perl"]
PLACES = {
    "cpan/Socket": "t/*.t",
    "cpan/IO-Socket-IP": "t/*.t",
    "dist/IO": "t/*[!8v].t",  # without the 16,000 checks of UTF-8
    "cpan/HTTP-Tiny": "t/*.t",
    "cpan/libnet": "t/*.t",
    "dist/Net-Ping": "t/*.t",
    "cpan/Sys-Syslog": "t/*.t",
}


def prepare(room):
    source = room.source("perl")
    # The core's tests look for the interpreter's own library beside them; the installed one is meant.
    room.build("dist/IO/t/test.pl", source, "mkdir -p core && cp -r t core/", "cp t/test.pl dist/IO/t/")


# Some tests are numbered in the order of a hash.
SAME_ORDER = {"PERL_HASH_SEED": "0"}


def cases(room):
    source = room.source("perl")
    for place, pattern in PLACES.items():
        for test in sorted((source / place).glob(pattern)):
            yield Case(f"{place}/{test.name}", ["perl", "-It/lib", "-I.", f"t/{test.name}"], cwd=source / place, env=SAME_ORDER, read=tap)
    for name in ("socket", "errno"):
        yield Case(f"t/io/{name}.t", ["perl", "-I.", f"io/{name}.t"], cwd=source / "core" / "t", read=tap)

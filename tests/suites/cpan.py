"""Perl's event loops, servers and clients beyond its core: AnyEvent, EV, Coro, Mojolicious, LWP, HTTP::Daemon, Plack, TLS."""
from suite import Case, tap

# {source: tests}; what is tried is the installed module.
SOURCES = {
    "libanyevent-perl": "t/[01]*.t",
    "libcoro-perl": "t/*.t",
    "libev-perl": "t/*.t",
    "libhttp-daemon-perl": "t/**/*.t",
    "libio-socket-ssl-perl": "t/*.t",
    "libmojolicious-perl": "t/moj*/*.t",
    "libnet-http-perl": "t/*.t",
    "libnet-ssleay-perl": "t/*/*.t",
    "libplack-perl": "t/**/*.t",
    "libsocket6-perl": "t/*.t",
    "libtest-tcp-perl": "t/*.t",
    "libwww-perl": "t/**/*.t",
}
PACKAGES = ["perl", "starman", "libtest-requires-perl", "libtest-needs-perl", "libtest-fatal-perl", "libtest-sharedfork-perl", *SOURCES]
# Loops of other libraries come where they are installed; tests of the sources' form have nothing to say here.
ENVIRONMENT = {"PERL_HASH_SEED": "0", "NO_NETWORK_TESTING": "1", "MOJO_LOG_LEVEL": "fatal"}


def prepare(room):
    for package in SOURCES:
        room.source(package)


def cases(room):
    for package, pattern in SOURCES.items():
        source = room.source(package)
        for test in sorted(source.glob(pattern)):
            if test.name.startswith(("author", "release", "pod")):
                continue
            name = test.relative_to(source)
            yield Case(f"{package}/{name}", ["perl", "-I.", "-It/lib", "-Iinc", name], cwd=source, env=ENVIRONMENT, read=tap, seconds=120)

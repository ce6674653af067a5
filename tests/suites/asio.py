"""Boost.Asio 1.81's tests with its reactors of epoll(7) and select(2): TCP, UDP, ICMP, groups, AF_UNIX, pipes, resolvers, TLS, signals, pools."""
import re

from suite import FAIL, PASS, Case

PACKAGES = ["g++", "make", "libboost1.81-dev", "libssl-dev"]
PLACES = ("", "experimental", "generic", "ip", "local", "posix", "ssl", "ts")
SELECT = "-DBOOST_ASIO_DISABLE_EPOLL -DBOOST_ASIO_DISABLE_EVENTFD"
# What asks for neither a reactor nor a thread when it runs.
APART = re.compile(r"address|network_v|associat|execution|properties|windows|archetype|buffer\.cpp|bind_|cancellation_(state|type)|placeholder|streambuf|_file|file_base|error\.cpp|coro")


def tests(room):
    root = room.source("boost1.81") / "libs/asio/test"
    return root, sorted(str(path.relative_to(root)) for place in PLACES for path in (root / place).glob("*.cpp") if not APART.search(path.name))


def prepare(room):
    root, names = tests(room)
    programs = [f"{name[:-4].replace('/', '_')}.{reactor}" for name in names for reactor in ("epoll", "select")]
    rules = ["LIBS = -lssl -lcrypto -pthread", "CXX = g++ -std=c++20 -O0 -w -DBOOST_ALL_NO_LIB -DBOOST_ASIO_SEPARATE_COMPILATION", f"all: {' '.join(programs)}"]
    for reactor, options in (("epoll", ""), ("select", SELECT)):
        rules.append(f"{reactor}.o:\n\tprintf '#include <boost/asio/impl/src.hpp>\\n#include <boost/asio/ssl/impl/src.hpp>\\n' > {reactor}.cpp; $(CXX) {options} -c {reactor}.cpp")
        for name in names:
            rules.append(f"{name[:-4].replace('/', '_')}.{reactor}: {reactor}.o\n\t$(CXX) {options} -o $@ {name} {reactor}.o $(LIBS)")
    (root / "Makefile.prise").write_text("\n".join(rules) + "\n")
    # One that the compiler does not take is no reason to go without the others.
    room.build("prise-built", root, "make -k -j2 -f Makefile.prise || :", "touch prise-built")


def cases(room):
    root, _names = tests(room)
    for program in sorted([*root.glob("*.epoll"), *root.glob("*.select")]):
        yield Case(program.name, [program], cwd=root, read=verdicts, seconds=120)


def verdicts(status, output):
    tests = {name: PASS if verdict == "passed" else FAIL for name, verdict in re.findall(r"^(\S+) (passed|failed)$", output, re.MULTILINE)}
    return {**tests, "end": PASS if status == 0 else FAIL}

"""POCO's Net testsuite: sockets of all kinds, multicast, raw sockets and pings, reactors, poll sets, HTTP, FTP, mail, WebSocket, interfaces."""
import re

from suite import Case

PACKAGES = ["g++", "libpoco-dev"]


def prepare(room):
    compile_all = "for file in $(ls src/*.cpp ../../CppUnit/src/*.cpp | grep -v Win); do g++ -O0 -w -I../../CppUnit/include -c $file -o $(basename $file .cpp).o; done"
    link = "g++ -o testrunner *.o -lPocoNet -lPocoFoundation -ldl -lpthread"
    room.build("testrunner", room.source("poco") / "Net/testsuite", compile_all, link)


def cases(room):
    tests = room.source("poco") / "Net/testsuite"
    for path in sorted((tests / "src").glob("*Test.cpp")):
        for name in re.findall(r"CppUnit_addTest\(pSuite, \w+, (\w+)\)", path.read_text()):
            yield Case(f"{path.stem} {name}", [tests / "testrunner", f"{len(path.stem)}{path.stem}EE.{name}"], cwd=tests, seconds=60)

"""Qt 5.15's tests of QtNetwork and of what QtCore builds on descriptors: sockets, servers, local sockets, datagrams, interfaces, lookups, TLS, processes, event loops."""
import re

from suite import FAIL, PASS, SKIP, Case

PACKAGES = ["g++", "make", "qtbase5-dev", "qtbase5-private-dev"]
NETWORK = ("socket/platformsocketengine", "socket/qabstractsocket", "socket/qhttpsocketengine", "socket/qlocalsocket", "socket/qsocks5socketengine", "socket/qtcpserver",
           "socket/qtcpsocket", "socket/qudpsocket", "kernel/qdnslookup", "kernel/qhostaddress", "kernel/qhostinfo", "kernel/qnetworkdatagram", "kernel/qnetworkinterface",
           "kernel/qnetworkproxyfactory", "access/http2", "access/qhttpnetworkconnection", "access/qhttpnetworkreply", "access/qnetworkaccessmanager", "access/qnetworkreply",
           "access/spdy", "ssl/qdtls", "ssl/qdtlscookie", "ssl/qocsp", "ssl/qsslsocket")
CORE = ("kernel/qeventloop", "kernel/qeventdispatcher", "kernel/qsocketnotifier", "kernel/qtimer", "io/qprocess", "io/qprocess-noapplication", "io/qfile", "thread/qthread")
WORDS = {"PASS": PASS, "FAIL!": FAIL, "XFAIL": SKIP, "SKIP": SKIP, "XPASS": FAIL, "BPASS": SKIP, "BFAIL": SKIP}


def directories(room):
    root = room.source("qtbase-opensource-src") / "tests/auto"
    return [root / "network" / name for name in NETWORK] + [root / "corelib" / name for name in CORE]


def network(room):
    return room.source("qtbase-opensource-src") / "prise-network"


# QtNetwork once more, with the insides that its tests look at: the distribution's has none of them.
LIBRARY = r"""
mkdir -p out; kept=/usr/include/$(gcc -print-multiarch)/qt5
QT_SELECT=qt5 qmake ../src/network/network.pro QT_FOR_CONFIG+='network network-private core-private' DEFINES+=QT_BUILD_INTERNAL INCLUDEPATH+="$kept $kept/QtNetwork $kept/QtNetwork/5.15.8 $kept/QtNetwork/5.15.8/QtNetwork $kept/QtCore/5.15.8 $kept/QtCore/5.15.8/QtCore"
sed -i -E 's,(^|[ =])/lib/,\1out/,g' Makefile; make -s -j2
"""
# Without the project's own servers and with no network but `lo` configured: what needs those fails, and the rest goes on.
OPEN = r"""
sed -i -E 's/!QtNetworkSettings::verifyTestNetworkSettings\(\)/false/; s/ifndef QT_NO_BEARERMANAGEMENT/if 0/' $(find tests/auto/network -name 'tst_*.cpp')
sed -i -E '/unsupported.testserver/d; s/requires\(qtConfig\(private_tests\)\)//' $(find tests/auto -name '*.pro')
touch prise-open; mkdir -p prise-network
"""
PROGRAM = r"""
QT_SELECT=qt5 qmake QMAKE_CXXFLAGS+='-O0 -w' DEFINES+=QT_BUILD_INTERNAL
make -s qmake_all || :
sed -i "s,/usr/lib/[^ ]*/libQt5Network.so,$library/libQt5Network.so,g" $(find . -name 'Makefile*'); make -s -k -j2 || :
touch prise-built
"""


def prepare(room):
    room.build("prise-open", room.source("qtbase-opensource-src"), OPEN)
    room.build("out/libQt5Network.so", network(room), LIBRARY)
    for directory in directories(room):
        # One that does not compile is no reason to go without the others.
        room.build("prise-built", directory, f"library={network(room)}/out; {PROGRAM}")


def cases(room):
    for directory in directories(room):
        for program in sorted({path for path in [*directory.glob("tst_*"), *directory.glob("test/tst_*")] if path.is_file() and not path.suffix}):
            yield Case(program.name, [program, "-v1"], cwd=directory, env={"LD_LIBRARY_PATH": network(room) / "out", "QT_QPA_PLATFORM": "offscreen", "QTEST_FUNCTION_TIMEOUT": "60000"}, read=verdicts, seconds=600)


def verdicts(status, output):
    tests = {}
    for word, name in re.findall(r"^(PASS|FAIL!|XFAIL|SKIP|XPASS|BPASS|BFAIL) *: (\w+::\w+\(.*?\))(?: |$)", output, re.MULTILINE):
        # A test that has failed is told of once more by what came after it.
        if tests.get(name) != FAIL:
            tests[name] = WORDS[word]
    tests["end"] = PASS if re.search(r"^Totals: ", output, re.MULTILINE) else FAIL
    return tests

"""SRT's unit tests: its transport over UDP sockets that share ports, with its own epoll, encryption, bonding, IPv6."""
from suite import Case, gtest

PACKAGES = ["cmake", "g++", "libssl-dev", "libgtest-dev", "googletest"]


def prepare(room):
    room.build("built/test-srt", room.source("srt"), "cmake -S . -B built -DENABLE_UNITTESTS=ON -DENABLE_BONDING=ON -DENABLE_APPS=OFF -DENABLE_SHARED=OFF -DUSE_CXX_STD=14 -DCMAKE_BUILD_TYPE=Debug", "make -C built -j2 test-srt")


def cases(room):
    built = room.source("srt") / "built"
    yield Case("test-srt", ["./test-srt"], cwd=built, read=gtest, seconds=600)

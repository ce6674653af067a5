"""libuv 1.52, as PyPI's uvloop carries it with its tests: TCP, UDP, pipes, polls, names, processes."""
import re
import subprocess
import sys
import tarfile

from suite import Case

PACKAGES = ["cmake", "gcc", "make"]
CARRIER = "uvloop", "0.23.0"
NAMES = re.compile(r"tcp|udp|pipe|poll|socket|listen|connect|shutdown|getaddrinfo|getnameinfo|getsockname|ipc|delayed_accept|spawn|callback_stack|connection_fail|multiple_listen|ref|active|closed_fd|eintr|emfile|io_drain|osx|ping|ip[46]|interface|not_(readable|writable)|stream|queue|watcher|fork|handle_fileno|idna|oob|bind|accept|close|signal")
AS_ROOT = {"UV_RUN_AS_ROOT": "1"}
SLOW = re.compile(r"^(fs_event|thread|benchmark)")


def source(room):
    name = "-".join(CARRIER)
    return room.at / name / "vendor/libuv"


def prepare(room):
    name, release = CARRIER
    if not source(room).exists():
        words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name, "-d", room.at, f"{name}=={release}"]
        subprocess.run([str(word) for word in words], check=True)
        with tarfile.open(next(room.at.glob(f"{name}-*.tar.gz"))) as archive:
            archive.extractall(room.at)
    room.build("build/uv_run_tests", source(room), "cmake -S . -B build -DBUILD_TESTING=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo", "make -s -j2 -C build uv_run_tests")


def cases(room):
    build = source(room) / "build"
    told = subprocess.run([build / "uv_run_tests", "--list"], env=AS_ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in sorted(set(told.split())):
        if NAMES.search(name) and not SLOW.search(name):
            yield Case(name, [build / "uv_run_tests", name], cwd=source(room), read=verdict, env=AS_ROOT)


def verdict(_status, output):
    """Of its TAP: a test that does not apply says so."""
    return {"": "SKIP"} if re.search(r"^ok .*# SKIP", output, re.MULTILINE) else None
